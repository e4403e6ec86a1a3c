"""Compare names by their character n-grams: the Jaccard index of the two sets, exact, without an n x n matrix.

Candidates come from prefix filtering (Chaudhuri et al. 2006; Bayardo et al. 2007): with the rarest n-grams first, two
sets of Jaccard index t or more share one among the first |A| - ceil(t |A|) + 1 of either. Only leaders are indexed.
Knows no meaning: `active_voice` and `passive_voice` are near, `weighing` and `balancing` are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from stages.synthesis.leader_clusters import FloatArray, IntArray

_SLACK = 1e-9
"""Keeps a rounded product such as 0.7 * 10 from asking for one n-gram too many."""


def ngrams(name: str, n: int) -> set[str]:
    """Return the n-grams of a name, underscores read as spaces, with a space before and after it."""
    text = f" {name.replace('_', ' ')} "
    return {text[i : i + n] for i in range(max(1, len(text) - n + 1))}


class NameSimilarity:
    """The names of one kind as sorted arrays of n-gram numbers, rarest first."""

    def __init__(self, names: Sequence[str], n: int) -> None:
        """Number the n-grams of all names.

        Args:
            names: distinct, in the order in which they may lead.
            n: characters of an n-gram, at least 2.
        """
        count: Counter[str] = Counter()
        for name in names:
            count.update(ngrams(name, n))
        rank = {gram: i for i, gram in enumerate(sorted(count, key=lambda g: (count[g], g)))}
        sizes = np.fromiter((len(ngrams(name, n)) for name in names), np.int64, len(names))
        self._sizes: IntArray = sizes
        self._starts: IntArray = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        self._grams: NDArray[np.int32] = np.empty(int(self._starts[-1]), np.int32)
        for i, name in enumerate(names):
            self._grams[self._starts[i] : self._starts[i + 1]] = sorted(rank[g] for g in ngrams(name, n))
        self._marked: NDArray[np.bool_] = np.zeros(len(rank), bool)

    def leaders(self, threshold: float) -> IntArray:
        """Return the leader of each name; see `Similarity.leaders`."""
        leader: IntArray = np.arange(len(self._sizes))
        index: dict[int, list[int]] = {}
        joining: list[int] = []
        for item in range(len(leader)):
            if self._nearest(item, index, threshold) is not None:
                joining.append(item)
                continue
            for gram in self._prefix(item, threshold):
                index.setdefault(gram, []).append(item)
        for item in joining:
            best = self._nearest(item, index, threshold)
            leader[item] = item if best is None else best
        return leader

    def _prefix(self, item: int, threshold: float) -> list[int]:
        start, size = int(self._starts[item]), int(self._sizes[item])
        prefix: list[int] = self._grams[start : start + size - ceil(threshold * size - _SLACK) + 1].tolist()
        return prefix

    def _nearest(self, item: int, index: Mapping[int, list[int]], threshold: float) -> int | None:
        """Return the most similar of the indexed names, the first of several, if it is similar enough."""
        found: set[int] = set()
        for gram in self._prefix(item, threshold):
            found.update(index.get(gram, ()))
        candidates: IntArray = np.sort(np.fromiter(found, np.int64, len(found)))
        size, sizes = self._sizes[item], self._sizes[candidates]
        candidates = candidates[(sizes >= threshold * size - _SLACK) & (threshold * sizes <= size + _SLACK)]
        if not len(candidates):
            return None
        similarity = self.to_one(item, candidates)
        at = int(np.argmax(similarity))
        return int(candidates[at]) if similarity[at] >= threshold else None

    def to_one(self, item: int, others: IntArray) -> FloatArray:
        """Return the Jaccard index of one name with some others."""
        own = self._grams[self._starts[item] : self._starts[item + 1]]
        sizes = self._sizes[others]
        ends = np.cumsum(sizes)
        flat = np.repeat(self._starts[others] - (ends - sizes), sizes) + np.arange(ends[-1])
        self._marked[own] = True
        shared = np.add.reduceat(self._marked[self._grams[flat]], ends - sizes, dtype=np.int64)
        self._marked[own] = False
        similarity: FloatArray = shared / (len(own) + sizes - shared)
        return similarity
