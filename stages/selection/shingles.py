"""Cut texts into shingles, the sets whose Jaccard similarity says how alike two texts are.

Broder, "On the resemblance and containment of documents", 1997. Two kinds: runs of `size` words (signs of arithmetic
count as words), or runs of `size` characters of the folded text. A text with fewer than `size` words has no run of
words; its words are cut into runs of `FALLBACK` characters (or are one shingle if shorter still), so that the shortest
prompts can be compared too.

What a size means for short texts: replacing one inner word of n changes `size` of its n - size + 1 runs, so that
J = (n - 2 size + 1) / (n + 1). With 2 words a prompt of 26 words is still at 0.85, with 5 words one of 66. Hence 2 by
default; larger sizes are for documents.

The shingles as text are the truth; their 64-bit hashes, made for many texts at once, are for speed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.selection.words import split_terms

Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]

FALLBACK = 5
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORDS_KEPT = 1_000_000


@dataclass(frozen=True, slots=True)
class Shingling:
    """How texts are cut: runs of `size` words or characters."""

    kind: Literal["word", "character"]
    size: int


def shingle_set(folded: str, how: Shingling) -> frozenset[str]:
    """Return the shingles of a folded text; empty only for an empty text."""
    if how.kind == "word":
        words = split_terms(folded)
        if len(words) >= how.size:
            return frozenset(" ".join(words[i : i + how.size]) for i in range(len(words) - how.size + 1))
        folded = " ".join(words) or folded
    size = min(how.size if how.kind == "character" else FALLBACK, len(folded))
    return frozenset(folded[i : i + size] for i in range(len(folded) - size + 1)) - {""}


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return |A and B| / |A or B|, from 0 to 1; 0 for two empty sets."""
    common = len(one & other)
    return common / max(1, len(one) + len(other) - common)


class ShingleHasher:
    """Hashes the shingles of many texts at once; equal shingles of one kind have equal hashes in every run."""

    def __init__(self, how: Shingling, words_kept: int = _WORDS_KEPT) -> None:
        """Start with no words known; with more than `words_kept` known, begin anew, which bounds memory."""
        self._how, self._words_kept = how, words_kept
        self._words = _WordHashes()

    def __call__(self, folded: Sequence[str]) -> tuple[Hashes, Counts]:
        """Return the hashes of all shingles, text after text, repeats included, and their number in each text."""
        if self._how.kind == "character":
            return _characters(folded, self._how.size)
        words = [split_terms(text) for text in folded]
        counts = np.fromiter(map(len, words), np.int64, len(words))
        if len(self._words) > self._words_kept:
            self._words.clear()
        units = np.fromiter(map(self._words.__getitem__, chain.from_iterable(words)), np.uint64, int(counts.sum()))
        hashes, out = window_hashes(units, counts, self._how.size)
        short = np.flatnonzero(counts < self._how.size)
        if not len(short):
            return hashes, out
        instead, lengths = _characters([" ".join(words[i]) or folded[i] for i in short], FALLBACK)
        return _insert(hashes, out, short, instead, lengths)


class _WordHashes(dict[str, int]):
    """Hashes of words, computed once each."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "big")
        return value


def window_hashes(units: Hashes, counts: Counts, size: int) -> tuple[Hashes, Counts]:
    """Hash every run of `size` units that lies within one text.

    Args:
        units: a hash for each word or character, text after text.
        counts: number of units of each text.
        size: length of a run, from 1.

    Returns:
        The hashes, and their number for each text: `max(0, count - size + 1)`.
    """
    out = np.maximum(counts - size + 1, 0)
    starts = run_starts(counts, size)
    hashes = np.zeros(len(starts), np.uint64)
    for j in range(size):
        hashes = mixed(hashes * _MULTIPLIER + units[starts + j])
    return hashes, out


def run_starts(counts: Counts, size: int) -> Counts:
    """Return where the runs of `size` units start, text after text, none of them across two texts."""
    within = np.ones(int(counts.sum()), dtype=bool)
    ends = np.cumsum(counts)
    for back in range(1, size):
        within[(ends - back)[counts >= back]] = False
    return np.flatnonzero(within)


def mixed(values: Hashes) -> Hashes:
    """Spread the bits of 64-bit values (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _characters(folded: Sequence[str], size: int) -> tuple[Hashes, Counts]:
    counts = np.fromiter(map(len, folded), np.int64, len(folded))
    raw = "".join(folded).encode("utf-32-le", "surrogatepass")
    units = mixed(np.frombuffer(raw, np.uint32).astype(np.uint64))
    hashes, out = window_hashes(units, counts, size)
    for length in range(1, size):  # a text shorter than a run is one shingle
        rows = np.flatnonzero(counts == length)
        if len(rows):
            starts = (np.cumsum(counts) - counts)[rows]
            parts = units[(starts[:, None] + np.arange(length)).ravel()]
            whole, ones = window_hashes(parts, counts[rows], length)
            hashes, out = _insert(hashes, out, rows, whole, ones)
    return hashes, out


def _insert(hashes: Hashes, counts: Counts, rows: Counts, more: Hashes, lengths: Counts) -> tuple[Hashes, Counts]:
    """Put hashes in for rows that have none."""
    total = counts.copy()
    total[rows] = lengths
    is_new = np.zeros(len(counts), dtype=bool)
    is_new[rows] = True
    out = np.empty(int(total.sum()), np.uint64)
    placed = np.repeat(is_new, total)
    out[placed], out[~placed] = more, hashes
    return out, total
