"""Decide which texts repeat an earlier kept one, given keys that similar texts share.

MinHash bands say which pairs may be alike; each is measured here. A text is dropped only for its similarity to a text
that is kept, never for one that was dropped itself, so that chains of small changes do not swallow unlike texts.

Many rows can share a band without being duplicates (a thousand prompts made from one template); such a crowd meets by
`prefix_keys` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stages.selection.prefix_keys import prefix_keys
from stages.selection.shingles import Counts, Hashes

CROWD = 64
"""A band shared by more rows than this is a crowd."""
_SETS_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row that repeats a kept one; `similarity` is from 0 to 1."""

    row: int
    of: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Meetings:
    """Where rows meet: row i looks for kept rows at the places `sought[offsets[i]:offsets[i + 1]]`.

    If it is kept itself, later rows find it at the places `left` of the same range.
    """

    offsets: Counts
    left: Counts
    sought: Counts


class HashedSets:
    """The hashed shingles of all rows, one row's at a time as a set."""

    def __init__(self, hashes: Hashes, counts: Counts) -> None:
        """Take hashes row after row, and how many belong to each."""
        self.hashes, self.counts = hashes, counts
        self._ends = np.cumsum(counts)
        self._set = lru_cache(_SETS_KEPT)(self._make)

    def _make(self, row: int) -> frozenset[int]:
        end = int(self._ends[row])
        return frozenset(self.hashes[end - int(self.counts[row]) : end].tolist())

    def jaccard(self, row: int, other: int) -> float:
        """Return the similarity of two rows as their hashes show it, from 0 to 1."""
        one, two = self._set(row), self._set(other)
        common = len(one & two)
        return common / max(1, len(one) + len(two) - common)

    def of_rows(self, rows: Counts) -> tuple[Hashes, Counts]:
        """Return the hashes of some rows, ascending, and for each hash the index of its row in `rows`."""
        wanted = np.zeros(len(self.counts), dtype=bool)
        wanted[rows] = True
        return self.hashes[np.repeat(wanted, self.counts)], np.repeat(np.arange(len(rows)), self.counts[rows])


def keep_first(
    order: Counts,
    meetings: Meetings,
    similar: Callable[[int, int], float],
    threshold: float,
    confirmed: Callable[[int, int], float],
) -> Iterator[Duplicate]:
    """Go through rows in order and yield those that repeat a kept one.

    Args:
        order: the rows, preferred ones first.
        meetings: where rows meet; rows that never meet are not compared.
        similar: similarity of two rows, fast; never below the true one.
        threshold: least similarity of a duplicate.
        confirmed: the true similarity; asked only about pairs that `similar` takes for duplicates.
    """
    kept_at: dict[int, list[int]] = {}
    for row in order.tolist():
        own = slice(meetings.offsets[row], meetings.offsets[row + 1])
        sought = meetings.sought[own].tolist()
        candidates = dict.fromkeys(other for place in sought for other in kept_at.get(place, ()))
        found = _nearest(row, candidates, similar, threshold, confirmed)
        if found:
            yield found
            continue
        for place in meetings.left[own].tolist():
            kept_at.setdefault(place, []).append(row)


def _nearest(
    row: int,
    candidates: dict[int, None],
    similar: Callable[[int, int], float],
    threshold: float,
    confirmed: Callable[[int, int], float],
) -> Duplicate | None:
    """Return the most similar candidate at or above the threshold; of equals the one with the lowest row number."""
    measured = ((similar(row, other), other) for other in candidates)
    alike = sorted((-s, other) for s, other in measured if s >= threshold)
    for _, other in alike:
        similarity = confirmed(row, other)
        if similarity >= threshold:
            return Duplicate(row, other, similarity)
    return None


def meetings_of(keys: Hashes, sets: HashedSets, threshold: float) -> Meetings:
    """Find the rows that share a band key, and split crowds by their prefix keys.

    Args:
        keys: band keys of shape (rows, bands).
        sets: the hashed shingles of the same rows.
        threshold: Jaccard similarity below which pairs need not meet.
    """
    rows, places, sizes = [], [], []
    base = 0
    for band in keys.T:
        r, p, s = _shared(band)
        rows.append(r)
        places.append(p + base)
        sizes.append(s)
        base += len(band)
    row, place, size = (np.concatenate(parts) for parts in (rows, places, sizes))
    crowded = size > CROWD
    crowd_row, left, sought = _crowd(np.unique(row[crowded]), sets, threshold)
    row = np.concatenate((row[~crowded], crowd_row))
    by_row = np.argsort(row, kind="stable")
    offsets = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(keys)))))
    place = place[~crowded]
    left, sought = (np.concatenate((place, more + base))[by_row] for more in (left, sought))
    return Meetings(offsets, left, sought)


def _shared(keys: Hashes) -> tuple[Counts, Counts, Counts]:
    """Return row, number of its key and rows of that key, for each row whose key others have too."""
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    number = np.cumsum(is_first) - 1
    size = np.bincount(number)[number]
    several = size > 1
    return order[several], number[several], size[several]


def _crowd(rows: Counts, sets: HashedSets, threshold: float) -> tuple[Counts, Counts, Counts]:
    """Return row, place left and place sought by prefix keys, without those where nobody else comes."""
    keys = prefix_keys(*sets.of_rows(rows), threshold)
    kinds, number = np.unique(np.concatenate((keys.left, keys.sought)), return_inverse=True)
    left, sought = number[: len(keys.left)], number[len(keys.left) :]
    alone = left == sought  # where a row meets partners of its own size it finds itself once
    found = np.bincount(left, minlength=len(kinds))[sought] > alone
    useful = found | (np.bincount(sought, minlength=len(kinds))[left] > alone)
    return rows[keys.owner[useful]], left[useful], sought[useful]
