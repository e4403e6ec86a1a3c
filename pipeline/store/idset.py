"""A set of 128-bit row ids in 16 bytes each: finds duplicates among a hundred million rows in flat memory.

Sorted arrays of growing size, merged like a log-structured tree; membership is exact, not probabilistic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_PAIR = np.dtype([("high", ">u8"), ("low", ">u8")])


class IdSet:
    """Row ids seen so far."""

    def __init__(self) -> None:
        """Start empty."""
        self._levels: list[npt.NDArray[np.void]] = []

    def __len__(self) -> int:
        """Return how many different ids were added."""
        return sum(len(level) for level in self._levels)

    def add(self, ids: Sequence[str]) -> list[bool]:
        """Add ids in order; return for each whether it was new (a repeat within `ids` is not)."""
        keys = np.frombuffer(b"".join(map(_key, ids)), dtype=_PAIR)
        new = np.ones(len(keys), dtype=bool)
        for level in self._levels:
            at = np.searchsorted(level["high"], keys["high"])
            new &= ~_found(level, keys, at)
        order = np.argsort(keys, order=("high", "low"), kind="stable")
        ordered = keys[order]
        repeat = np.zeros(len(keys), dtype=bool)
        repeat[order[1:]] = ordered[1:] == ordered[:-1]
        new &= ~repeat
        self._merge(np.sort(keys[new], order=("high", "low")))
        return [bool(x) for x in new]

    def _merge(self, level: npt.NDArray[np.void]) -> None:
        while self._levels and len(self._levels[-1]) <= 2 * len(level):
            level = np.sort(np.concatenate([self._levels.pop(), level]), order=("high", "low"))
        if len(level):
            self._levels.append(level)


def _found(level: npt.NDArray[np.void], keys: npt.NDArray[np.void], at: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Compare each key with the run of entries that share its high half, which is almost always one entry."""
    found = np.zeros(len(keys), dtype=bool)
    step = at.copy()
    while True:
        inside = step < len(level)
        entry = level[np.minimum(step, len(level) - 1)]
        same_high = inside & (entry["high"] == keys["high"])
        found |= same_high & (entry["low"] == keys["low"])
        if not same_high.any():
            return found
        step = np.where(same_high, step + 1, len(level))


def _key(row_id: str) -> bytes:
    if len(row_id) == 32:
        try:
            return bytes.fromhex(row_id)
        except ValueError:
            pass
    return hashlib.blake2b(row_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
