"""Find text that a model repeats because it is caught in a loop.

Three signs, all ours: a short unit of characters over and over; the same words in a row, several times; and the same
lines again and again, numbered or not. Olmo 3 (arXiv:2512.13961, 4.2.1) filters repetition too; its thresholds are
not used. Refrains, tables and lists with differing entries pass: only repeats without anything between them count, or
lines of which most were there before. Paraphrases of one thought are not seen.
"""

from __future__ import annotations

import re
from collections import Counter

_MOST_READ = 50_000
_LONGEST_UNIT = 60
_UNIT_REPEATS = 4
_LEAST_WORDS = 20
"""Words that a repeated stretch has at least; of units without a letter, five times as many."""
_LEAST_LINES = 8
_SAME_LINES = 0.7
_MARKS = 3

_CHARACTERS = re.compile(r"(\S{1,12}?)\1{14,}")
_LEAST_CHARACTERS = 30
"""Length of a repeated run of characters; of units without a letter, four times as many."""
_RULES = re.compile(r"([-=_*.#~|+:•·─━═ \t])\1{3,}")
_LIST_MARK = re.compile(r"[\s>]*(?:\(?(?:\d{1,4}|[A-Za-z])[.):]|[-*•+])?[\s*]*")


def loop(text: str) -> str | None:
    """Return what is repeated and how often, as words for a reader; None if nothing is.

    Reads the first 50,000 characters.
    """
    read = _RULES.sub(" ", text[:_MOST_READ])
    words = read.split()
    return _characters(words) or _words(words) or _lines(read)


def _characters(words: list[str]) -> str | None:
    """Look for a few characters over and over, which without spaces make a long word."""
    for word in words:
        if len(word) < _LEAST_CHARACTERS:
            continue
        for found in _CHARACTERS.finditer(word):
            unit, length = found[1], len(found[0])
            if length >= (_LEAST_CHARACTERS if any(map(str.isalpha, unit)) else 4 * _LEAST_CHARACTERS):
                return f"'{unit}' {length // len(unit)} times in a row"
    return None


def _words(words: list[str]) -> str | None:
    """Look for a stretch of words that follows itself."""
    for period in _likely_periods(words):
        run = 0
        for at in range(period, len(words)):
            run = run + 1 if words[at] == words[at - period] else 0
            if run + period >= _UNIT_REPEATS * period and _is_long(words[at - period + 1 : at + 1], run + period):
                return f"{period} words at least {(run + period) // period} times in a row"
    return None


def _is_long(unit: list[str], words: int) -> bool:
    spoken = any(character.isalpha() for word in unit for character in word)
    return words >= (_LEAST_WORDS if spoken else 5 * _LEAST_WORDS)


def _likely_periods(words: list[str]) -> list[int]:
    """Return how far apart equal groups of words stand, where that happens more than a few times; shortest first."""
    last: dict[tuple[str, ...], int] = {}
    gaps: Counter[int] = Counter()
    for at in range(len(words) - _MARKS + 1):
        group = tuple(words[at : at + _MARKS])
        if group in last:
            gaps[at - last[group]] += 1
        last[group] = at
    return sorted(gap for gap, n in gaps.items() if gap <= _LONGEST_UNIT and n >= _UNIT_REPEATS)


def _lines(text: str) -> str | None:
    """Look for lines of some words that were there before, list marks apart."""
    bare = (_LIST_MARK.sub("", line, count=1).strip() for line in text.splitlines())
    counts = Counter(line for line in bare if len(line.split()) >= _MARKS)
    total = sum(counts.values())
    if total >= _LEAST_LINES and total - len(counts) >= _SAME_LINES * total:
        times = counts.most_common(1)[0][1]
        return f"{total - len(counts)} of {total} lines again, one {times} times"
    return None
