"""How many distinct skills and pairs a fair draw of skill sets brings up, and how even counts are.

Section A3 and A7 of the method notes; Instruct-SkillMix (arXiv:2408.14774) reports none of it. Pure arithmetic.

Let M be the number of all k-sets of m skills and A the number of those that hold a given thing (a skill: C(m-1, k-1); a
pair of skills: C(m-2, k-2)). Among n sets drawn independently the thing is missing with probability (1 - A/M)^n; among
n different sets with the product of 1 - A/(M - i) over i < n. Expectation and variance of the number of things that
come up follow from that and from the same for two things at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, erfc, exp, expm1, sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Distinct:
    """How many distinct things n sets bring up: all there are, the mean, and the standard deviation of a fair draw."""

    possible: int
    expected: float
    sd: float

    def z(self, observed: int) -> float | None:
        """Return by how many standard deviations a count is off; None where chance has no part in it."""
        return None if self.sd < 1e-6 else (observed - self.expected) / self.sd


def distinct_skills(skills: int, k: int, n: int, *, repeated: bool) -> Distinct:
    """Return how many of `skills` skills come up in n sets of k, sets independent (`repeated`) or all different."""
    other = _comb(skills - 2, k - 2)
    return _distinct(skills, comb(skills - 1, k - 1), [(skills - 1, other)], comb(skills, k), n, repeated)


def distinct_pairs(skills: int, k: int, n: int, *, repeated: bool) -> Distinct:
    """Return how many of the C(skills, 2) pairs come up together in some set."""
    sharing = (2 * (skills - 2), _comb(skills - 3, k - 3))
    apart = (_comb(skills - 2, 2), _comb(skills - 4, k - 4))
    return _distinct(comb(skills, 2), _comb(skills - 2, k - 2), [sharing, apart], comb(skills, k), n, repeated)


def _distinct(things: int, holding: int, others: list[tuple[int, int]], sets: int, n: int, repeated: bool) -> Distinct:
    """Return the count's mean and deviation.

    Args:
        things: how many there are.
        holding: sets that hold a given one.
        others: for a given thing, how many others there are and how many sets hold both.
        sets: all sets.
        n: sets drawn.
        repeated: whether a set can be drawn twice.
    """
    if holding == 0:
        return Distinct(things, 0.0, 0.0)
    if holding == 1 and not repeated:  # each set brings up things of its own
        return Distinct(things, float(min(n, sets) * (things / sets)), 0.0)
    left = np.full(1, float(sets)) if repeated else float(sets) - np.arange(min(n, sets))
    times = n if repeated else 1
    missing = exp(times * _log1p_sum(-holding / left))
    if missing == 0.0:
        return Distinct(things, float(things), 0.0)
    variance = missing * (1 - missing)
    for count, both in others:
        together = times * _log1p_sum((both * left - float(holding) ** 2) / (left - holding) ** 2)
        variance += count * missing**2 * expm1(together)
    return Distinct(things, things * (1 - missing), sqrt(max(0.0, things * variance)))


def _log1p_sum(values: NDArray[np.float64]) -> float:
    """Return the sum of log(1 + x); minus infinity where some x is -1 or less, which says 'impossible'."""
    return float("-inf") if (values <= -1).any() else float(np.log1p(values).sum())


def _comb(n: int, k: int) -> int:
    return comb(n, k) if 0 <= k <= n else 0


def chi_square(counts: NDArray[np.int64]) -> float:
    """Return the statistic of counts against equal expectation."""
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2).sum() / expected)


def chi_square_p(statistic: float, df: int) -> float:
    """Return the probability of a statistic at least as large, for df degrees of freedom (finite sum, exact)."""
    half, terms = statistic / 2, df // 2
    if half <= 0:
        return 1.0
    odd = df % 2
    steps = np.arange(1, terms) + (0.5 if odd else 0.0)
    first = np.log(half) / 2 - half - np.log(np.sqrt(np.pi) / 2) if odd else -half
    logs = first + np.concatenate([[0.0], np.cumsum(np.log(half) - np.log(steps))])
    return min(1.0, (erfc(sqrt(half)) if odd else 0.0) + float(np.exp(logs[:terms]).sum()))


def chi_square_critical(df: int, p: float = 0.05) -> float:
    """Return the statistic that is exceeded with probability p."""
    low, high = 0.0, df + 20.0 * sqrt(df) + 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_p(middle, df) > p else (low, middle)
    return high
