"""WildBench's figures: WB-Score, WB-Reward with its length rule, group values, task-macro and the mix of baselines.

Paper: arXiv:2406.04770; figures follow allenai/WildBench, `leaderboard/data_dir/_create_tables.py` and
`_merge_results.py`. Departures, each with a switch back: rewards are divided by what was judged (the published overall
reward divides by all judgments, those of empty or cut-off answers too), and a baseline that is missing from the mix
gives no mix (the published script counts it as 0). Does not know judges or prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.intervals import bootstrap_interval

Array = NDArray[np.float64]
Outcome = Literal["win_much", "win", "tie", "lose", "lose_much"]
POINTS: Mapping[Outcome, float] = {"win_much": 1.0, "win": 0.5, "tie": 0.0, "lose": -0.5, "lose_much": -1.0}
BASELINES = ("haiku", "llama", "gpt4t")
"""Claude-3-Haiku, Llama-2-70B-chat, GPT-4-Turbo-0409: the order of the published sum, which decides its last digit."""

INFORMATION, CREATIVE = "Information/Advice seeking", "Creative Tasks"
CODING, PLANNING, MATHS = "Coding & Debugging", "Planning & Reasoning", "Math & Data Analysis"
GROUP_OF_TAG: Mapping[str, str] = {
    "Information seeking": INFORMATION,
    "Advice seeking": INFORMATION,
    "Creative Writing": CREATIVE,
    "Editing": CREATIVE,
    "Brainstorming": CREATIVE,
    "Role playing": CREATIVE,
    "Others": CREATIVE,
    "Coding & Debugging": CODING,
    "Reasoning": PLANNING,
    "Planning": PLANNING,
    "Math": MATHS,
    "Data Analysis": MATHS,
}
MACRO_WEIGHTS: Mapping[str, float] = {CREATIVE: 0.5, PLANNING: 1.25, MATHS: 1.0, INFORMATION: 0.75, CODING: 1.25}
MACRO_WEIGHTS_BEFORE_2024_06_26: Mapping[str, float] = {**MACRO_WEIGHTS, CODING: 1.0}


def groups_of(primary: str, secondary: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the groups that a task counts in, each once: those of all its tags.

    Raises:
        ValueError: if a tag is none of the twelve.
    """
    unknown = [t for t in (primary, *secondary) if t not in GROUP_OF_TAG]
    if unknown:
        raise ValueError(f"tag {unknown[0]!r} is none of WildBench's: {', '.join(GROUP_OF_TAG)}")
    return tuple(dict.fromkeys(GROUP_OF_TAG[t] for t in (primary, *secondary)))


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One answer scored by a judge."""

    score: float
    """1 to 10."""
    length: int
    """Characters of the answer."""
    usable: bool = True
    """False if the answer is empty or cut off."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreFigures:
    """Figures of a system's scored answers.

    Attributes:
        mean_score: 1 to 10, over all answers, as published; NaN without any.
        wb_score: (mean_score - 5) x 2; the leaderboard shows it times 10.
        interval: 95 % bootstrap interval of `wb_score` over answers; (nan, nan) if not asked.
        mean_length: characters, over usable answers; NaN without any.
        group_scores: (mean - 5) x 2 of each group, over usable answers; in the order in which groups first occur.
        task_macro: their weighted mean; None if a group is missing.
        macro_interval: that of `task_macro`; resamples without one of the groups are left out.
        total: answers, of which `usable` are neither empty nor cut off.
    """

    mean_score: float
    wb_score: float
    interval: tuple[float, float]
    mean_length: float
    group_scores: Mapping[str, float]
    task_macro: float | None
    macro_interval: tuple[float, float]
    total: int
    usable: int


