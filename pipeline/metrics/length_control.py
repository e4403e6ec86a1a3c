"""Length-controlled win rate (LC-AlpacaEval): what the win rate would be if both answers were equally long.

Paper: arXiv:2404.04475; figures follow tatsu-lab/alpaca_eval, `metrics/glm_winrate.py`, GLM `length_controlled_v1`:

    P(system wins on i) = sigmoid(gamma * tanh((len_baseline - len_system) / s) + beta * d_i + theta)

s is the sample standard deviation of the length difference over the system's rows, d_i the difficulty of instruction i;
lengths are characters. Departures: difficulty is looked up by instruction (the published code takes the i-th number for
the i-th row, here `lookup="position"`), and an interval by bootstrap over instructions is given, because the official
standard error shows the spread of d alone. An aggregate estimator: never use a prediction as the label of a pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.intervals import bootstrap_interval
from pipeline.metrics.length_glm import FOLDS, Array, choose_c, fit_l1, fit_unpenalised, sigmoid
from pipeline.metrics.win_rate import WinRate, standard_error_of_mean, win_rate

Instruction = str | int
IntArray = NDArray[np.int64]
REGULARISER_WEIGHT = 0.2
"""Lambda of the published code: shared equally by the systems that regularise, 0.1 a row for two of them."""


@dataclass(frozen=True, slots=True)
class Judgments:
    """What a judge said of one system against the baseline, row by row.

    Attributes:
        instructions: what was asked, by any id; all text or all integers.
        preferences: probability that the system's answer is the better one, in [0, 1]; NaN if missing.
        system_lengths: characters of the system's answers.
        baseline_lengths: characters of the baseline's answers.
    """

    instructions: Sequence[Instruction]
    preferences: Array
    system_lengths: Array
    baseline_lengths: Array

    def __post_init__(self) -> None:
        """Check that all columns are equally long."""
        sizes = {len(c) for c in (self.instructions, self.preferences, self.system_lengths, self.baseline_lengths)}
        if len(sizes) > 1:
            raise ValueError(f"columns of {sorted(sizes)} rows; expected one length")


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the regression; all 0 for the baseline itself."""

    gamma: float
    """Of the length difference; normally negative, as shorter baselines lose."""
    beta: float
    """Of the difficulty; 0 where none is given."""
    theta: float
    """Of the system."""


