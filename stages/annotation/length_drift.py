"""Whether a density ratio rewards length: figures of rewards against lengths, prompt by prompt.

A weak model that is a little worse at every token makes the difference per token positive on average, so that the plain
sum grows with the response (our engine notes, section 2: a rounded copy as the weak side). Shares of the kind that
length-controlled evaluation looks at. Knows arrays only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LENGTH_WINS = 0.7
"""From this share on, of prompts or of pairs, a sum whose mean difference has that sign is called a length reward."""


@dataclass(frozen=True, slots=True)
class LengthDrift:
    """Figures over the prompts of a run.

    Attributes:
        per_token: sum of differences over sum of tokens, nats; None without tokens.
        positive: share of responses whose difference is positive, in [0, 1]; None without responses.
        prompts: prompts with one longest response among at least two.
        longest_highest: share of them in which it scores highest; a tie for the highest counts 1 / its size.
        by_chance: what that share would be if length did not matter: the mean of 1 / responses of the prompt.
        longer_wins: share of pairs of one prompt, of unequal length and reward, in which the longer scores higher.
        spearman: mean within-prompt rank correlation of reward and length, in [-1, 1], where both vary.
    """

    per_token: float | None
    positive: float | None
    prompts: int
    longest_highest: float | None
    by_chance: float | None
    longer_wins: float | None
    spearman: float | None

    @property
    def rewards_length(self) -> bool:
        """Return whether the difference is positive on average and the longer responses win nearly always."""
        return (self.per_token or 0.0) > 0 and max(self.longest_highest or 0.0, self.longer_wins or 0.0) > LENGTH_WINS

    @property
    def rewards_shortness(self) -> bool:
        """Return whether the difference is negative on average and the shorter responses win nearly always."""
        return (self.per_token or 0.0) < 0 and self.longer_wins is not None and self.longer_wins < 1 - LENGTH_WINS


def length_drift(prompts: IntArray, reward: FloatArray, difference: FloatArray, tokens: FloatArray) -> LengthDrift:
    """Compute the figures.

    Args:
        prompts: shape (n,), a number for each prompt, in any order.
        reward: shape (n,), finite.
        difference: shape (n,), strong minus weak sum of log-probabilities, nats.
        tokens: shape (n,), positive length of the response under the strong model.
    """
    highest: list[float] = []
    chance: list[float] = []
    correlations: list[float] = []
    won = pairs = 0
    order = np.argsort(prompts, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(prompts[order])) + 1):
        scores, lengths = reward[rows], tokens[rows]
        if len(rows) > 1 and np.count_nonzero(lengths == lengths.max()) == 1:
            best = scores == scores.max()
            highest.append(float(best[lengths.argmax()]) / np.count_nonzero(best))
            chance.append(1 / len(rows))
        signs = np.sign(np.subtract.outer(scores, scores)) * np.sign(np.subtract.outer(lengths, lengths))
        won, pairs = won + int((signs > 0).sum()), pairs + int((signs != 0).sum())
        correlation = spearman(scores, lengths)
        correlations += [] if correlation is None else [correlation]
    total = float(tokens.sum())
    return LengthDrift(
        per_token=float(difference.sum()) / total if total else None,
        positive=float((difference > 0).mean()) if len(difference) else None,
        prompts=len(highest),
        longest_highest=_mean(highest),
        by_chance=_mean(chance),
        longer_wins=won / pairs if pairs else None,
        spearman=_mean(correlations),
    )


def spearman(one: FloatArray, other: FloatArray) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None where one of the two does not vary.

    Args:
        one: shape (n,).
        other: shape (n,).
    """
    if len(one) < 2:
        return None
    a, b = (ranks - ranks.mean() for ranks in (_ranks(one), _ranks(other)))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else None


def _ranks(values: FloatArray) -> FloatArray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
