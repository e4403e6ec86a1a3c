"""Find rows whose embedding is close to that of a kept row, by cosine similarity over all pairs.

The nearest-neighbour filter of Magpie (arXiv:2406.08464) compares embeddings too; the threshold is the recipe's.
Every row is compared with every kept row: exact, and quadratic in time (100,000 rows of 384 values take minutes, a
million takes hours); memory is the vectors and one block of products. Knows no texts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stages.selection.near_duplicates import Duplicate

Vectors = npt.NDArray[np.float32]

_BLOCK = 1024
_KEPT_BLOCK = 16_384
_ROUNDING = 1e-4
"""Products are taken in float32 and by whatever BLAS is there; what comes this near is measured again in float64."""


def near_vectors(vectors: Vectors, threshold: float) -> Iterator[Duplicate]:
    """Go through rows in order and yield those whose cosine similarity to a kept row is `threshold` or more.

    Args:
        vectors: shape (rows, dimensions), each of length 1, preferred rows first.
        threshold: from -1 to 1.
    """
    kept = np.empty(len(vectors), np.int64)
    count = 0
    for begin in range(0, len(vectors), _BLOCK):
        block = vectors[begin : begin + _BLOCK]
        candidates = _close(block, vectors, kept[:count], threshold)
        within = block @ block.T >= threshold - _ROUNDING
        for i in range(len(block)):
            row = begin + i
            mine = [int(k) for k in kept[count - _recent(kept[:count], begin) : count] if within[i, k - begin]]
            found = _nearest(vectors, row, [*candidates.get(i, ()), *mine], threshold)
            if found:
                yield found
            else:
                kept[count] = row
                count += 1


def unit_vectors(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Return vectors scaled to length 1; those of length 0 or with values that are not finite become 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.sqrt(np.sum(np.square(vectors, dtype=np.float64), axis=1))
        usable = np.isfinite(length) & (length > 0)
    scaled = np.zeros(vectors.shape, np.float32)
    scaled[usable] = vectors[usable] / length[usable, None]
    return scaled


def _close(block: Vectors, vectors: Vectors, kept: npt.NDArray[np.int64], threshold: float) -> dict[int, list[int]]:
    """Return for each row of the block the kept rows that are about as close as the threshold asks."""
    out: dict[int, list[int]] = {}
    for begin in range(0, len(kept), _KEPT_BLOCK):
        part = kept[begin : begin + _KEPT_BLOCK]
        rows, others = np.nonzero(block @ vectors[part].T >= threshold - _ROUNDING)
        for i, other in zip(rows.tolist(), part[others].tolist(), strict=True):
            out.setdefault(i, []).append(other)
    return out


def _recent(kept: npt.NDArray[np.int64], begin: int) -> int:
    """Return how many of the kept rows lie in the block that starts at `begin`."""
    return len(kept) - int(np.searchsorted(kept, begin))


def _nearest(vectors: Vectors, row: int, others: list[int], threshold: float) -> Duplicate | None:
    if not others:
        return None
    close = np.sum(vectors[others].astype(np.float64) * vectors[row], axis=1)
    best = int(np.argmax(close))
    similarity = min(1.0, float(close[best]))
    return Duplicate(row, others[best], similarity) if similarity >= threshold else None
