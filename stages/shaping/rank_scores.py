"""The arithmetic of several score columns of one prompt: ranks that compare, their weighted mean, and who agrees.

Source: the idea of an ensemble of annotators, rank-normalised within the prompt (Olmo 3, arXiv:2512.13961, table 32:
the signals complement each other; F 3 of our annotation notes); the form is ours. NaN stands for a missing score.
Plain arithmetic on arrays; knows no rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

EQUAL = 1e-12
"""Values that differ by less are equal; sums of the same weights in another order differ by that."""


def ranks(scores: FloatArray) -> FloatArray:
    """Return ranks from 0 (lowest) to 1 (highest); equal scores share the mean of their ranks.

    Args:
        scores: shape (n,); NaN where missing.

    Returns:
        Shape (n,), NaN where missing, and everywhere if fewer than two are there.
    """
    known = np.isfinite(scores)
    out = np.full(len(scores), np.nan)
    values = scores[known]
    if len(values) > 1:
        below = (values[:, None] > values).sum(axis=1)
        equal = (values[:, None] == values).sum(axis=1)
        out[known] = (below + (equal - 1) / 2.0) / (len(values) - 1)
    return out


def combine(ranked: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted mean of the ranks that are there.

    Args:
        ranked: shape (n, k), in [0, 1]; NaN where missing.
        weights: shape (k,), not 0; a negative weight turns its ranks round.

    Returns:
        Shape (n,), in [0, 1]; NaN where no rank is there.
    """
    turned = np.where(weights < 0, 1.0 - ranked, ranked)
    mass = np.where(np.isnan(ranked), 0.0, np.abs(weights))
    total = mass.sum(axis=1)
    weighted = np.nansum(turned * mass, axis=1)
    return np.asarray(np.where(total > 0, weighted / np.where(total > 0, total, 1.0), np.nan), dtype=np.float64)


def agreement(ranked: FloatArray, weights: FloatArray, combined: FloatArray) -> float | None:
    """Return the share of weight of the scores that order the best and the worst response as the combination does.

    A score that finds the two equal does not agree; one that lacks either takes no part. Where several responses are
    equally good or bad, it is the mean over all of their pairs, so that the order of the rows does not matter.

    Args:
        ranked: shape (n, k).
        weights: shape (k,).
        combined: shape (n,).

    Returns:
        In [0, 1]; None where the combination finds all responses equal, or no score knows both.
    """
    if not np.isfinite(combined).any() or np.nanmax(combined) - np.nanmin(combined) <= EQUAL:
        return None
    best, worst = combined >= np.nanmax(combined) - EQUAL, combined <= np.nanmin(combined) + EQUAL
    differences = (ranked[best][:, None] - ranked[worst][None, :]).reshape(-1, len(weights)) * np.sign(weights)
    mass = np.where(np.isfinite(differences), np.abs(weights), 0.0)
    total = mass.sum(axis=1)
    agreeing = np.where(differences > 0, mass, 0.0).sum(axis=1)
    return math.fsum(agreeing[total > 0] / total[total > 0]) / int((total > 0).sum()) if (total > 0).any() else None
