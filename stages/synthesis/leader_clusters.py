"""Put items into clusters around leaders, and find each cluster's medoid.

Taken in order, an item to which no leader is similar enough becomes a leader; the others then join the most similar of
all leaders. No chaining: every member lies within the threshold of its cluster's medoid, so a cluster cannot drift from
one meaning to another. No paper; the order of the items is the caller's. Pure; knows no names and no vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.floating[Any]]


class Similarity(Protocol):
    """How alike items are, numbered from 0; symmetric, 1 for equal items."""

    def leaders(self, threshold: float) -> IntArray:
        """Return for each item the leader that it joins, itself if it leads.

        An item leads if no leader before it is similar enough. Of several leaders equally similar the first is joined.
        """

    def to_one(self, item: int, others: IntArray) -> FloatArray:
        """Return the similarity of one item to some others."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster: its members, first the leader, and their similarity to the medoid, all at least the threshold."""

    members: IntArray
    medoid: int
    similarity: FloatArray


def clusters(similarity: Similarity, weights: Sequence[int], names: Sequence[str], threshold: float) -> list[Cluster]:
    """Return the clusters in the order of their leaders.

    The medoid is the member closest to the others on average among those that have every other member within the
    threshold, as the leader always does; ties go to the greater weight, then to the name.
    """
    leader = similarity.leaders(threshold)
    order = np.argsort(leader, kind="stable")
    starts = np.flatnonzero(np.diff(leader[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    return [_cluster(similarity, members, weights, names, threshold) for members in groups]


def _cluster(
    similarity: Similarity, members: IntArray, weights: Sequence[int], names: Sequence[str], threshold: float
) -> Cluster:
    if len(members) == 1:
        return Cluster(members, int(members[0]), np.ones(1))
    best: tuple[tuple[float, int, str], int, FloatArray] | None = None
    for at, member in enumerate(members.tolist()):
        near = similarity.to_one(member, members)
        near[at] = 1.0
        if at and near.min() < threshold:
            continue
        rank = (-round(float(near.mean()), 9), -weights[member], names[member])
        if best is None or rank < best[0]:
            best = (rank, member, near)
    assert best is not None, "the leader is always a candidate"
    return Cluster(members, best[1], best[2])
