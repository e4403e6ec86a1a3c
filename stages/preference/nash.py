"""The Nash mixture of a preference game: the weights over responses against which no response is preferred.

Two players each pick a response of a prompt, and the payoff is P(mine beats yours) - 1/2 (the game of Nash learning
from human feedback, arXiv:2312.00886, and of INPO, arXiv:2407.00617, without their regularisation and on the n sampled
responses alone). The game is symmetric, so its value is 1/2 and both players have the same best mixtures. Where there
are several, we take the one nearest to equal weights, which is unique and treats equal responses equally. It is the
least-norm point of a polyhedron, found exactly by the method of Lawson and Hanson, "Solving Least Squares Problems"
(1974), chapter 23: least-distance programming by non-negative least squares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_TINY = 1e-9
_DECIMALS = 9
"""Smaller differences of preferences are rounding; a game that hangs on them has no mixture that can be computed."""


def nash_mixture(matrix: FloatArray) -> FloatArray:
    """Return the mixture of responses that no single response beats on average, nearest to equal weights.

    Args:
        matrix: shape (n, n), P(i beats j), P + P^T = 1, nothing unknown.

    Returns:
        Shape (n,), non-negative, sum 1; `mixture @ matrix` is at least 1/2 everywhere, but for rounding (1e-5 in games
        that hang on differences of 1e-9, 1e-9 elsewhere).
    """
    n = len(matrix)
    advantage = np.round((matrix - matrix.T) / 2.0, _DECIMALS)
    # Least |x| with x >= 0, advantage^T x >= 0 and sum x >= 1; the last holds with equality at the least norm.
    bounds = np.vstack([np.eye(n), advantage.T, np.ones(n)])
    least = np.zeros(2 * n + 1)
    least[-1] = 1.0
    system = np.vstack([bounds.T, least])
    target = np.zeros(n + 1)
    target[-1] = 1.0
    residual = system @ non_negative_least_squares(system, target) - target
    weights = np.maximum(-residual[:n] / residual[n], 0.0)
    weights[weights < _TINY] = 0.0
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def nash_value(matrix: FloatArray, mixture: FloatArray) -> float:
    """Return what the mixture wins at least against any response: 1/2 for a Nash mixture, less for any other."""
    return float(np.min(mixture @ matrix))


def non_negative_least_squares(system: FloatArray, target: FloatArray) -> FloatArray:
    """Return x >= 0 with the least |system x - target| (Lawson and Hanson, algorithm NNLS).

    Args:
        system: shape (m, k).
        target: shape (m,).

    Returns:
        Shape (k,); one of the solutions where the columns depend on each other.
    """
    x = np.zeros(system.shape[1])
    free = np.zeros(system.shape[1], dtype=bool)
    barred = np.zeros(system.shape[1], dtype=bool)
    tolerance = 1e-12 * max(1.0, float(np.abs(system).max()))
    for _ in range(30 * system.shape[1]):
        gain = system.T @ (target - system @ x)
        gain[free | barred] = -np.inf
        enter = int(np.argmax(gain))
        if gain[enter] <= tolerance:
            break
        free[enter] = True
        solved = _solve(system, target, free)
        if solved[enter] <= 0:  # rounding: the gain was none, the column depends on those that are free already
            free[enter], barred[enter] = False, True
            continue
        barred[:] = False
        while solved[free].min() <= 0:
            low = free & (solved <= 0)
            step = float(np.min(x[low] / (x[low] - solved[low])))
            x = x + step * (solved - x)
            free &= x > tolerance
            x[~free] = 0.0
            solved = _solve(system, target, free)
        x = solved
    return x


def _solve(system: FloatArray, target: FloatArray, free: NDArray[np.bool_]) -> FloatArray:
    x = np.zeros(system.shape[1])
    x[free] = np.linalg.lstsq(system[:, free], target, rcond=None)[0]
    return x
