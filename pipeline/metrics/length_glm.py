"""The regression behind the length-controlled win rate: fits its three weights, and chooses its L1 penalty.

Source: tatsu-lab/alpaca_eval, `metrics/glm_winrate.py` and `metrics/helpers.py` (arXiv:2404.04475). Targets are
fractions; scikit-learn takes classes, so each row is given twice, as a win with weight y and as a loss with weight
1 - y. Knows features, targets and weights; not what they mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

Array = NDArray[np.float64]

PENALTIES = tuple(float(c) for c in np.logspace(-4, 4, 10))
"""The inverse penalties C tried, scikit-learn's default grid."""
FOLDS = 5
_SEED = 123
_TOLERANCE = 1e-9
_ITERATIONS = 2000
_SMALL_RIDGE = 1e-6
"""Keeps the unpenalised fit finite where a feature tells wins and losses apart without error."""


def fit_l1(features: Array, targets: Array, weights: Array, c: float) -> Array:
    """Fit a logistic regression without intercept under an L1 penalty.

    Args:
        features: shape (n, k).
        targets: in [0, 1], shape (n,).
        weights: of the rows, shape (n,).
        c: inverse strength of the penalty, above 0.

    Returns:
        Coefficients, shape (k,).
    """
    if not (targets > 0).any() or not (targets < 1).any():  # liblinear wants both classes; a row of zeros moves nothing
        features, targets, weights = (
            np.pad(features, ((0, 1), (0, 0))),
            np.append(targets, 0.5),
            np.append(weights, 1.0),
        )
    wins, losses = targets > 0, targets < 1
    model = LogisticRegression(
        C=c,
        l1_ratio=1.0,
        solver="liblinear",
        fit_intercept=False,
        tol=_TOLERANCE,
        max_iter=_ITERATIONS,
        random_state=_SEED,
    )
    model.fit(
        np.vstack([features[wins], features[losses]]),
        np.concatenate([np.ones(wins.sum()), np.zeros(losses.sum())]),
        sample_weight=np.concatenate([(targets * weights)[wins], ((1 - targets) * weights)[losses]]),
    )
    return np.asarray(model.coef_[0], dtype=np.float64)


def choose_c(features: Array, targets: Array, weights: Array) -> float:
    """Return the C of `PENALTIES` with the least weighted log-loss on left-out rows, in five folds.

    The loss is averaged over rows, not divided by the sum of weights, and over folds; the strongest penalty of equals
    is taken. All as in the published code.
    """
    splits = list(GroupKFold(FOLDS).split(features, groups=np.arange(len(targets))))
    losses = []
    for c in PENALTIES:
        fits = [(held, fit_l1(features[kept], targets[kept], weights[kept], c)) for kept, held in splits]
        losses.append(np.mean([_loss(features[h], targets[h], weights[h], b) for h, b in fits]))
    return PENALTIES[int(np.argmin(losses))]


def _loss(features: Array, targets: Array, weights: Array, coefficients: Array) -> float:
    logits = features @ coefficients
    losses = targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(0, logits)
    return float((weights * losses).mean())


def fit_unpenalised(features: Array, targets: Array, weights: Array) -> Array:
    """Fit by Newton's method with a penalty too small to matter (1e-6); arguments as `fit_l1`."""
    coefficients = np.zeros(features.shape[1])
    penalty = np.full(len(coefficients), _SMALL_RIDGE)
    for _ in range(100):
        chances = sigmoid(features @ coefficients)
        gradient = features.T @ (weights * (targets - chances)) - penalty * coefficients
        curvature = (features * (weights * chances * (1 - chances))[:, None]).T @ features + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return coefficients


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow."""
    out: Array = np.exp(-np.logaddexp(0, -logits))
    return out
