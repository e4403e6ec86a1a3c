"""The shapes of a reward: PAR, and those that the PAR paper compares it with.

Paper: PAR, arXiv:2502.18770; formulas as in its code (PorUna-byte/PAR `trainers/reward_shaper.py`; 6.1 of our training
notes). The code computes mean, spread and bounds as it goes through training; here they are those of a whole set.
Plain arithmetic on arrays; knows no rows.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from stages.preference.preference_matrix import sigmoid

FloatArray = NDArray[np.float64]

LSC_QUANTILE = 0.85
"""The quantile of the references that a log-sigmoid-centred reward is measured from."""
_LSC_WIDENING = 1e-5


def par(rewards: FloatArray, references: FloatArray, slope: float = 1.0) -> FloatArray:
    """Return the mean over the references of sigmoid(slope (r - r_m)): not the sigmoid of the mean.

    Args:
        rewards: shape (n,), finite.
        references: shape (m,), rewards of reference responses to the same prompt, m at least 1.
        slope: k of the paper, above 0.

    Returns:
        Shape (n,), in [0, 1]: under a Bradley-Terry reward the probability to be better than a reference.
    """
    return np.asarray(sigmoid(slope * (rewards[:, None] - references)).mean(axis=1), dtype=np.float64)


def tanh(rewards: FloatArray, references: FloatArray) -> FloatArray:
    """Return the mean hyperbolic tangent of r - r_m over the references, shape (n,), in [-1, 1]."""
    return np.asarray(np.tanh(rewards[:, None] - references).mean(axis=1), dtype=np.float64)


def centered(rewards: FloatArray, references: FloatArray) -> FloatArray:
    """Return the reward minus the mean of the references, shape (n,)."""
    return np.asarray(rewards - references.mean(), dtype=np.float64)


def log_sigmoid_centered(rewards: FloatArray, references: FloatArray) -> FloatArray:
    """Return log sigmoid(r - q), q the 0.85 quantile of a normal distribution fitted to the references (LSC).

    Args:
        rewards: shape (n,).
        references: shape (m,), m at least 2; spread by the sample standard deviation plus 1e-5, as in the code.

    Returns:
        Shape (n,), below 0.
    """
    spread = float(references.std(ddof=1)) + _LSC_WIDENING
    quantile = float(references.mean()) + NormalDist().inv_cdf(LSC_QUANTILE) * spread
    return np.asarray(-np.logaddexp(0.0, quantile - rewards), dtype=np.float64)


def mean_std(rewards: FloatArray) -> FloatArray:
    """Return (r - mean) / population standard deviation, shape (n,); 0 where all are equal."""
    if rewards.max() == rewards.min():  # the mean of equal numbers may be off by rounding, and all would be 1
        return np.zeros_like(rewards)
    away = rewards - rewards.mean()
    furthest = float(np.abs(away).max())
    return np.asarray(away / furthest / (away / furthest).std(), dtype=np.float64)


def clipped(rewards: FloatArray) -> FloatArray:
    """Return the reward held between mean - std and mean + std (population), shape (n,)."""
    mean, spread = float(rewards.mean()), float(rewards.std())
    return np.asarray(np.clip(rewards, mean - spread, mean + spread), dtype=np.float64)


def minmax(rewards: FloatArray) -> FloatArray | None:
    """Return (r - min) / (max - min), shape (n,), in [0, 1]; None where all are equal."""
    low, high = float(rewards.min()), float(rewards.max())
    return np.asarray((rewards - low) / (high - low), dtype=np.float64) if high > low else None


def penalised(rewards: FloatArray, tokens: FloatArray, penalty: float, free: int) -> FloatArray:
    """Return the reward minus `penalty` for each token beyond `free`, shape (n,); 0.01 and 300 in the code."""
    return np.asarray(rewards - penalty * np.maximum(tokens - free, 0.0), dtype=np.float64)
