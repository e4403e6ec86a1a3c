"""Fits of how much a score, or the chance of winning, follows length, and how sure that is.

Source: our form of the regression of LC-AlpacaEval, arXiv:2404.04475, for annotation: a linear slope for scores, a
logistic one for outcomes of pairs (docs/annotators/length_control.md). Huber's loss: P. J. Huber, Annals of
Mathematical Statistics 35 (1964), 73-101, tuned to 1.345. Plain functions on arrays; they do not know rows or columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

HUBER = 1.345
"""Residuals beyond this many deviations count less: 95 % of the efficiency of least squares under normal noise."""
_MAD = 0.6744897501960817
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted slope with what a bootstrap by prompt needs.

    Attributes:
        coefficients: that of length first, shape (k,).
        gradients: of the objective by row, at the fit, without the penalty, shape (n, k).
        features: shape (n, k).
        curvatures: weight of each row in the curvature, shape (n,).
    """

    coefficients: Array
    gradients: Array
    features: Array
    curvatures: Array


def linear_fit(scores: Array, features: Array, ridge: float, huber: bool) -> Fit:
    """Fit scores = gamma * feature, both centred within their prompt.

    Args:
        scores: shape (n,).
        features: shape (n,).
        ridge: penalty ridge / 2 * gamma squared, at least 0.
        huber: let rows far off the line count less.
    """
    weights = np.ones(len(scores))
    slope = _slope(scores, features, weights, ridge)
    for _ in range(_STEPS if huber else 0):
        residuals = np.abs(scores - slope * features)
        scale = float(np.median(residuals)) / _MAD
        if scale <= 1e-12 * float(np.abs(scores).max()):
            break
        weights = HUBER * scale / np.maximum(residuals, HUBER * scale)
        before, slope = slope, _slope(scores, features, weights, ridge)
        if abs(slope - before) < 1e-10 * scale:
            break
    gradients = (weights * features * (scores - slope * features))[:, None]
    curvatures = (weights == 1).astype(np.float64)  # of Huber's loss: beyond the bound it is a straight line
    return Fit(np.array([slope]), gradients, features[:, None], curvatures)


def _slope(scores: Array, features: Array, weights: Array, ridge: float) -> float:
    size = float((weights * features**2).sum()) + ridge
    return float((weights * features * scores).sum()) / size if size > 0 else 0.0


def logistic_fit(outcomes: Array, features: Array, ridge: float) -> Fit:
    """Fit logit P(A beats B) = features @ coefficients by Newton's method.

    Args:
        outcomes: in [0, 1], shape (n,).
        features: shape (n, k).
        ridge: penalty ridge / 2 * |coefficients| squared, above 0: keeps them finite where length tells all.
    """
    coefficients = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        chances = sigmoid(features @ coefficients)
        curvature = (features * (chances * (1 - chances))[:, None]).T @ features + ridge * np.eye(len(coefficients))
        step = np.linalg.solve(curvature, features.T @ (outcomes - chances) - ridge * coefficients)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    chances = sigmoid(features @ coefficients)
    return Fit(coefficients, features * (outcomes - chances)[:, None], features, chances * (1 - chances))


def slope_interval(fit: Fit, prompts: IntArray, ridge: float, seed: int, resamples: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the slope of length when prompts are drawn with replacement.

    Each resample takes one Newton step from the fit in place of a full fit: exact for the linear slope without
    Huber's loss, close otherwise.

    Args:
        fit: over all rows.
        prompts: number of the prompt of each row, from 0, shape (n,).
        ridge: the penalty of the fit.
        seed: of the draws.
        resamples: how many.
    """
    count, size = int(prompts.max()) + 1, len(fit.coefficients)
    pairs = [(i, j) for i in range(size) for j in range(size)]
    gradient = np.stack([np.bincount(prompts, g, count) for g in fit.gradients.T], axis=1)
    weighted = (fit.curvatures * fit.features[:, i] * fit.features[:, j] for i, j in pairs)
    curvature = np.stack([np.bincount(prompts, c, count) for c in weighted], axis=1)
    random = np.random.default_rng(seed)
    values = np.empty(resamples)
    for k in range(resamples):
        drawn = np.bincount(random.integers(count, size=count, dtype=np.int32), minlength=count).astype(np.float64)
        block = (drawn @ curvature).reshape(size, size) + ridge * np.eye(size)
        flat = not block.any()
        step = np.zeros(size) if flat else np.linalg.solve(block, drawn @ gradient - ridge * fit.coefficients)
        values[k] = fit.coefficients[0] + step[0]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow."""
    out: Array = np.exp(-np.logaddexp(0, -logits))
    return out


def logit(chances: Array, clip: float) -> Array:
    """Return log(p / (1 - p)) with p held within [clip, 1 - clip]."""
    held = np.clip(chances, clip, 1 - clip)
    out: Array = np.log(held) - np.log1p(-held)
    return out


def outcome_at_equal_length(outcomes: Array, effect: Array, clip: float) -> Array:
    """Return sigmoid(logit(clip(y)) - effect), which keeps what the row has of its own; y where the effect is 0.

    Args:
        outcomes: P(A beats B) in [0, 1], shape (n,).
        effect: gamma * tanh((len A - len B) / s), shape (n,).
        clip: how near 0 and 1 an outcome may come.
    """
    return np.where(effect == 0, outcomes, np.round(sigmoid(logit(outcomes, clip) - effect), 10))
