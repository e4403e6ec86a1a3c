"""How far a pairwise judge depends on which response it is shown first: statistics of verdicts in both orders.

Source: LLMBar, arXiv:2310.07641, its published evaluator (accuracy in each order, their average, right in
both, equal, Cohen's kappa). The published kappas come from a faulty recoding, which `published_kappas` repeats so that
their figures can be checked; `cohen_kappa` on the verdicts themselves is the sound one. Knows no judge and no file:
verdicts come as labels already un-mapped to the pair (the same label means the same response in both orders).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class PositionStatistics:
    """Counts over `total` pairs, and shares of them.

    Attributes:
        total: pairs, those without a verdict included.
        right_forward: pairs judged right in the given order.
        right_backward: pairs judged right with the two responses swapped.
        right_both: right in both orders.
        equal: the same verdict in both orders; as published, two verdicts that could not be read count as equal.
        unread_both: pairs without a verdict in either order, part of `equal`.
        kappa_orders: Cohen's kappa between the verdicts of the two orders, where both were read; NaN if undefined.
    """

    total: int
    right_forward: int
    right_backward: int
    right_both: int
    equal: int
    unread_both: int
    kappa_orders: float

    @property
    def accuracy_forward(self) -> float:
        """Return the share right in the given order, in [0, 1]."""
        return self.right_forward / self.total

    @property
    def accuracy_backward(self) -> float:
        """Return the share right in the swapped order, in [0, 1]."""
        return self.right_backward / self.total

    @property
    def accuracy(self) -> float:
        """Return the mean of both accuracies, in [0, 1]."""
        return (self.right_forward + self.right_backward) / 2 / self.total

    @property
    def flip_rate(self) -> float:
        """Return the share of pairs whose verdict changed with the order, in [0, 1]; an unread verdict is a change."""
        return 1 - self.equal / self.total


def position_statistics(
    forward: Sequence[Hashable | None], backward: Sequence[Hashable | None], labels: Sequence[Hashable]
) -> PositionStatistics:
    """Return the statistics of a judge that saw every pair in both orders.

    Args:
        forward: verdicts in the given order, None where the reply could not be read.
        backward: verdicts in the swapped order, un-mapped.
        labels: what is right.

    Raises:
        ValueError: if the lists differ in length or are empty, or if a label is None, which no verdict would answer.
    """
    if not len(forward) == len(backward) == len(labels) or not labels:
        raise ValueError(f"{len(forward)} and {len(backward)} verdicts for {len(labels)} labels; expected as many, > 0")
    if None in labels:
        raise ValueError(f"label {list(labels).index(None)} is None; leave pairs without a label out")
    both = list(zip(forward, backward, labels, strict=True))
    read = [(f, b) for f, b, _ in both if f is not None and b is not None]
    return PositionStatistics(
        total=len(both),
        right_forward=sum(f == label for f, _, label in both),
        right_backward=sum(b == label for _, b, label in both),
        right_both=sum(f == b == label for f, b, label in both),
        equal=sum(f == b for f, b, _ in both),
        unread_both=sum(f is None and b is None for f, b, _ in both),
        kappa_orders=cohen_kappa([f for f, _ in read], [b for _, b in read]),
    )


def cohen_kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Return Cohen's kappa of two raters, in [-1, 1]: agreement beyond chance (Cohen 1960).

    One minus the disagreement observed over the disagreement expected by chance; in this order of operations the result
    is that of scikit-learn to the last digit. NaN where it is undefined: no items, or both always said the same thing.

    Raises:
        ValueError: if the lists differ in length.
    """
    classes = sorted(set(one) | set(other), key=repr)
    counts = np.zeros((len(classes), len(classes)))
    for a, b in zip(one, other, strict=True):
        counts[classes.index(a), classes.index(b)] += 1
    if len(classes) < 2:
        return math.nan
    chance = np.outer(counts.sum(axis=0), counts.sum(axis=1)) / counts.sum()
    apart = 1 - np.eye(len(classes))
    return float(1 - (apart * counts).sum() / (apart * chance).sum())


@dataclass(frozen=True, slots=True)
class PublishedKappas:
    """The four kappas as LLMBar's evaluator prints them."""

    forward: float
    backward: float
    agreement: float

    @property
    def average(self) -> float:
        """Return the mean of forward and backward."""
        return (self.forward + self.backward) / 2


def published_kappas(
    forward: Sequence[str | None], backward: Sequence[str | None], labels: Sequence[int]
) -> PublishedKappas:
    """Return LLMBar's kappas, with the recoding that its evaluator applies; for checking published figures only.

    The evaluator keeps a verdict "1" as 1 and turns all others ("2" and unread) into 0, but leaves the labels as 1 and
    2. A verdict for the second response therefore never agrees with its label, and the printed kappas are far below
    those of the verdicts themselves (0.26 where accuracy is 94 %). Its agreement between orders is right but for unread
    verdicts, which count as votes for the second response.

    Args:
        forward: winners "1" or "2" in the given order, None where unread.
        backward: the same in the swapped order, un-mapped.
        labels: 1 or 2.
    """
    ahead, behind = [int(w == "1") for w in forward], [int(w == "1") for w in backward]
    return PublishedKappas(cohen_kappa(ahead, labels), cohen_kappa(behind, labels), cohen_kappa(ahead, behind))
