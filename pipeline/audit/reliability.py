"""Whether an annotator is more often right where its scores lie further apart: accuracy by quantiles of the margin.

A margin that says nothing about being right should not be used to choose pairs. Plain functions on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.intervals import wilson_interval


@dataclass(frozen=True, slots=True)
class Band:
    """Pairs whose margins lie in one quantile: bounds of the margin, how many, and the share judged right."""

    low: float
    high: float
    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float


def bands(margins: Sequence[float], credits_: Sequence[float], most: int = 4) -> list[Band]:
    """Cut pairs into bands of equal size by how far the scores lie apart.

    Equal margins stay in one band, so an annotator with few different scores has fewer bands.

    Args:
        margins: absolute difference of the two scores of each pair.
        credits_: what each pair was worth, in [0, 1].
        most: most bands.

    Returns:
        Bands with rising margins; none for no pairs.
    """
    gaps, worth = np.asarray(margins, dtype=np.float64), np.asarray(credits_, dtype=np.float64)
    if not gaps.size:
        return []
    inner = np.quantile(gaps, [i / most for i in range(1, most)], method="inverted_cdf")
    place = np.searchsorted(np.unique(inner), gaps, side="left")
    return [_band(gaps[place == p], worth[place == p]) for p in np.unique(place)]


def _band(gaps: np.ndarray, worth: np.ndarray) -> Band:
    low, high = wilson_interval(float(worth.sum()), len(worth))
    return Band(float(gaps.min()), float(gaps.max()), len(worth), float(worth.mean()), low, high)
