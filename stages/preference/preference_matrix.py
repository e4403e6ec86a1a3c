"""The arithmetic of a general preference over the n responses of a prompt, as a matrix of P(i beats j).

Source: SPPO, arXiv:2405.00675, and its code (uclaml/SPPO `scripts/compute_prob.py`; 2.1 of our training notes): the
matrix from scores by the Bradley-Terry model, its row means as the estimate of P(response beats the policy), and the
mean of both orders for a judge that sees two responses in an order. NaN stands for a comparison that is not known; it
is never filled in. Nothing here knows judges, rows or columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EQUAL = 1e-12
"""Values that differ by less are equal; win rates of the same preferences in another row may differ by rounding."""


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) for any finite x, without overflow; values in [0, 1]."""
    small = np.exp(-np.abs(x))
    value: FloatArray = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return value


def from_scores(scores: FloatArray) -> FloatArray:
    """Return the Bradley-Terry matrix of scores.

    Args:
        scores: shape (n,), finite, in nats: a difference of s means odds of exp(s).

    Returns:
        Shape (n, n), P[i][j] = sigmoid(s_i - s_j), 0.5 on the diagonal.
    """
    with np.errstate(over="ignore"):  # an infinite difference is a certain win, which is what it should be
        return sigmoid(scores[:, None] - scores[None, :])


def symmetrise(ordered: FloatArray) -> FloatArray:
    """Return (A + 1 - A^T) / 2, in which a preference for a place in the order has gone.

    Computed as 1/2 + (A - A^T) / 2, which is 1/2 to the last bit where both orders say the same.

    Args:
        ordered: shape (n, n), A[i][j] = P(i beats j | i shown first) in [0, 1]; NaN where not known. The diagonal
            does not matter.

    Returns:
        Shape (n, n), P + P^T = 1 and 0.5 on the diagonal; NaN where either order is not known.
    """
    both: FloatArray = 0.5 + (ordered - ordered.T) / 2.0
    np.fill_diagonal(both, 0.5)
    return both


def opponents(matrix: FloatArray) -> IntArray:
    """Return how many others each response was compared with, shape (n,)."""
    known: IntArray = (~np.isnan(matrix)).sum(axis=1) - 1
    return known


def win_rates(matrix: FloatArray, self_comparison: bool = True) -> FloatArray:
    """Return the mean of what is known of each row: the estimate of P(response beats the policy).

    Sums are rounded once, at their end, so that the order of the responses changes no bit of them.

    Args:
        matrix: shape (n, n), 0.5 on the diagonal.
        self_comparison: whether the diagonal counts, as in SPPO's code; it draws the means towards 0.5 by (n-1)/n.

    Returns:
        Shape (n,); NaN for a response without any known comparison where the diagonal does not count.
    """
    total = np.array([math.fsum(line[~np.isnan(line)]) for line in matrix], dtype=np.float64)
    count = opponents(matrix).astype(np.float64)
    if self_comparison:
        return np.asarray(total / (count + 1.0), dtype=np.float64)
    return np.asarray(np.where(count > 0, (total - 0.5) / np.maximum(count, 1.0), np.nan), dtype=np.float64)


def greatest(values: FloatArray, names: Sequence[str]) -> int:
    """Return the number of the greatest value; of equal ones the one whose name sorts first, whatever their places.

    Args:
        values: shape (n,), NaN for what takes no part; at least one number.
        names: n names, each once.
    """
    equals = np.flatnonzero(values >= np.nanmax(values) - EQUAL)
    return min((int(i) for i in equals), key=lambda i: names[i])


def intransitive_share(matrix: FloatArray) -> float | None:
    """Return the share of triples of responses that go round in a circle: i beats j, j beats k, k beats i.

    Only triples are counted of which all three comparisons are known and none is a tie (0.5). None if there are none.
    """
    wins = (matrix > 0.5).astype(np.int64)
    decided = wins + wins.T
    triples = int(np.trace(decided @ decided @ decided)) // 6
    circles = int(np.trace(wins @ wins @ wins)) // 3
    return circles / triples if triples else None


def position_flips(ordered: FloatArray) -> int:
    """Return for how many pairs both orders prefer the response in the same place: always the first, or the second.

    Args:
        ordered: as for `symmetrise`. A tie in either order is no flip.
    """
    upper = np.triu_indices(len(ordered), 1)
    one, other = ordered[upper], ordered.T[upper]
    return int(np.sum((one - 0.5) * (other - 0.5) > 0))