BASELINE = Weights(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """Win rates of a system, raw and length-controlled, in points of 100.

    Attributes:
        raw: as judged.
        lc_win_rate: mean prediction with the length difference set to 0.
        lc_standard_error: the official figure, the standard error of the mean of the predictions. It reflects the
            spread of difficulty alone; without difficulty it is 0.
        interval: 95 % bootstrap interval of `lc_win_rate` over instructions, the penalty held; (nan, nan) if not asked.
        weights: of the regression.
        c: inverse L1 penalty used; None if the fit had none.
    """

    raw: WinRate
    lc_win_rate: float
    lc_standard_error: float
    interval: tuple[float, float]
    weights: Weights
    c: float | None

    @property
    def extreme(self) -> bool:
        """Return whether control moved the figure by over 10 points and over a quarter of the way to 0 or 100."""
        raw, moved = self.raw.win_rate, self.lc_win_rate - self.raw.win_rate
        return abs(moved) > 10 and abs(moved) > (100 - raw if moved > 0 else raw) / 4


def length_controlled_win_rate(
    judgments: Judgments,
    difficulty: Mapping[Instruction, float] | None = None,
    regulariser: Sequence[Judgments] = (),
    penalty: Literal["l1", "none"] = "l1",
    c: float | None = None,
    resamples: int = 0,
    seed: int = 0,
    lookup: Literal["instruction", "position"] = "instruction",
) -> LengthControlled:
    """Fit the regression for one system and predict its win rate at equal lengths.

    The baseline is not fitted against itself: its weights are `BASELINE` and its figure is 50 by definition.

    Args:
        judgments: of the system; two rows with a preference at least.
        difficulty: by instruction; None leaves the term out.
        regulariser: the baseline model asked to be verbose, and to be concise, against the baseline: they hold gamma
            and beta near the effect of length alone. Without them gamma is confounded with quality.
        penalty: `l1` as published, or `none`.
        c: inverse L1 penalty; None chooses it by cross-validation.
        resamples: of the bootstrap; 0 for no interval. Each refits at the same penalty.
        seed: of the bootstrap.
        lookup: `position` gives the i-th row the i-th number of `difficulty`, as the published code does; only to
            reproduce published figures of systems with missing rows.

    Raises:
        ValueError: if a row has no difficulty, or fewer rows than 2 (than 5 to choose C) have a preference.
    """
    own = _by_position(judgments, difficulty) if lookup == "position" else _by_instruction(judgments, difficulty)
    regression = _Regression.of(judgments, own, [(r, _by_instruction(r, difficulty)) for r in regulariser])
    everyone = np.arange(len(own))
    known = int((~np.isnan(regression.rows.preferences)).sum())
    if known < (FOLDS if penalty == "l1" and c is None else 2):
        raise ValueError(f"{known} rows with a preference are too few to fit a regression")
    if penalty == "none":
        c = None
    elif c is None:
        c = choose_c(*regression.stacked(everyone))
    chances = regression.predicted(everyone, c)
    interval = (math.nan, math.nan)
    if resamples:
        names = regression.rows.instructions
        interval = bootstrap_interval(names, lambda at: 100 * regression.predicted(at, c).mean(), seed, resamples)
    gamma, beta, theta = (float(v) for v in regression.fitted(everyone, c))
    return LengthControlled(
        win_rate(judgments.preferences),
        100 * float(chances.mean()),
        100 * standard_error_of_mean(chances),
        interval,
        Weights(gamma, beta, theta),
        c,
    )


def win_rate_between(one: Weights, other: Weights, difficulties: Array) -> float:
    """Return the predicted win rate of one fitted system over another at equal lengths, in [0, 100].

    Args:
        one: weights of the system whose win rate is asked.
        other: of its opponent; `BASELINE` for the baseline.
        difficulties: of the instructions, shape (n,).
    """
    logits = (one.theta - other.theta) + (one.beta - other.beta) * np.asarray(difficulties, dtype=np.float64)
    return 100 * float(sigmoid(logits).mean())


@dataclass(frozen=True, slots=True)
class _Regression:
    """The rows of one system, sorted by what they hold so that their order changes nothing, and those beside them."""

    rows: Judgments
    difficulties: Array
    beside: tuple[Array, Array, Array]
    """Features, targets and weights of the regulariser."""

    @classmethod
    def of(cls, judgments: Judgments, own: Array, regulariser: Sequence[tuple[Judgments, Array]]) -> _Regression:
        columns = (judgments.preferences, judgments.system_lengths, judgments.baseline_lengths)
        sortable = [np.nan_to_num(c, nan=-1.0).tolist() for c in (*columns, own)]
        order = sorted(range(len(own)), key=lambda i: (judgments.instructions[i], *(c[i] for c in sortable)))
        features = [_features(r, d, 0.0) for r, d in regulariser]
        targets = [np.asarray(r.preferences, dtype=np.float64) for r, _ in regulariser]
        weights = [np.full(len(t), REGULARISER_WEIGHT / len(regulariser)) for t in targets]
        beside = (
            np.vstack([np.empty((0, 3)), *features]),
            np.concatenate([np.empty(0), *targets]),
            np.concatenate([np.empty(0), *weights]),
        )
        return cls(_taken(judgments, np.array(order)), own[order], beside)

    def stacked(self, at: IntArray) -> tuple[Array, Array, Array]:
        """Return features, targets and weights of the rows drawn that have a preference, and of those beside them."""
        rows = _taken(self.rows, at)
        known = ~np.isnan(rows.preferences)
        own = _features(rows, self.difficulties[at], 1.0)[known], rows.preferences[known], np.ones(known.sum())
        features, targets, weights = (np.concatenate(both) for both in zip(own, self.beside, strict=True))
        return features, targets, weights

    def fitted(self, at: IntArray, c: float | None) -> Array:
        stacked = self.stacked(at)
        return fit_unpenalised(*stacked) if c is None else fit_l1(*stacked, c)

    def predicted(self, at: IntArray, c: float | None) -> Array:
        _, beta, theta = self.fitted(at, c)
        return sigmoid(theta + beta * self.difficulties[at])


def _taken(judgments: Judgments, at: IntArray) -> Judgments:
    names = [judgments.instructions[i] for i in at.tolist()]
    columns = (judgments.preferences, judgments.system_lengths, judgments.baseline_lengths)
    return Judgments(names, *(np.asarray(c, dtype=np.float64)[at] for c in columns))


def _by_instruction(judgments: Judgments, difficulty: Mapping[Instruction, float] | None) -> Array:
    if difficulty is None:
        return np.zeros(len(judgments.instructions))
    missing = [i for i in judgments.instructions if i not in difficulty]
    if missing:
        raise ValueError(f"no difficulty for {len(missing)} rows, {missing[0]!r} for one; give all or none")
    return np.array([difficulty[i] for i in judgments.instructions], dtype=np.float64)


def _by_position(judgments: Judgments, difficulty: Mapping[Instruction, float] | None) -> Array:
    numbers = list((difficulty or {}).values())[: len(judgments.instructions)]
    if len(numbers) < len(judgments.instructions):
        raise ValueError(f"{len(judgments.instructions)} rows but {len(numbers)} difficulties to look up by position")
    return np.array(numbers, dtype=np.float64)


def _features(judgments: Judgments, difficulties: Array, system: float) -> Array:
    longer = np.asarray(judgments.baseline_lengths, dtype=np.float64) - judgments.system_lengths
    spread = longer.std(ddof=1)
    scaled = np.tanh(longer / spread) if spread > 0 else np.zeros(len(longer))
    return np.column_stack([scaled, difficulties, np.full(len(longer), system)])
