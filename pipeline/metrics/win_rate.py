"""Win rate of a system against a baseline, with its standard error, from a judge's preferences.

Source: tatsu-lab/alpaca_eval, `metrics/winrate.py` (AlpacaEval 2). Does not know where preferences come from, nor how
long answers are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often a system wins.

    Attributes:
        win_rate: 100 x mean preference, in [0, 100]; NaN without rows.
        standard_error: 100 x sample standard deviation (ddof 1) / sqrt(n); NaN below two rows.
        discrete_win_rate: the same with each row rounded to win, tie (half) or loss first.
        n: rows with a preference.
        missing: rows without one; they count nowhere.
    """

    win_rate: float
    standard_error: float
    discrete_win_rate: float
    n: int
    missing: int


def win_rate(preferences: Sequence[float] | NDArray[np.float64]) -> WinRate:
    """Return the win rate of a system.

    Args:
        preferences: probability that the system's answer is the better one, in [0, 1], shape (n,); 0.5 is a tie, NaN
            is a verdict that could not be had.

    Raises:
        ValueError: if a preference lies outside [0, 1].
    """
    given = np.asarray(preferences, dtype=np.float64)
    check_preferences(given)
    known = given[~np.isnan(given)]
    if not len(known):
        return WinRate(math.nan, math.nan, math.nan, 0, len(given))
    outcomes = np.where(known > 0.5, 1.0, np.where(known < 0.5, 0.0, 0.5))
    return WinRate(
        100 * float(known.mean()),
        100 * standard_error_of_mean(known),
        100 * float(outcomes.mean()),
        len(known),
        len(given) - len(known),
    )


def standard_error_of_mean(values: NDArray[np.float64]) -> float:
    """Return the sample standard deviation (ddof 1) over sqrt(n); NaN below two values."""
    n = len(values)
    return float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan


def from_one_to_two(preferences: Sequence[float | None] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AlpacaEval's preferences as probabilities that the system's answer is the better one.

    Args:
        preferences: 1 (the baseline's answer) to 2 (the system's), a tie as 0.0 or 1.5, None or NaN if missing.

    Returns:
        In [0, 1], NaN where missing, shape (n,).

    Raises:
        ValueError: if a preference is neither 0 nor in [1, 2].
    """
    given = np.asarray(preferences, dtype=np.float64)
    found: NDArray[np.float64] = np.where(given == 0, 1.5, given) - 1
    wrong = np.flatnonzero((found < 0) | (found > 1)).tolist()
    if wrong:
        raise ValueError(f"the preference of row {wrong[0]} is {given[wrong[0]]}; expected 1 to 2, or 0 for a tie")
    return found


def check_preferences(preferences: NDArray[np.float64]) -> None:
    """Raise ValueError if a preference lies outside [0, 1] (missing ones, NaN, do not)."""
    wrong = np.flatnonzero((preferences < 0) | (preferences > 1)).tolist()
    if wrong:
        found = preferences[wrong[0]]
        text = (
            f"the preference of row {wrong[0]} is {found}, outside [0, 1]; files that hold 1 to 2, as AlpacaEval's do,"
        )
        raise ValueError(f"{text} go through 'from_one_to_two' first")