def wb_score(
    answers: Sequence[ScoredAnswer], resamples: int = 0, seed: int = 0, weights: Mapping[str, float] = MACRO_WEIGHTS
) -> ScoreFigures:
    """Return the figures of scored answers.

    Args:
        answers: one for each task.
        resamples: of the bootstrap; 0 for no interval.
        seed: of the bootstrap.
        weights: of the groups in the task-macro.
    """
    scores, usable = np.array([a.score for a in answers]), [a for a in answers if a.usable]
    mean = float(scores.mean()) if len(scores) else math.nan
    interval = (math.nan, math.nan)
    if resamples:
        interval = bootstrap_interval(range(len(scores)), lambda at: _rescaled(scores[at].mean()), seed, resamples)
    inside = {g: np.array([a.usable and g in a.groups for a in answers], dtype=bool) for g in weights}
    by_group: dict[str, list[float]] = {}
    for answer in usable:
        for group in dict.fromkeys(answer.groups):
            by_group.setdefault(group, []).append(answer.score)
    group_scores = {group: _rescaled(np.mean(found)) for group, found in by_group.items()}
    return ScoreFigures(
        mean,
        _rescaled(mean),
        interval,
        float(np.mean([a.length for a in usable])) if usable else math.nan,
        group_scores,
        task_macro(group_scores, weights),
        _macro_interval((scores - 5) * 2, inside, weights, seed, resamples),
        len(answers),
        len(usable),
    )


def _rescaled(mean: float | np.floating) -> float:
    return (float(mean) - 5) * 2


def task_macro(values: Mapping[str, float], weights: Mapping[str, float] = MACRO_WEIGHTS) -> float | None:
    """Return the weighted mean of group values; None if a group that has a weight is missing, never a guess.

    Summed in the order of `values`, as published, which decides the last digit; groups without a weight count nowhere.
    """
    if not weights.keys() <= values.keys():
        return None
    return sum(value * weights[group] for group, value in values.items() if group in weights) / sum(weights.values())


def _macro_interval(
    values: Array, inside: Mapping[str, NDArray[np.bool_]], weights: Mapping[str, float], seed: int, resamples: int
) -> tuple[float, float]:
    """Return the bootstrap interval of the task-macro over tasks; `inside` tells which belong to a group and count."""
    if not resamples:
        return math.nan, math.nan

    def figure(at: NDArray[np.int64]) -> float:
        drawn = {group: at[belongs[at]] for group, belongs in inside.items()}
        if not all(len(rows) for rows in drawn.values()):
            return math.nan
        return sum(float(values[rows].mean()) * weights[g] for g, rows in drawn.items()) / sum(weights.values())

    return bootstrap_interval(range(len(values)), figure, seed, resamples)


def length_rule(outcome: Outcome, system_length: int, baseline_length: int, k: float) -> Outcome:
    """Make a tie of a slight win of an answer that is longer by strictly more than `k` characters.

    Args:
        outcome: of the system against the baseline; a much better answer stays so, however long.
        system_length: characters.
        baseline_length: characters.
        k: below 0 leaves every outcome.
    """
    longer = {"win": system_length - baseline_length, "lose": baseline_length - system_length}.get(outcome, 0)
    return "tie" if k >= 0 and longer > k else outcome


