"""All figures of one annotator on some items: accuracy, ties, flips, length, margin. Wires the arithmetic beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audit.credit import credit, margin, shares_the_top
from pipeline.audit.items import Item
from pipeline.audit.length_bias import FloatArray, length_slope, longer_share, preferred
from pipeline.audit.reliability import Band, bands
from pipeline.audit.verdicts import Verdicts
from pipeline.intervals import Z_95, wilson_interval


@dataclass(frozen=True, slots=True)
class Figures:
    """What an audit says about one annotator on one set of items. Shares lie in [0, 1]; NaN where nothing was counted.

    Attributes:
        labelled: items of which people say what is better.
        judged: those of them that the annotator judged.
        accuracy: mean credit over the judged ones; `accuracy_low` and `accuracy_high` are its Wilson interval.
        accuracy_of_all: mean credit over all labelled ones, those not judged worth as much as guessing.
        guessing: what guessing is worth on the labelled items: 0.5 for pairs, 0.25 for one right response of four.
        gain: accuracy minus that of the longer response on the same items, in [-1, 1]; `gain_low` and `gain_high` are
            its 95 % interval (normal, paired by item), NaN for fewer than two items.
        ties: judged items in which several responses share the highest score.
        flip_rate: share of judged items whose verdict changed with the order of showing, over `flips_known` of them.
        longer_wins: share of pairs that the longer response wins, over `unlike_lengths` pairs.
        slope: of the preference on the length difference; `slope_low` and `slope_high` are its interval.
        mean_margin: mean of the right response's score minus the highest wrong one.
        people_tied: items that people call a tie and the annotator judged; `tied_too` of them it calls a tie.
    """

    labelled: int
    judged: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_of_all: float
    guessing: float
    gain: float
    gain_low: float
    gain_high: float
    ties: int
    flip_rate: float
    flips_known: int
    longer_wins: float
    unlike_lengths: int
    slope: float
    slope_low: float
    slope_high: float
    mean_margin: float
    people_tied: int
    tied_too: int
    bands: tuple[Band, ...]


def figures(verdicts: Verdicts, items: Sequence[Item]) -> Figures:
    """Return the figures of an annotator on some of its items."""
    labelled = [item for item in items if item.kind == "labelled"]
    judged = [item for item in labelled if item.id in verdicts.scores]
    tied = [item for item in items if item.kind == "tie" and item.id in verdicts.scores]
    scores = verdicts.scores
    worth = [credit(item.known, scores[item.id]) for item in judged]
    low, high = wilson_interval(sum(worth), len(worth))
    guessed = sum(chance(item.known) for item in labelled if item.id not in scores)
    flips = [verdicts.flips[item.id] for item in judged if item.id in verdicts.flips]
    pairs = _Pairs.of(verdicts, judged)
    wins, unlike = longer_share(pairs.difference, pairs.prefers_first)
    slope, slope_low, slope_high = length_slope(pairs.difference, pairs.prefers_first)
    gain, gain_half = _mean_and_half([w - credit(i.known, i.lengths) for w, i in zip(worth, judged, strict=True)])
    return Figures(
        labelled=len(labelled),
        judged=len(judged),
        accuracy=_mean(worth),
        accuracy_low=low,
        accuracy_high=high,
        accuracy_of_all=(sum(worth) + guessed) / len(labelled) if labelled else math.nan,
        guessing=_mean([chance(item.known) for item in labelled]),
        gain=gain,
        gain_low=gain - gain_half,
        gain_high=gain + gain_half,
        ties=sum(shares_the_top(scores[item.id]) for item in judged),
        flip_rate=_mean(flips),
        flips_known=len(flips),
        longer_wins=wins,
        unlike_lengths=unlike,
        slope=slope,
        slope_low=slope_low,
        slope_high=slope_high,
        mean_margin=_mean([margin(item.known, scores[item.id]) for item in judged]),
        people_tied=len(tied),
        tied_too=sum(shares_the_top(scores[item.id]) for item in tied),
        bands=tuple(bands(pairs.gaps, pairs.worth)),
    )


def chance(labels: Sequence[float]) -> float:
    """Return what guessing is worth: one right of m gives 1/m, several the chance that all come first."""
    right = sum(label == max(labels) for label in labels)
    return 1.0 / math.comb(len(labels), right)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _mean_and_half(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half its 95 % interval, NaN for fewer than two values."""
    half = Z_95 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return _mean(values), half


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairs of responses with unlike labels in judged items, as arrays of shape (n,)."""

    difference: FloatArray
    prefers_first: FloatArray
    gaps: list[float]
    worth: list[float]

    @staticmethod
    def of(verdicts: Verdicts, items: Sequence[Item]) -> _Pairs:
        found = [
            (
                item.lengths[i] - item.lengths[j],
                verdicts.scores[item.id][i],
                verdicts.scores[item.id][j],
                item.known[i] > item.known[j],
            )
            for item in items
            for i, j in item.places()
        ]
        first, second = (np.array([pair[k] for pair in found], dtype=np.float64) for k in (1, 2))
        prefers = preferred(first, second)
        right = np.array([pair[3] for pair in found], dtype=bool)
        worth = np.where(right, prefers, 1.0 - prefers)
        difference = np.array([pair[0] for pair in found], dtype=np.float64)
        return _Pairs(difference, prefers, np.abs(first - second).tolist(), worth.tolist())


def preferences(verdicts: Verdicts) -> dict[tuple[str, str], float]:
    """Return 1 or 0 for the one whose id sorts first of each two judged responses with unlike labels, 0.5 for a tie."""
    found: dict[tuple[str, str], float] = {}
    for item in verdicts.items.values():
        scores = verdicts.scores.get(item.id)
        if scores is None or item.kind != "labelled":
            continue
        for i, j in item.places():
            first, second = (i, j) if item.responses[i] < item.responses[j] else (j, i)
            better = 0.5 if scores[first] == scores[second] else float(scores[first] > scores[second])
            found[item.responses[first], item.responses[second]] = better
    return found
