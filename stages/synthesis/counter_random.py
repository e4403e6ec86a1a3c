"""Random numbers that depend on a seed, a stream's name and a position alone: SplitMix64, vectorised.

Word i of a stream is the i-th output of Steele, Lea and Flood's SplitMix64 (OOPSLA 2014, "Fast splittable pseudorandom
number generators") started at a key made from seed and name. Written out here in integer arithmetic, so that no version
of numpy changes a plan. For drawing plans, not for secrets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.api import derive_seed

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def splitmix64(key: int, start: int, count: int) -> NDArray[np.uint64]:
    """Return outputs `start` to `start + count - 1` of SplitMix64 whose state starts at `key`."""
    positions = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z = np.uint64(key) + positions * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


def words(seed: int, stream: str, start: int, count: int) -> NDArray[np.uint64]:
    """Return words `start` to `start + count - 1` of a named stream, each uniform over 64 bits."""
    return splitmix64(derive_seed(seed, stream), start, count)


def numbers_below(bound: int, drawn: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Turn words into numbers below `bound`; the bias of the remainder is under bound / 2**64."""
    return (drawn % np.uint64(bound)).astype(np.int64)


def shuffled(values: NDArray[np.int64], seed: int, stream: str) -> NDArray[np.int64]:
    """Return values in random order, each order equally likely."""
    return values[np.argsort(words(seed, stream, 0, len(values)), kind="stable")]
