"""Confidence intervals for a share and for any statistic of rows: Wilson's score interval and the bootstrap.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212;
B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979), 1-26 (percentile form).
Plain functions on numbers and arrays; they do not know what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(successes: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Return the interval of a share.

    Args:
        successes: how many of `n`, in [0, n]; a fraction where ties count half.
        n: how many in all, at least 0.
        z: quantile of the normal distribution.

    Returns:
        Lower and upper bound, fractions in [0, 1]; (0, 1) where n is 0.

    Raises:
        ValueError: if successes lie outside [0, n].
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; expected 0 to {n}")
    if n == 0:
        return 0.0, 1.0
    share, spread = successes / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(
    groups: Sequence[object], statistic: Callable[[NDArray[np.int64]], float], seed: int, resamples: int = 1000
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic under resampling of groups of rows with replacement.

    Args:
        groups: one label per row; rows with equal labels (the responses of a prompt, say) are drawn together.
        statistic: takes row numbers, a row as often as it was drawn, shape (m,), and returns one number; resamples for
            which it is NaN are left out.
        seed: of the draws.
        resamples: how many.

    Returns:
        The 2.5 % and 97.5 % quantiles; (nan, nan) if there are no rows or no resample gives a number.
    """
    members: dict[object, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    rows = [np.array(at, dtype=np.int64) for at in members.values()]
    if not rows:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    draws = random.integers(len(rows), size=(resamples, len(rows)))
    values = np.array([statistic(np.concatenate([rows[i] for i in draw])) for draw in draws])
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
