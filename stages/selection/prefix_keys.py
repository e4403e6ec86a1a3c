"""Give rows of a crowd keys that only those can share who are really alike: prefix filtering, which loses no pair.

Chaudhuri, Ganti, Kaushik, ICDE 2006; Xiao et al., "Efficient similarity joins for near duplicate detection", 2008. With
all shingles in one order, rarest first, two sets of a and b shingles that have at least o in common share one of the
first a - o + 1 of the one and the first b - o + 1 of the other. Jaccard similarity t means o = t / (1 + t) (a + b). A
thousand prompts made from one template share all but their rarest shingles, and those only are looked at.

A set leaves a key for partners of each size, and seeks the key that such a partner leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.selection.shingles import Counts, Hashes, mixed

_SMALL = 32
"""Up to this many shingles a set has keys for each size of a partner; larger ones have keys that serve all sizes."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class PrefixKeys:
    """One entry for each owner, size of partner and shingle of the prefix: what the owner leaves and what it seeks."""

    owner: Counts
    left: Hashes
    sought: Hashes


def prefix_keys(hashes: Hashes, owner: Counts, threshold: float) -> PrefixKeys:
    """Return keys such that of two owners of Jaccard similarity `threshold` or more each seeks what the other leaves.

    Args:
        hashes: hashed shingles of all owners; repeats are counted once.
        owner: whose each is, from 0, ascending.
        threshold: above 0, at most 1.
    """
    owners, left, sought = [np.empty(0, np.int64)], [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for rows, shingles in _by_size(hashes, owner):
        size = shingles.shape[1]
        for other, first in _prefixes(size, threshold):
            prefix = shingles[:, :first]
            mine, theirs = (size, other) if other else (0, 0)
            left.append(mixed(prefix + _salt(mine, theirs)).ravel())
            sought.append(mixed(prefix + _salt(theirs, mine)).ravel())
            owners.append(np.repeat(rows, first))
    return PrefixKeys(np.concatenate(owners), np.concatenate(left), np.concatenate(sought))


def _salt(size: int, other: int) -> Hashes:
    return mixed(np.array([size * (_SMALL + 1) + other], np.uint64))


def _prefixes(size: int, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield (size of partner, length of prefix): small partners of a small set one by one, all others as size 0."""
    smallest, largest = int(np.ceil(threshold * size - _ROUNDING)), int(np.floor(size / threshold + _ROUNDING))
    if largest > _SMALL:
        yield 0, size - smallest + 1
    if size <= _SMALL:
        for other in range(smallest, min(largest, _SMALL) + 1):
            common = int(np.ceil(threshold / (1 + threshold) * (size + other) - _ROUNDING))
            if common <= min(size, other):
                yield other, size - common + 1


def _by_size(hashes: Hashes, owner: Counts) -> Iterator[tuple[Counts, Hashes]]:
    """Yield, for each size of set, its owners and their distinct shingles, shape (owners, size), rarest first."""
    kinds, kind, frequency = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((kind, frequency[kind], owner))
    owner, kind = owner[order], kind[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (kind[1:] != kind[:-1])
    owner, kind = owner[fresh], kind[fresh]
    sizes = np.bincount(owner)
    own_size = sizes[owner]
    for size in np.unique(own_size).tolist():
        rows: Counts = np.flatnonzero(sizes == size)
        yield rows, kinds[kind[own_size == size]].reshape(len(rows), size)
