"""How far an annotator prefers the longer response: its share of wins, and the slope of a logistic regression.

The regression is that of length-controlled AlpacaEval without its other terms (Dubois et al., arXiv:2404.04475):
logit P(first preferred) = slope * tanh((length of first - length of second) / s), s the root mean square of the length
differences. It has no intercept, so that swapping the two responses of any pair changes nothing. An annotator that
always prefers the longer one separates the data; Firth's penalty (Biometrika 80 (1993), 27-38) keeps the slope finite,
and the interval is that of the likelihood so penalised (Heinze, Schemper, Statistics in Medicine 21 (2002), 2409-2419).
Plain functions on arrays; they do not know whose preference it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.intervals import Z_95

FloatArray = NDArray[np.float64]

_PRECISION = 1e-10


def preferred(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return 1 where the first score is higher, 0.5 where they are equal, else 0; shape (n,)."""
    return np.where(first == second, 0.5, (first > second).astype(np.float64))


def longer_share(difference: FloatArray, prefers_first: FloatArray) -> tuple[float, int]:
    """Return the share of pairs that the longer response wins, and of how many pairs with unlike lengths.

    Args:
        difference: shape (n,), length of the first response minus that of the second.
        prefers_first: shape (n,), in [0, 1].

    Returns:
        The share, NaN if no pair has unlike lengths, and their number.
    """
    unlike = difference != 0
    won = np.where(difference > 0, prefers_first, 1.0 - prefers_first)[unlike]
    return (float(won.mean()) if won.size else math.nan), int(won.size)


def length_slope(difference: FloatArray, prefers_first: FloatArray) -> tuple[float, float, float]:
    """Return the slope with its 95 % interval (penalised likelihood ratio).

    Args:
        difference: shape (n,), length of the first response minus that of the second.
        prefers_first: shape (n,), in [0, 1].

    Returns:
        Slope, lower and upper bound; positive prefers the longer. A response that is one `s` longer than the other has
        odds of exp(0.76 * slope). All NaN if there are no unlike lengths.
    """
    unlike = difference != 0
    x, y = difference[unlike].astype(np.float64), prefers_first[unlike]
    if not x.size:
        return math.nan, math.nan, math.nan
    x = np.tanh(x / math.sqrt(float(np.mean(x**2))))
    slope = _falling_zero(lambda b: _score(x, y, b), 0.0)
    floor = _likelihood(x, y, slope) - Z_95**2 / 2
    low = -_falling_zero(lambda b: _likelihood(x, y, -b) - floor, -slope)
    high = _falling_zero(lambda b: _likelihood(x, y, b) - floor, slope)
    return slope, low, high


def _falling_zero(function: Callable[[float], float], start: float) -> float:
    """Return where a function that falls, from `start` on if not everywhere, crosses zero, by halving an interval."""
    low, high, step = start, start, 1.0
    while function(high) > 0:
        low, high, step = high, high + step, 2 * step
    step = 1.0
    while function(low) < 0:
        low, step = low - step, 2 * step
    while high - low > _PRECISION * max(1.0, abs(low)):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def _score(x: FloatArray, y: FloatArray, slope: float) -> float:
    """Return the derivative of the penalised likelihood, which falls through zero at its top."""
    p = np.exp(-np.logaddexp(0.0, -slope * x))
    weight = _log_weight(x, slope)
    weight = np.exp(weight - weight.max())
    return float(((y - p + weight / weight.sum() * (0.5 - p)) * x).sum())


def _likelihood(x: FloatArray, y: FloatArray, slope: float) -> float:
    """Return log likelihood plus half the logarithm of the information (Jeffreys' prior)."""
    fit = float((y * slope * x - np.logaddexp(0.0, slope * x)).sum())
    return fit + 0.5 * float(np.logaddexp.reduce(_log_weight(x, slope)))


def _log_weight(x: FloatArray, slope: float) -> FloatArray:
    """Return the logarithm of each pair's part of the information, p (1 - p) x^2."""
    z = np.abs(slope * x)
    weight: FloatArray = 2 * np.log(np.abs(x)) - z - 2 * np.log1p(np.exp(-z))
    return weight
