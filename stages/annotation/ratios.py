"""The arithmetic of a density ratio: normalisations, guards and squashing.

Paper: CDR / Dr.SoW, arXiv:2411.02481. The plain sum is the paper's pipeline; division by the strong model's tokens is
the authors' library reward_hub; division of each model by its own tokens, the guards and the squashing are their later
FinLab. Knows arrays only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LOW_LIKELIHOOD = -1.1
"""Mean log-probability (nats per token) under which the strong model finds a text implausible (FinLab)."""
REPEATED_WORDS = 15


def density_ratio(strong: FloatArray, weak: FloatArray, strong_size: FloatArray, weak_size: FloatArray) -> FloatArray:
    """Return strong / strong_size - weak / weak_size.

    Args:
        strong: shape (n,), sum of log-probabilities under the strong model, nats.
        weak: shape (n,), the same under the weak model.
        strong_size: shape (n,), positive: 1 for the plain sum, else tokens or bytes.
        weak_size: shape (n,), positive. Equal to `strong_size` for all variants but `per_own_token`.

    Returns:
        Shape (n,). Swapping the models negates it where each model keeps its own size; equal models give 0.
    """
    return strong / strong_size - weak / weak_size


def implausible(mean_strong: FloatArray, mean_weak: FloatArray) -> NDArray[np.bool_]:
    """Return where both models find a text implausible, so that the difference says nothing and invites hacking.

    Args:
        mean_strong: shape (n,), nats per token of the strong model.
        mean_weak: shape (n,), nats per token of the weak model.

    Returns:
        Shape (n,): mean_strong < -1.1 and mean_weak < mean_strong.
    """
    hit: NDArray[np.bool_] = (mean_strong < LOW_LIKELIHOOD) & (mean_weak < mean_strong)
    return hit


def repeats_a_window(text: str, words: int = REPEATED_WORDS) -> bool:
    """Return whether some run of `words` words, split at white space, occurs twice (overlap counts)."""
    split = text.split()
    windows = [tuple(split[i : i + words]) for i in range(len(split) - words + 1)]
    return len(set(windows)) < len(windows)


def squash(reward: FloatArray, temperature: float) -> FloatArray:
    """Return sigmoid(reward / temperature); it saturates to 0 or 1 in floating point, which makes ties."""
    z = reward / temperature
    small = np.exp(-np.abs(z))
    squashed: FloatArray = np.where(z >= 0, 1.0, small) / (1.0 + small)
    return squashed
