"""Takes out of scores, or of outcomes of pairs, the part that follows length; leaves them where that is not called for.

Source: our form of LC-AlpacaEval's regression, arXiv:2404.04475, for annotation. What a row has of its own is kept: the
prediction of that regression drops it and is never a label. Arithmetic on arrays; knows no columns and no texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.shaping.length_features import Array, IntArray, mean_spearman
from stages.shaping.length_slope import Fit, slope_interval

DEBIASED = "debiased"
EXCEPTED = "excepted"
TOO_FEW = "too_few_prompts"
NOT_DISTINGUISHABLE = "not_distinguishable"
ORDER_LOST = "order_lost"


@dataclass(frozen=True, slots=True)
class Observed:
    """The rows to work on.

    Attributes:
        values: scores centred within the prompt, or outcomes, shape (n,).
        features: that of length first, shape (n, k); length is 0 where there is nothing to take out.
        prompts: number of the prompt of each row, from 0, shape (n,).
        folds: fold of each prompt, shape (prompts,).
        excepted: rows that stay as they are and tell nothing, shape (n,).
    """

    values: Array
    features: Array
    prompts: IntArray
    folds: IntArray
    excepted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Guards:
    """When to leave the rows as they are, and how sure the slope must be."""

    ridge: float
    resamples: int
    min_prompts: int
    min_rank_correlation: float


@dataclass(frozen=True, slots=True)
class Controlled:
    """What is to be taken out.

    Attributes:
        effect: to be subtracted, shape (n,); 0 where the row stays as it is.
        status: why, shape (n,).
        gamma: slope over all rows; NaN if there were too few prompts.
        interval: its 95 % bootstrap interval by prompt.
    """

    effect: Array
    status: NDArray[np.str_]
    gamma: float
    interval: tuple[float, float]


Fitter = Callable[[Array, Array], Fit]
Applier = Callable[[Array, Array], Array]


def control(rows: Observed, guards: Guards, fit: Fitter, apply: Applier, seed: int) -> Controlled:
    """Fit the slope and return what it explains of each row, by the slope of the other folds.

    Nothing is taken out where fewer than `min_prompts` prompts have responses of different lengths, where the interval
    of gamma holds 0, or where the new values would order rows too differently: over all rows, since within a prompt of
    two responses an order is kept or turned, and half of them turn where nothing but length decided.

    Args:
        rows: the rows.
        guards: when to leave them.
        fit: of values and features.
        apply: takes values and effect, returns the values without it.
        seed: of the bootstrap.
    """
    lengths = np.where(rows.excepted, 0.0, rows.features[:, 0])
    telling = np.bincount(rows.prompts, lengths**2) > 0
    used = np.flatnonzero(telling[rows.prompts] & ~rows.excepted) if len(lengths) else np.array([], dtype=np.int64)
    if telling.sum() < guards.min_prompts:
        return _untouched(rows, TOO_FEW, math.nan, (math.nan, math.nan))
    whole = fit(rows.values[used], rows.features[used])
    _, numbers = np.unique(rows.prompts[used], return_inverse=True)
    low, high = slope_interval(whole, numbers, guards.ridge, seed, guards.resamples)
    gamma, low, high = (float(rounded(np.array([v]))[0]) for v in (whole.coefficients[0], low, high))
    if low <= 0 <= high:
        return _untouched(rows, NOT_DISTINGUISHABLE, gamma, (low, high))
    fold = rows.folds[rows.prompts]
    slopes = np.zeros(int(rows.folds.max()) + 1)
    for k in np.unique(rows.folds):
        others = used[fold[used] != k]
        slopes[k] = fit(rows.values[others], rows.features[others]).coefficients[0] if len(others) else gamma
    effect = rounded(slopes[fold] * lengths)
    free, corrected = ~rows.excepted, apply(rows.values, effect)
    kept_order = mean_spearman(rows.values[free], corrected[free], np.zeros(int(free.sum()), dtype=np.int64))
    if kept_order < guards.min_rank_correlation:
        return _untouched(rows, ORDER_LOST, gamma, (low, high))
    return Controlled(effect, np.where(rows.excepted, EXCEPTED, DEBIASED), gamma, (low, high))


def rounded(values: Array) -> Array:
    """Cut off what differs between processors: keep ten digits of the largest value."""
    largest = float(np.abs(values).max(initial=0.0))
    return values if largest == 0 else np.round(values, 10 - math.ceil(math.log10(largest)))


def _untouched(rows: Observed, status: str, gamma: float, interval: tuple[float, float]) -> Controlled:
    return Controlled(np.zeros(len(rows.values)), np.where(rows.excepted, EXCEPTED, status), gamma, interval)
