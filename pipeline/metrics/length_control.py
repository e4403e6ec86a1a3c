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
from pipeline.metrics.win_rate import WinRate, check_preferences, standard_error_of_mean, win_rate

Instruction = str | int
IntArray = NDArray[np.int64]
REGULARISER_WEIGHT = 0.2
"""Lambda of the published code: shared equally by the systems that regularise, 0.1 a row for two of them."""


@dataclass(frozen=True, slots=True)
class Judgments:
    """What a judge said of one system against the baseline, row by row.

    Attributes:
        instructions: what was asked, by any id; all text or all integers.
        preferences: probability that the system's answer is the better one, in [0, 1]; NaN or None if missing.
            AlpacaEval's files hold 1 to 2: `win_rate.from_one_to_two`.
        system_lengths: characters of the system's answers.
        baseline_lengths: characters of the baseline's answers.
        difficulties: of the rows, where they are not looked up; None if they are, or if there are none.
    """

    instructions: Sequence[Instruction]
    preferences: Array
    system_lengths: Array
    baseline_lengths: Array
    difficulties: Array | None = None

    def __post_init__(self) -> None:
        """Check the columns, and make arrays of lists."""
        sizes = {len(self.instructions)}
        for name in ("preferences", "system_lengths", "baseline_lengths", "difficulties"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
                sizes.add(len(getattr(self, name)))
        if len(sizes) > 1:
            raise ValueError(f"columns of {sorted(sizes)} rows; expected one length")
        check_preferences(self.preferences)
        for name, least in (("system_lengths", 0.0), ("baseline_lengths", 0.0), ("difficulties", -math.inf)):
            column = getattr(self, name)
            wrong = [] if column is None else np.flatnonzero(~(np.isfinite(column) & (column >= least))).tolist()
            if wrong:
                raise ValueError(f"'{name}' of row {wrong[0]} is {column[wrong[0]]}; leave out rows without an answer")

    @property
    def known(self) -> NDArray[np.bool_]:
        """Return which rows have a preference."""
        out: NDArray[np.bool_] = ~np.isnan(self.preferences)
        return out

    @property
    def tie_with_itself(self) -> bool:
        """Return whether all is a tie of equally long answers, as of the baseline against itself."""
        ties = bool((self.preferences[self.known] == 0.5).all())
        return ties and np.array_equal(self.system_lengths, self.baseline_lengths)

    def scaled_differences(self) -> Array:
        """Return tanh((len_baseline - len_system) / s), not centred; 0 where all differences are one number."""
        longer = self.baseline_lengths - self.system_lengths
        spread = float(longer.std(ddof=1)) if len(longer) > 1 else 0.0
        return np.tanh(longer / spread) if spread > 0 else np.zeros(len(longer))

    def taken(self, at: IntArray) -> Judgments:
        """Return the rows at these positions."""
        names = [self.instructions[i] for i in at.tolist()]
        columns = (self.preferences, self.system_lengths, self.baseline_lengths)
        difficulties = None if self.difficulties is None else self.difficulties[at]
        preferences, system_lengths, baseline_lengths = (c[at] for c in columns)
        return Judgments(names, preferences, system_lengths, baseline_lengths, difficulties)


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
        gamma_interval: that of the weight of length.
        c: inverse L1 penalty used; None if the fit had none, or there was none to make.
    """

    raw: WinRate
    lc_win_rate: float
    lc_standard_error: float
    interval: tuple[float, float]
    weights: Weights
    gamma_interval: tuple[float, float]
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

    The baseline is not fitted against itself: where all is a tie of equally long answers the weights are `BASELINE`
    and the figure is 50.

    Args:
        judgments: of the system; two rows with a preference at least.
        difficulty: by instruction; None leaves the term out, or takes `difficulties` of the judgments.
        regulariser: the baseline model asked to be verbose, and to be concise, against the baseline: they hold gamma
            and beta near the effect of length alone. Without them gamma is confounded with quality.
        penalty: `l1` as published, or `none`.
        c: inverse L1 penalty; None chooses it by cross-validation.
        resamples: of the bootstrap; 0 for no interval. Each refits at the same penalty.
        seed: of the bootstrap.
        lookup: `position` gives the i-th row the i-th number of `difficulty`, as the published code does; only to
            reproduce published figures of systems with missing rows. The regulariser is looked up by instruction.

    Raises:
        ValueError: if a row has no difficulty but others have, or fewer rows than 2 (than 5 to choose C) have a
            preference.
    """
    own = _by_position(judgments, difficulty) if lookup == "position" else _difficulties(judgments, difficulty)
    beside = [_difficulties(r, difficulty) for r in regulariser]
    if len({d is None for d in (own, *beside)}) > 1:
        raise ValueError("some judgments have difficulties and some none; give all or none")
    known = int(judgments.known.sum())
    if known < (FOLDS if penalty == "l1" and c is None else 2):
        raise ValueError(f"{known} rows with a preference are too few to fit a regression")
    raw, unknown = win_rate(judgments.preferences), (math.nan, math.nan)
    if judgments.tie_with_itself:
        return LengthControlled(raw, 50.0, 0.0, (50.0, 50.0) if resamples else unknown, BASELINE, unknown, None)
    regression = _Regression.of(judgments, own, list(zip(regulariser, beside, strict=True)))
    everyone = np.arange(len(judgments.instructions))
    if penalty == "none":
        c = None
    elif c is None:
        c = choose_c(*regression.stacked(everyone))
    weights, chances = regression.predicted(everyone, c)
    intervals = regression.intervals(c, seed, resamples) if resamples else (unknown, unknown)
    return LengthControlled(
        raw,
        100 * float(chances.mean()),
        100 * standard_error_of_mean(chances),
        intervals[0],
        Weights(*weights.tolist()),
        intervals[1],
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
    def of(
        cls, judgments: Judgments, own: Array | None, regulariser: Sequence[tuple[Judgments, Array | None]]
    ) -> _Regression:
        rows, difficulties = _sorted(judgments, own)
        beside = [_weighted(*_sorted(r, d), 0.0, REGULARISER_WEIGHT / len(regulariser)) for r, d in regulariser]
        nothing = np.empty((0, 3)), np.empty(0), np.empty(0)
        features, targets, weights = (np.concatenate(parts) for parts in zip(nothing, *beside, strict=True))
        return cls(rows, difficulties, (features, targets, weights))

    def stacked(self, at: IntArray) -> tuple[Array, Array, Array]:
        """Return features, targets and weights of the rows drawn that have a preference, and of those beside them."""
        own = _weighted(self.rows.taken(at), self.difficulties[at], 1.0, 1.0)
        features, targets, weights = (np.concatenate(both) for both in zip(own, self.beside, strict=True))
        return features, targets, weights

    def predicted(self, at: IntArray, c: float | None) -> tuple[Array, Array]:
        """Return the weights fitted to the rows drawn, and the chance of each of them at equal lengths."""
        stacked = self.stacked(at)
        fitted = fit_unpenalised(*stacked) if c is None else fit_l1(*stacked, c)
        return fitted, sigmoid(fitted[2] + fitted[1] * self.difficulties[at])

    def intervals(self, c: float | None, seed: int, resamples: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the bootstrap intervals of the figure and of gamma, over instructions."""
        gammas: list[float] = []

        def figure(at: IntArray) -> float:
            fitted, chances = self.predicted(at, c)
            gammas.append(float(fitted[0]))
            return 100 * float(chances.mean())

        interval = bootstrap_interval(self.rows.instructions, figure, seed, resamples)
        low, high = np.quantile(gammas, [0.025, 0.975])
        return interval, (float(low), float(high))


def _difficulties(judgments: Judgments, difficulty: Mapping[Instruction, float] | None) -> Array | None:
    if difficulty is None or judgments.difficulties is not None:
        return judgments.difficulties
    missing = [i for i in judgments.instructions if not math.isfinite(difficulty.get(i, math.nan))]
    if missing:
        raise ValueError(f"no difficulty for {len(missing)} rows, {missing[0]!r} for one; give all or none")
    return np.array([difficulty[i] for i in judgments.instructions], dtype=np.float64)


def _by_position(judgments: Judgments, difficulty: Mapping[Instruction, float] | None) -> Array:
    numbers = list((difficulty or {}).values())[: len(judgments.instructions)]
    if len(numbers) < len(judgments.instructions):
        raise ValueError(f"{len(judgments.instructions)} rows but {len(numbers)} difficulties to look up by position")
    return np.array(numbers, dtype=np.float64)


def _sorted(judgments: Judgments, difficulties: Array | None) -> tuple[Judgments, Array]:
    own = np.zeros(len(judgments.instructions)) if difficulties is None else difficulties
    columns = (judgments.preferences, judgments.system_lengths, judgments.baseline_lengths, own)
    keys = [np.nan_to_num(c, nan=-1.0).tolist() for c in columns]
    order = sorted(range(len(own)), key=lambda i: (judgments.instructions[i], *(key[i] for key in keys)))
    at = np.array(order, dtype=np.int64)
    return judgments.taken(at), own[at]


def _weighted(judgments: Judgments, difficulties: Array, system: float, weight: float) -> tuple[Array, Array, Array]:
    """Return features, targets and weights of the rows that have a preference; lengths are scaled over all rows."""
    size, known = len(difficulties), judgments.known
    features = np.column_stack([judgments.scaled_differences(), difficulties, np.full(size, system)])
    return features[known], judgments.preferences[known], np.full(int(known.sum()), weight)