@dataclass(frozen=True, slots=True)
class Compared:
    """One answer compared with a baseline's."""

    outcome: Outcome
    system_length: int
    baseline_length: int
    usable: bool = True
    """False if either answer is empty or cut off."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RewardFigures:
    """Figures of a system against one baseline, rewards in [-1, 1]; the leaderboard shows them times 100.

    Attributes:
        counts: usable comparisons by outcome, the length rule applied.
        reward: of the system; None if nothing can be divided by.
        interval: 95 % bootstrap interval of `reward` over comparisons; (nan, nan) if not asked.
        group_rewards: the same by group, always over what was judged; in the order in which groups first occur.
        task_macro: their weighted mean; None if a group is missing.
        macro_interval: that of `task_macro`; resamples without one of the groups are left out.
        changed: how many outcomes the length rule made a tie.
        total: comparisons, of which `judged` are usable.
    """

    counts: Mapping[Outcome, int]
    reward: float | None
    interval: tuple[float, float]
    group_rewards: Mapping[str, float]
    task_macro: float | None
    macro_interval: tuple[float, float]
    changed: int
    total: int
    judged: int


def wb_reward(
    compared: Sequence[Compared],
    k: float = -1,
    denominator: Literal["judged", "all"] = "judged",
    resamples: int = 0,
    seed: int = 0,
    weights: Mapping[str, float] = MACRO_WEIGHTS,
) -> RewardFigures:
    """Return the figures of comparisons with one baseline.

    Args:
        compared: one for each task.
        k: characters of the length rule; below 0 is the paper's K = infinity.
        denominator: `all` as published.
        resamples: of the bootstrap; 0 for no interval.
        seed: of the bootstrap.
        weights: of the groups in the task-macro.
    """
    ruled = [length_rule(c.outcome, c.system_length, c.baseline_length, k) for c in compared]
    usable = [(outcome, c) for outcome, c in zip(ruled, compared, strict=True) if c.usable]
    counts = count_outcomes(outcome for outcome, _ in usable)
    by_group: dict[str, list[Outcome]] = {}
    for outcome, one in usable:
        for group in dict.fromkeys(one.groups):
            by_group.setdefault(group, []).append(outcome)
    points = np.array([POINTS[o] if c.usable else math.nan for o, c in zip(ruled, compared, strict=True)])
    inside = {g: np.array([c.usable and g in c.groups for c in compared], dtype=bool) for g in weights}
    found = {g: reward_of(count_outcomes(outcomes)) for g, outcomes in by_group.items()}
    group_rewards = {g: value for g, value in found.items() if value is not None}
    return RewardFigures(
        counts,
        reward_of(counts, len(compared) if denominator == "all" else None),
        _reward_interval(points, denominator == "all", seed, resamples),
        group_rewards,
        task_macro(group_rewards, weights),
        _macro_interval(points, inside, weights, seed, resamples),
        sum(c.usable and o != c.outcome for o, c in zip(ruled, compared, strict=True)),
        len(compared),
        len(usable),
    )


def _reward_interval(points: Array, over_all: bool, seed: int, resamples: int) -> tuple[float, float]:
    """Return the bootstrap interval of the reward; points are NaN where the comparison is not usable."""
    if not resamples:
        return math.nan, math.nan

    def figure(at: NDArray[np.int64]) -> float:
        size = len(at) if over_all else int((~np.isnan(points[at])).sum())
        return float(np.nansum(points[at])) / size if size else math.nan

    return bootstrap_interval(range(len(points)), figure, seed, resamples)


def count_outcomes(outcomes: Iterable[Outcome]) -> dict[Outcome, int]:
    """Count outcomes; those that do not occur are 0."""
    counts = dict.fromkeys(POINTS, 0)
    for outcome in outcomes:
        counts[outcome] += 1
    return counts


def reward_of(counts: Mapping[Outcome, int], total: int | None = None) -> float | None:
    """Return the reward that counts give: points over what was judged, or over `total`; None if that is 0."""
    size = sum(counts.values()) if total is None else total
    if not size:
        return None
    return sum(POINTS[outcome] * count for outcome, count in counts.items()) / size


def mix_rewards(
    rewards: Mapping[str, float | None], baselines: Sequence[str] = BASELINES, missing_is_zero: bool = False
) -> float | None:
    """Return WB-Reward (Mix), the plain mean over baselines.

    Args:
        rewards: by baseline.
        baselines: those that belong to the mix.
        missing_is_zero: count a missing baseline as 0, as the published script does, in place of giving no mix.
    """
    found = [rewards.get(name) for name in baselines]
    if None in found and not missing_is_zero:
        return None
    return sum(value or 0.0 for value in found) / len(found)
