"""Find which texts of benchmarks occur in which rows, by runs of n words: an exact index in memory.

Rule of Tulu 3 (arXiv:2411.15124, 8 words, half of a test text) and Olmo 3; runs of 13 words are those of GPT-3
(arXiv:2005.14165, appendix C). What counts:

- A text of n words or more is cut into all its runs of n words. A shorter one of `min_words` or more is one run.
- A run does not count if more than half of its words are single characters (formulas) or stand in a generic phrase, or
  if it occurs in more than `max_items` different texts.
- The share of a text in a row is the number of its words that lie in runs which occur in the row, divided by the number
  of its words that lie in any run that counts; or the same of runs in place of words. A full copy has share 1.
- A text of which no run counts, or of fewer than `min_words` words, is found only as the whole text of a row, and not
  at all if it consists of generic phrases.

Words are compared as numbers of a vocabulary, one for each different word, so equal runs are equal words and nothing
depends on a hash being unique. Knows nothing of files and rows' other columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.selection.benchmark_files import BenchmarkText
from stages.selection.ngram_runs import Bools, Ints, RunTable
from stages.selection.words import fold, is_single_character, split_words


@dataclass(frozen=True, slots=True)
class Counting:
    """How matches are counted; see above. With `any_run`, one run that occurs is a match."""

    size: int = 8
    share: float = 0.5
    measure: Literal["tokens", "ngrams"] = "tokens"
    any_run: bool = False
    min_words: int = 5
    max_items: int | None = 10
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A text of a benchmark found in a row: which share of it, and its first run that occurs there, as words."""

    row: int
    text: BenchmarkText
    share: float
    ngram: str


class NgramIndex:
    """The texts of all benchmarks, ready to be looked for in rows."""

    def __init__(self, texts: Iterator[BenchmarkText], counting: Counting) -> None:
        """Take the texts; one that occurs several times is named by its first item."""
        self._counting = counting
        first: dict[tuple[str, ...], BenchmarkText] = {}
        for text in texts:
            words = tuple(split_words(fold(text.text)))
            if words:
                first.setdefault(words, text)
        self._texts, self._words = list(first.values()), list(first)
        self._numbers = _Vocabulary((word, i) for i, word in enumerate(dict.fromkeys(chain(*self._words)), 1))
        plain, generic = self._marked()
        self._tables = self._cut(plain | generic)
        uncut = np.ones(len(self._words), dtype=bool)
        for table in self._tables:
            uncut[table.texts_with_runs()] = False
        ends = np.cumsum([len(w) for w in self._words], dtype=np.int64)
        self._whole = {
            self._words[i]: i
            for i in np.flatnonzero(uncut).tolist()
            if not generic[ends[i] - len(self._words[i]) : ends[i]].all()
        }
        self._whole_lengths = {len(words) for words in self._whole}

    def matches(self, rows: Sequence[str | None]) -> list[Match]:
        """Return for each row that holds a text of a benchmark the one of which it holds the largest share.

        Of equal shares the text that comes first in the benchmarks. Rows without a match are left out; ascending.
        """
        words = [[] if text is None else split_words(fold(text)) for text in rows]
        counts = np.fromiter(map(len, words), np.int64, len(words))
        numbers = np.fromiter(map(self._numbers.__getitem__, chain.from_iterable(words)), np.int64, int(counts.sum()))
        best: dict[int, tuple[float, int, str]] = {}
        for table in self._tables:
            for found in table.find(numbers, counts):
                if self._counting.any_run or found.share >= self._counting.share - 1e-9:
                    run = self._words[found.text][found.position : found.position + table.size]
                    _keep_best(best, found.row, (-found.share, found.text, " ".join(run)))
        for row, own in enumerate(words):
            if len(own) in self._whole_lengths and tuple(own) in self._whole:
                _keep_best(best, row, (-1.0, self._whole[tuple(own)], " ".join(own)))
        return [Match(row, self._texts[t], -share, run) for row, (share, t, run) in sorted(best.items())]

    def _marked(self) -> tuple[Bools, Bools]:
        """Return, for each word of all texts, whether it is a single character, and whether it is in a phrase."""
        single = np.fromiter(map(is_single_character, chain(*self._words)), bool)
        starts: dict[str, list[tuple[str, ...]]] = {}
        for phrase in self._counting.phrases:
            cut = tuple(split_words(fold(phrase)))
            if cut:
                starts.setdefault(cut[0], []).append(cut)
        generic: npt.NDArray[np.bool_] = np.zeros(len(single), dtype=bool)
        begin = 0
        for words in self._words:
            for at, word in enumerate(words):
                for phrase_words in starts.get(word, ()):
                    if words[at : at + len(phrase_words)] == phrase_words:
                        generic[begin + at : begin + at + len(phrase_words)] = True
            begin += len(words)
        return single, generic

    def _cut(self, marked: Bools) -> list[RunTable]:
        """Return one table of runs for each length of run; every text is in one table at most."""
        lengths: Ints = np.fromiter(map(len, self._words), np.int64, len(self._words))
        numbers = np.fromiter(map(self._numbers.__getitem__, chain(*self._words)), np.int64, int(lengths.sum()))
        own = np.where(lengths >= self._counting.min_words, np.minimum(lengths, self._counting.size), 0)
        return [
            RunTable(size, numbers, lengths, own == size, marked, self._counting.max_items, self._counting.measure)
            for size in np.unique(own[own > 0]).tolist()
        ]


class _Vocabulary(dict[str, int]):
    """The number of each word of the benchmarks, from 1; 0 for any other."""

    def __missing__(self, word: str) -> int:
        return 0


def _keep_best(best: dict[int, tuple[float, int, str]], row: int, found: tuple[float, int, str]) -> None:
    if row not in best or found[:2] < best[row][:2]:
        best[row] = found
