"""A table of the runs of n words of many texts, looked up for many rows at once.

Runs are sorted by a 64-bit hash; the hash only finds a place, the words there are compared. Knows words as numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.selection.shingles import mixed, run_starts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_Hashes = npt.NDArray[np.uint64]

_FILTER_BITS = 24
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Found:
    """A text in a row: which share of it, and the first of its runs that the row holds."""

    row: int
    text: int
    share: float
    position: int


class RunTable:
    """The runs of `size` words that count."""

    def __init__(
        self,
        size: int,
        numbers: Ints,
        lengths: Ints,
        taken: Bools,
        marked: Bools,
        max_items: int | None,
        measure: Literal["tokens", "ngrams"],
    ) -> None:
        """Cut the texts that are taken into runs.

        Args:
            size: words of a run, from 1.
            numbers: the words of all texts as numbers from 1, text after text.
            lengths: number of words of each text; those taken have `size` or more.
            taken: which texts to cut.
            marked: which words are single characters or stand in generic phrases.
            max_items: a run in more different texts than this does not count.
            measure: what a share is counted in, words or runs.
        """
        self.size = size
        self._numbers, self._by_runs = numbers, measure == "ngrams"
        text = np.repeat(np.arange(len(lengths)), lengths)
        starts = run_starts(lengths, size)
        before = np.concatenate(([0], np.cumsum(marked)))
        starts = starts[taken[text[starts]] & (before[starts + size] - before[starts] <= size // 2)]
        self._salt, kind = self._distinct(starts)
        if max_items is not None and len(starts):
            pairs = np.unique(np.stack((kind, text[starts])), axis=1)
            rare = np.bincount(pairs[0])[kind] <= max_items
            starts, kind = starts[rare], kind[rare]
        order = np.argsort(kind, kind="stable")
        self._starts = starts[order]
        self._text = text[self._starts]
        self._position = self._starts - (np.cumsum(lengths) - lengths)[self._text]
        hashes = self._hashes(numbers, self._starts, self._salt)
        self._kinds, self._first = np.unique(hashes, return_index=True)
        self._ends = np.append(self._first[1:], len(hashes))
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._filter[self._kinds >> np.uint64(64 - _FILTER_BITS)] = True
        self._whole = self._covered(np.sort(starts), len(lengths), text)

    def texts_with_runs(self) -> Ints:
        """Return the texts of which at least one run counts."""
        texts: Ints = np.unique(self._text)
        return texts

    def find(self, numbers: Ints, counts: Ints) -> Iterator[Found]:
        """Yield every text of which a run occurs in a row.

        Args:
            numbers: the words of the rows as numbers, 0 for a word of no text, row after row.
            counts: number of words of each row.
        """
        row_starts, place = self._hits(numbers, counts)
        if not len(place):
            return
        repeat = self._ends[place] - self._first[place]
        offsets = np.arange(int(repeat.sum())) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        run = np.repeat(self._first[place], repeat) + offsets
        row = np.repeat(np.repeat(np.arange(len(counts)), counts)[row_starts], repeat)
        order = np.lexsort((self._position[run], self._text[run], row))
        row, run = row[order], run[order]
        fresh = np.ones(len(run), dtype=bool)  # a run that occurs twice in a row counts once
        fresh[1:] = (row[1:] != row[:-1]) | (run[1:] != run[:-1])
        yield from self._shares(row[fresh], run[fresh])

    def _shares(self, row: Ints, run: Ints) -> Iterator[Found]:
        text, position = self._text[run], self._position[run]
        first = np.ones(len(run), dtype=bool)
        first[1:] = (row[1:] != row[:-1]) | (text[1:] != text[:-1])
        added = np.ones(len(run), np.int64)
        if not self._by_runs:
            added[:] = self.size
            later = np.flatnonzero(~first)
            added[later] = np.minimum(self.size, position[later] - position[later - 1])
        heads = np.flatnonzero(first)
        share = np.add.reduceat(added, heads) / self._whole[text[heads]]
        for values in zip(row[heads].tolist(), text[heads].tolist(), share.tolist(), position[heads], strict=True):
            yield Found(values[0], values[1], values[2], int(values[3]))

    def _covered(self, starts: Ints, texts: int, text: Ints) -> Ints:
        """Return for each text what a full copy counts: its words in runs that count, or those runs."""
        if self._by_runs:
            return np.bincount(text[starts], minlength=texts)
        inside = np.zeros(len(text) + 1, np.int64)
        np.add.at(inside, starts, 1)
        np.add.at(inside, starts + self.size, -1)
        return np.bincount(text[np.cumsum(inside)[:-1] > 0], minlength=texts)

    def _hits(self, numbers: Ints, counts: Ints) -> tuple[Ints, Ints]:
        """Return where in the rows a run of the table starts, and its place among the different runs."""
        starts = run_starts(counts, self.size)
        unknown = np.concatenate(([0], np.cumsum(numbers == 0)))
        starts = starts[unknown[starts + self.size] == unknown[starts]]
        hashes = self._hashes(numbers, starts, self._salt)
        maybe = self._filter[hashes >> np.uint64(64 - _FILTER_BITS)]
        starts, hashes = starts[maybe], hashes[maybe]
        if not len(self._kinds) or not len(starts):
            return starts[:0], starts[:0]
        place = np.minimum(np.searchsorted(self._kinds, hashes), len(self._kinds) - 1)
        known = self._starts[self._first[place]]
        equal = np.ones(len(starts), dtype=bool)
        for j in range(self.size):
            equal &= self._numbers[known + j] == numbers[starts + j]
        return starts[equal], place[equal]

    def _distinct(self, starts: Ints) -> tuple[int, Ints]:
        """Return a salt under which different runs have different hashes, and the number of each run's kind."""
        for salt in range(1000):
            _, first, kind = np.unique(
                self._hashes(self._numbers, starts, salt), return_index=True, return_inverse=True
            )
            known = starts[first][kind]
            if all((self._numbers[known + j] == self._numbers[starts + j]).all() for j in range(self.size)):
                return salt, kind
        raise AssertionError("a thousand 64-bit hashes in a row cannot all collide")

    def _hashes(self, numbers: Ints, starts: Ints, salt: int) -> _Hashes:
        out = np.full(len(starts), salt, np.uint64)
        for j in range(self.size):
            out = mixed(out * _MULTIPLIER + numbers[starts + j].astype(np.uint64))
        return out
