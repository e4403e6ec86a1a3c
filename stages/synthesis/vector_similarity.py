"""Compare items by the cosine of their embeddings, in blocks: never more than a block of all pairs at a time.

Where embeddings come from is not known here. Cosines are computed in float32; two machines may differ in the last
digits, so a pair exactly at the threshold may fall on either side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.synthesis.leader_clusters import FloatArray, IntArray

_ITEMS, _LEADERS = 1024, 8192
"""Rows and columns of one product: 32 MiB."""


class VectorSimilarity:
    """The embeddings of one kind, scaled to length 1."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """Scale the vectors.

        Args:
            vectors: one row for each item, in the order in which they may lead; finite, none of them all zero.
        """
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors: NDArray[np.float32] = (vectors / lengths).astype(np.float32)

    def leaders(self, threshold: float) -> IntArray:
        """Return the leader of each item; see `Similarity.leaders`."""
        leading = self._leading(threshold)
        leader: IntArray = np.arange(len(self._vectors))
        joining = np.setdiff1d(leader, leading)
        for start in range(0, len(joining), _ITEMS):
            items = joining[start : start + _ITEMS]
            leader[items] = self._among(self._vectors[items], leading)[1]
        return leader

    def _leading(self, threshold: float) -> IntArray:
        """Return the items that no leader before them is near enough to."""
        leading: IntArray = np.empty(0, np.int64)
        for start in range(0, len(self._vectors), _ITEMS):
            block = self._vectors[start : start + _ITEMS]
            best, _ = self._among(block, leading)
            within = block @ block.T
            new: list[int] = []
            for i in np.flatnonzero(best < threshold).tolist():
                if not new or within[i, new].max() < threshold:
                    new.append(i)
            leading = np.concatenate((leading, start + np.array(new, np.int64)))
        return leading

    def _among(self, block: NDArray[np.float32], leading: IntArray) -> tuple[FloatArray, IntArray]:
        """Return the cosine of each item of a block to its nearest leader, and which that is; -2 if there is none."""
        best: FloatArray = np.full(len(block), -2, np.float32)
        nearest: IntArray = np.full(len(block), -1, np.int64)
        for start in range(0, len(leading), _LEADERS):
            chosen = leading[start : start + _LEADERS]
            cosines = block @ self._vectors[chosen].T
            at = np.argmax(cosines, axis=1)
            value = cosines[np.arange(len(block)), at]
            closer = value > best
            best[closer], nearest[closer] = value[closer], chosen[at[closer]]
        return best, nearest

    def to_one(self, item: int, others: IntArray) -> FloatArray:
        """Return the cosine of one item with some others."""
        cosines: FloatArray = self._vectors[others] @ self._vectors[item]
        return cosines
