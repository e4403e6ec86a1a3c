import json
import math
import random
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.metrics.wildbench import (
    CODING,
    CREATIVE,
    INFORMATION,
    MACRO_WEIGHTS,
    MACRO_WEIGHTS_BEFORE_2024_06_26,
    POINTS,
    Compared,
    ScoredAnswer,
    count_outcomes,
    groups_of,
    length_rule,
    mix_rewards,
    reward_of,
    task_macro,
    wb_reward,
    wb_score,
)

SHARED = Path(__file__).resolve().parents[4] / "shared/data"
PUBLISHED, RULES = SHARED / "wildbench_published_dev.json", SHARED / "wildbench_rules_golden.json"
needs_shared = pytest.mark.skipif(not PUBLISHED.exists(), reason="the WildBench judgments are not part of the project")


def test_score_by_hand():
    answers = [
        ScoredAnswer(8, 100, True, (CODING,)),
        ScoredAnswer(4, 300, True, (CODING, CREATIVE, CODING)),
        ScoredAnswer(1, 0, False, (CREATIVE,)),
    ]
    found = wb_score(answers, resamples=50)
    assert found.mean_score == pytest.approx(13 / 3) and found.wb_score == pytest.approx(-4 / 3)
    assert (found.mean_length, found.total, found.usable) == (200, 3, 2)
    assert found.group_scores == {CODING: 2.0, CREATIVE: -2.0}
    assert -8 <= found.interval[0] <= found.wb_score <= found.interval[1] <= 6


def test_nothing_scored_is_no_number():
    found = wb_score([])
    assert math.isnan(found.mean_score) and math.isnan(found.mean_length) and found.total == 0
    assert wb_reward([]).reward is None and reward_of(count_outcomes([])) is None


def test_a_task_counts_once_in_every_group_of_its_tags():
    assert groups_of("Editing", ["Brainstorming", "Math", "Reasoning"]) == (
        CREATIVE,
        "Math & Data Analysis",
        "Planning & Reasoning",
    )
    with pytest.raises(ValueError, match="'Cooking' is none"):
        groups_of("Cooking")


def test_macro_weights_by_hand():
    values = dict.fromkeys(MACRO_WEIGHTS, 0.0) | {CODING: 1.0}
    assert task_macro(values) == pytest.approx(1.25 / 4.75)
    assert task_macro(values, MACRO_WEIGHTS_BEFORE_2024_06_26) == pytest.approx(1 / 4.5)
    assert task_macro({CODING: 1.0, INFORMATION: 1.0}) is None


def test_the_length_rule_makes_ties_of_slight_wins_of_longer_answers():
    assert length_rule("win", 1501, 1000, 500) == length_rule("lose", 1000, 1501, 500) == "tie"
    assert length_rule("win", 1500, 1000, 500) == "win" and length_rule("lose", 2000, 1000, 0) == "lose"
    assert length_rule("win_much", 9000, 1, 0) == "win_much" and length_rule("win", 9000, 1, -1) == "win"


COMPARED = [
    Compared("win_much", 900, 100, True, (CODING,)),
    Compared("win", 900, 100, True, (CODING, CREATIVE)),
    Compared("lose", 100, 100, True, (CREATIVE,)),
    Compared("lose_much", 0, 100, False, (CREATIVE,)),
]


def test_reward_is_divided_by_what_was_judged_or_by_all():
    found = wb_reward(COMPARED)
    assert found.reward == pytest.approx(1 / 3) and (found.judged, found.total, found.changed) == (3, 4, 0)
    assert wb_reward(COMPARED, denominator="all").reward == pytest.approx(0.25)
    assert found.group_rewards == {CODING: 0.75, CREATIVE: 0.0}


def test_reward_under_the_length_rule():
    found = wb_reward(COMPARED, k=500)
    assert found.reward == pytest.approx(0.5 / 3) and found.changed == 1 and found.counts["tie"] == 1


@pytest.mark.parametrize("denominator", ["judged", "all"])
def test_the_interval_of_a_reward_holds_it_and_repeats(denominator):
    one, other = (wb_reward(COMPARED * 20, -1, denominator, resamples=200, seed=4) for _ in range(2))
    assert one.interval == other.interval and one.interval[0] < one.reward < one.interval[1]
    assert all(math.isnan(v) for v in wb_reward(COMPARED[3:], resamples=5).interval)


def of_all_groups(n=60):
    draw = random.Random(2)
    return [
        (group, draw.randrange(1, 11), draw.choice(list(POINTS)), draw.random() < 0.9)
        for group in MACRO_WEIGHTS
        for _ in range(n)
    ]


