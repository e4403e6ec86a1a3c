"""Read the verdict at the end of a judge's reply: `[RESULT] 4`, `(Score 4)`, `score: 4`, `[RESULT] B`.

The forms are those of Prometheus 2 (prometheus-eval, Apache-2.0), absolute and relative; the reading is ours and
stricter where a reply contradicts itself. A verdict is read only where the reply ends with it. 2.5, 10, 0, 4/10, prose,
and two different verdicts give None: never a number, never a guess. Knows nothing about rubric or question.
"""

from __future__ import annotations

import re
from typing import Literal

_MARK = r"\[\s*(?:result|score)\s*(?:\]|:)"
_FILLER = r"[\s:*_(\[]*(?:(?:final\s+|overall\s+)?(?:score|result|rating)\b\s*(?:of\b|:)?[\s*_(\[]*)?"
_OUT_OF = r"(?:\s*/\s*5|\s+out\s+of\s+5)?"
_CLOSE = r"[\s)\]*_.]*"
_END = rf"(?![\w/]|\s*/|[.,]\d){_CLOSE}"

_MARKED_SCORE = re.compile(rf"{_MARK}{_FILLER}([1-5]){_OUT_OF}{_END}", re.IGNORECASE)
_LABELLED_SCORE = re.compile(
    rf"(?:\b(?:score|result)\s*:[\s*_(\[]*|\bscore\s+of\s+|[(\[]\s*(?:score|result)\s+)([1-5]){_OUT_OF}{_END}",
    re.IGNORECASE,
)
_BARE_SCORE = re.compile(rf"[\s*_(\[]*([1-5]){_OUT_OF}{_END}", re.IGNORECASE)

_MARKED_CHOICE = re.compile(rf"(?i:{_MARK}[\s:*_(\[]*(?:(?:result|response)\b[\s:*_(\[]*)?)([AB])(?!\w){_CLOSE}")
_LABELLED_CHOICE = re.compile(rf"(?i:\[\s*response\s+|\bresult\s*:[\s*_(\[]*(?:response\s+)?)([AB])(?!\w){_CLOSE}")
_ANY_MARK = re.compile(_MARK, re.IGNORECASE)


def parse_score(reply: str) -> int | None:
    """Return the score from 1 to 5 that a reply with feedback ends with, else None."""
    found = _verdict(reply, _MARKED_SCORE, _LABELLED_SCORE)
    return None if found is None else int(found)


def parse_bare_score(reply: str) -> int | None:
    """Return the score of a reply that is a number from 1 to 5 and nothing else, or that ends with a marked one."""
    alone = _BARE_SCORE.fullmatch(reply)
    return int(alone[1]) if alone else parse_score(reply)


def parse_choice(reply: str) -> Literal["A", "B"] | None:
    """Return which of two responses a reply ends with, else None."""
    found = _verdict(reply, _MARKED_CHOICE, _LABELLED_CHOICE)
    return "A" if found == "A" else "B" if found == "B" else None


def _verdict(reply: str, marked: re.Pattern[str], labelled: re.Pattern[str]) -> str | None:
    """Return the one value that the reply ends with; a mark in brackets outranks what only looks like a label."""
    found = list((marked if _ANY_MARK.search(reply) else labelled).finditer(reply))
    if not found or found[-1].end() != len(reply) or len({m[1] for m in found}) > 1:
        return None
    return found[-1][1]