def test_task_macros_of_rows_have_an_interval():
    rows = of_all_groups()
    scored = wb_score([ScoredAnswer(s, 9, u, (g,)) for g, s, _, u in rows], 200, 1)
    reward = wb_reward([Compared(o, 9, 9, u, (g,)) for g, _, o, u in rows], resamples=200, seed=1)
    assert scored.task_macro == task_macro(scored.group_scores) and reward.task_macro == task_macro(
        reward.group_rewards
    )
    for found in (scored, reward):
        assert found.macro_interval[0] < found.task_macro < found.macro_interval[1]
    spread = [
        np.var([2 * s for g, s, _, u in rows if g == group and u]) / 54 * w**2 for group, w in MACRO_WEIGHTS.items()
    ]
    width = scored.macro_interval[1] - scored.macro_interval[0]
    assert width == pytest.approx(2 * 1.96 * math.sqrt(sum(spread)) / 4.75, rel=0.2)


def test_a_group_that_is_missing_gives_no_task_macro():
    found = wb_score([ScoredAnswer(8, 100, True, (CODING,))], resamples=5)
    assert found.task_macro is None and all(math.isnan(v) for v in found.macro_interval)
    assert wb_score([ScoredAnswer(8, 1, True, (CODING,))], weights={CODING: 1.0}).task_macro == 6.0
    assert wb_reward(COMPARED, weights={CODING: 1.0, CREATIVE: 1.0}).task_macro == 0.375


def test_a_missing_baseline_gives_no_mix():
    rewards = {"gpt4t": -0.2, "haiku": 0.1, "llama": 0.4}
    assert mix_rewards(rewards) == pytest.approx(0.1)
    assert mix_rewards(rewards | {"llama": None}) is None
    assert mix_rewards({"gpt4t": -0.2, "haiku": 0.1}, missing_is_zero=True) == pytest.approx(-0.1 / 3)


@needs_shared
def test_the_published_truth_table_of_the_length_rule():
    names = {("test", 2): "win_much", ("test", 1): "win", ("ref", 1): "lose", ("ref", 2): "lose_much"}
    cases = json.loads(RULES.read_text("utf-8"))["pairwise_rule"]["cases"]
    for case in cases:
        outcome = names.get((case["winner"], case["extent"]), "tie")
        found = length_rule(outcome, case["len_test"], case["len_ref"], case["K"])
        assert (found, POINTS[found]) == (case["outcome"], case["reward"]), case
    assert len(cases) == 150


@needs_shared
def test_published_scores_are_reproduced_from_judgments():
    table = pq.read_table(SHARED / "wildbench_score_dev.parquet")
    runs = json.loads(PUBLISHED.read_text("utf-8"))["score_runs"]
    assert len(runs) >= 8
    for name, entry in runs.items():
        rows = table.filter(pc.equal(table["run"], name)).to_pylist()
        usable = [not (r["is_truncated"] or r["is_empty"]) for r in rows]
        found = wb_score([ScoredAnswer(r["score"], r["output_len"], u) for r, u in zip(rows, usable, strict=True)])
        wanted = entry.get("published", entry["recomputed"])
        assert (found.mean_score, found.total) == (wanted["score"], wanted["total"]), name
        assert found.wb_score == wanted["adjusted_score"] and found.mean_length == wanted["avg_len"], name
        if "task_categorized_scores" in wanted:
            macro = task_macro(wanted["task_categorized_scores"], entry["category_weights_in_force"])
            assert macro == wanted["task_macro_score"], name


@needs_shared
def test_published_rewards_are_reproduced_from_counts():
    tables = 0
    for by_baseline in json.loads(PUBLISHED.read_text("utf-8"))["pairwise_counts"].values():
        for by_k in by_baseline.values():
            for entry in by_k.values():
                counts = {o: entry[o] for o in POINTS}
                assert reward_of(counts, entry["total"]) == entry["reward"]
                groups = {g: reward_of(c) for g, c in entry["task_categorized_results"].items()}
                assert groups == entry["task_categorized_rewards"]
                assert task_macro(groups) == entry["task_macro_reward"]
                tables += 1
    assert tables > 100


@needs_shared
def test_published_mixtures_are_reproduced():
    data = json.loads(PUBLISHED.read_text("utf-8"))
    compared = 0
    for name, by_k in data["leaderboard_merged"].items():
        for k, row in by_k.items():
            rewards = {b: row.get(f"{b}_reward.K={k}") for b in ("gpt4t", "haiku", "llama")}
            rewards = {b: v if isinstance(v, float | int) else None for b, v in rewards.items()}
            assert mix_rewards(rewards, missing_is_zero=True) == row[f"mixture_of_rewards.K={k}"], name
            macros = {b: row[f"{b}_reward.task_macro.K={k}"] for b in rewards}
            assert mix_rewards(macros, missing_is_zero=True) == row[f"task_macro_reward.K={k}"], name
            compared += 1
    assert compared > 50
