import json
import math
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.metrics.instruction_difficulty import estimate_difficulty
from pipeline.metrics.length_control import (
    BASELINE,
    Judgments,
    Weights,
    length_controlled_win_rate,
    win_rate_between,
)
from pipeline.metrics.length_glm import PENALTIES, fit_l1, sigmoid
from pipeline.metrics.win_rate import from_one_to_two, win_rate

SHARED = Path(__file__).resolve().parents[4] / "shared/data"
ROWS, PUBLISHED = SHARED / "lc_alpaca_dev.parquet", SHARED / "lc_alpaca_dev_published.json"
needs_shared = pytest.mark.skipif(not ROWS.exists(), reason="the AlpacaEval rows are not part of the project")
TRUE = Weights(-1.3, 0.8, 0.4)


def synthetic(n=400, weights=TRUE, seed=1, hard=False):
    """Return judgments made by a known regression, and the difficulty of each instruction."""
    random = np.random.default_rng(seed)
    names = [f"i{k:04}" for k in range(n)]
    levels = random.normal(size=n)
    system, baseline = random.integers(200, 3000, n).astype(float), random.integers(200, 3000, n).astype(float)
    longer = baseline - system
    logits = weights.gamma * np.tanh(longer / longer.std(ddof=1)) + weights.beta * levels + weights.theta
    chances = sigmoid(logits)
    wins = (random.random(n) < chances).astype(float) if hard else chances
    return Judgments(names, wins, system, baseline), dict(zip(names, levels.tolist(), strict=True))


def as_tuple(weights):
    return weights.gamma, weights.beta, weights.theta


def test_weights_of_a_known_regression_are_recovered():
    judgments, difficulty = synthetic()
    found = length_controlled_win_rate(judgments, difficulty, penalty="none")
    assert as_tuple(found.weights) == pytest.approx(as_tuple(TRUE), abs=1e-6) and found.c is None
    expected = 100 * sigmoid(TRUE.theta + TRUE.beta * np.array(list(difficulty.values()))).mean()
    assert found.lc_win_rate == pytest.approx(expected, abs=1e-5)


def test_weights_are_recovered_from_wins_and_losses():
    judgments, difficulty = synthetic(20_000, hard=True)
    found = length_controlled_win_rate(judgments, difficulty, c=100.0)
    assert as_tuple(found.weights) == pytest.approx(as_tuple(TRUE), abs=0.1) and found.c == 100.0


def test_the_penalty_is_chosen_from_the_grid_and_moves_little():
    judgments, difficulty = synthetic(600, hard=True)
    chosen = length_controlled_win_rate(judgments, difficulty)
    free = length_controlled_win_rate(judgments, difficulty, penalty="none")
    assert chosen.c in PENALTIES and abs(chosen.lc_win_rate - free.lc_win_rate) < 1.5


@pytest.mark.parametrize("options", [{"c": 1.0}, {"penalty": "none"}, {}])
def test_the_order_of_rows_changes_nothing(options):
    judgments, difficulty = synthetic(120)
    order = np.random.default_rng(5).permutation(120)
    moved = Judgments(
        [judgments.instructions[i] for i in order],
        judgments.preferences[order],
        judgments.system_lengths[order],
        judgments.baseline_lengths[order],
    )
    one, other = (length_controlled_win_rate(j, difficulty, resamples=20, **options) for j in (judgments, moved))
    assert (one.lc_win_rate, one.interval, one.weights) == (other.lc_win_rate, other.interval, other.weights)


def test_swapping_roles_mirrors_the_figure():
    judgments, difficulty = synthetic()
    swapped = Judgments(
        judgments.instructions, 1 - judgments.preferences, judgments.baseline_lengths, judgments.system_lengths
    )
    one, other = (length_controlled_win_rate(j, difficulty, c=2.0) for j in (judgments, swapped))
    assert one.lc_win_rate + other.lc_win_rate == pytest.approx(100, abs=1e-5)
    assert other.weights.theta == pytest.approx(-one.weights.theta, abs=1e-5)


def test_scaling_all_lengths_changes_nothing_but_adding_to_one_side_does():
    judgments, difficulty = synthetic()
    args = judgments.instructions, judgments.preferences
    system, baseline = judgments.system_lengths, judgments.baseline_lengths
    plain, scaled, shifted = (
        length_controlled_win_rate(Judgments(*args, s, b), difficulty, c=2.0).lc_win_rate
        for s, b in ((system, baseline), (system * 7, baseline * 7), (system + 900, baseline))
    )
    assert scaled == pytest.approx(plain, abs=1e-6) and abs(shifted - plain) > 1


def test_the_baseline_is_at_fifty_and_any_two_systems_compare():
    levels = np.array([-1.0, 0.5, 2.0])
    assert win_rate_between(BASELINE, BASELINE, levels) == 50
    assert win_rate_between(TRUE, TRUE, levels) == 50
    assert win_rate_between(TRUE, BASELINE, levels) + win_rate_between(BASELINE, TRUE, levels) == pytest.approx(100)


def test_a_system_that_wins_only_by_length_comes_down_to_a_half():
    judgments, _ = synthetic(weights=Weights(-2.0, 0.0, 0.0))
    longer = Judgments(
        judgments.instructions, judgments.preferences, judgments.system_lengths, judgments.baseline_lengths
    )
    found = length_controlled_win_rate(longer, penalty="none")
    assert found.lc_win_rate == pytest.approx(50, abs=1e-4) and found.weights.beta == 0
    assert found.lc_standard_error == pytest.approx(0, abs=1e-9)


def test_answers_of_one_length_leave_the_raw_figure():
    judgments, _ = synthetic()
    same = Judgments(judgments.instructions, judgments.preferences, np.full(400, 9.0), np.full(400, 9.0))
    found = length_controlled_win_rate(same, penalty="none")
    assert found.lc_win_rate == pytest.approx(found.raw.win_rate, abs=1e-4) and not found.extreme


def test_the_interval_holds_the_figure_and_repeats():
    judgments, difficulty = synthetic(200, hard=True)
    one, other = (length_controlled_win_rate(judgments, difficulty, c=2.0, resamples=100, seed=3) for _ in range(2))
    assert one.interval == other.interval and one.interval[0] < one.lc_win_rate < one.interval[1]
    assert one.gamma_interval[0] < TRUE.gamma < one.gamma_interval[1]
    without = length_controlled_win_rate(judgments, difficulty, c=2.0)
    assert all(math.isnan(v) for v in (*without.interval, *without.gamma_interval))


def test_rows_without_a_preference_are_counted_but_not_fitted():
    judgments, _ = synthetic(50)
    judgments.preferences[:3] = math.nan
    found = length_controlled_win_rate(judgments, penalty="none")
    assert (found.raw.n, found.raw.missing) == (47, 3) and math.isfinite(found.lc_win_rate)


def test_a_system_that_always_wins_has_a_finite_fit():
    judgments, _ = synthetic(30)
    always = Judgments(judgments.instructions, np.ones(30), judgments.system_lengths, judgments.baseline_lengths)
    found = length_controlled_win_rate(always, c=1.0)
    assert found.weights.theta == pytest.approx(math.log(29), abs=1e-6)  # where 30 sigmoid(-theta) is the penalty's 1
    assert length_controlled_win_rate(always, penalty="none").lc_win_rate > 99.99


def test_the_baseline_against_itself_is_not_fitted():
    judgments, difficulty = synthetic()
    lengths = judgments.system_lengths
    itself = Judgments(judgments.instructions, np.full(400, 0.5), lengths, lengths)
    found = length_controlled_win_rate(itself, difficulty, [judgments], c=1.0, resamples=5)
    assert (found.lc_win_rate, found.lc_standard_error, found.interval) == (50.0, 0.0, (50.0, 50.0))
    assert found.weights == BASELINE and found.c is None and found.raw.n == 400


def test_difficulties_may_stand_beside_the_rows():
    judgments, difficulty = synthetic(200)
    columns = judgments.preferences, judgments.system_lengths, judgments.baseline_lengths
    beside = Judgments(judgments.instructions, *columns, [difficulty[i] for i in judgments.instructions])
    looked_up = length_controlled_win_rate(judgments, difficulty, [judgments], c=2.0)
    assert length_controlled_win_rate(beside, None, [beside], c=2.0) == looked_up
    with pytest.raises(ValueError, match="some judgments have difficulties and some none"):
        length_controlled_win_rate(beside, None, [judgments], c=2.0)


def test_the_order_of_the_regulariser_changes_nothing():
    judgments, difficulty = synthetic(100, hard=True)
    beside, _ = synthetic(100, seed=2)
    turned = Judgments(
        beside.instructions[::-1],
        *(c[::-1] for c in (beside.preferences, beside.system_lengths, beside.baseline_lengths)),
    )
    one, other = (length_controlled_win_rate(judgments, difficulty, [b]) for b in (beside, turned))
    assert one == other


def test_missing_preferences_of_the_regulariser_are_left_out():
    judgments, difficulty = synthetic(60, hard=True)
    names, lengths = ["i0001", "i0002"] * 20, (np.tile([5.0, 9.0], 20), np.tile([7.0, 3.0], 20))
    found = [
        length_controlled_win_rate(judgments, difficulty, [Judgments(names, [0.4, p] * 20, *lengths)], c=2.0).weights
        for p in (None, math.nan, 1.0)
    ]
    assert found[0] == found[1] != found[2]


def test_a_great_change_is_named_extreme():
    judgments, _ = synthetic(weights=Weights(-3.0, 0.0, 0.0))
    at = np.flatnonzero(judgments.preferences > 0.6)
    longer = Judgments(
        [judgments.instructions[i] for i in at],
        judgments.preferences[at],
        judgments.system_lengths[at],
        judgments.baseline_lengths[at],
    )
    found = length_controlled_win_rate(longer, penalty="none")
    assert found.raw.win_rate > 80 and found.lc_win_rate < 60 and found.extreme


def test_wrong_rows_are_refused():
    judgments, difficulty = synthetic(10)
    with pytest.raises(ValueError, match="expected one length"):
        Judgments(["a"], np.array([1.0, 0.0]), np.array([1.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="no difficulty for 10 rows, 'i0000'"):
        length_controlled_win_rate(judgments, {"other": 1.0})
    with pytest.raises(ValueError, match="10 rows but 1 difficulties"):
        length_controlled_win_rate(judgments, {"other": 1.0}, lookup="position")
    few = Judgments(["a", "b"], np.array([1.0, math.nan]), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="1 rows with a preference are too few"):
        length_controlled_win_rate(few, c=1.0)
    with pytest.raises(ValueError, match=r"row 1 is 1.2, outside \[0, 1\]; .* 'from_one_to_two'"):
        win_rate([0.3, 1.2])
    with pytest.raises(ValueError, match="row 0 is 2.0, outside"):
        Judgments(["a"], [2.0], [1.0], [1.0])
    for wrong in (math.nan, -1.0, math.inf):
        with pytest.raises(ValueError, match="'baseline_lengths' of row 1"):
            Judgments(["a", "b"], [1.0, 1.0], [1.0, 1.0], [1.0, wrong])
    with pytest.raises(ValueError, match="no difficulty for 1 rows, 'i0003'"):
        length_controlled_win_rate(judgments, difficulty | {"i0003": math.nan})
    with pytest.raises(ValueError, match="0 rows with a preference"):
        length_controlled_win_rate(Judgments([], [], [], []))


def test_preferences_of_files_become_probabilities():
    found = from_one_to_two([1.0, 2, 1.25, 1.5, 0.0, None])
    assert found[:5].tolist() == [0.0, 1.0, 0.25, 0.5, 0.5] and math.isnan(found[5])
    for wrong in (0.5, 2.5, -1.0):
        with pytest.raises(ValueError, match=f"row 1 is {wrong}; expected 1 to 2, or 0 for a tie"):
            from_one_to_two([1.0, wrong])


def test_win_rate_by_hand():
    found = win_rate([1.0, 0.75, 0.5, 0.0, math.nan])
    assert (found.win_rate, found.discrete_win_rate, found.n, found.missing) == (56.25, 62.5, 4, 1)
    assert found.standard_error == pytest.approx(100 * np.std([1, 0.75, 0.5, 0], ddof=1) / 2)
    nothing = win_rate([math.nan])
    assert math.isnan(nothing.win_rate) and nothing.missing == 1 and math.isnan(win_rate([1.0]).standard_error)


def test_a_strong_l1_penalty_sets_weights_to_zero():
    features = np.random.default_rng(1).normal(size=(50, 3))
    assert not fit_l1(features, sigmoid(features[:, 0]), np.ones(50), 1e-4).any()


@pytest.mark.parametrize("c", [0.3, 3.0, 100.0])
def test_a_penalised_fit_meets_the_condition_of_its_minimum(c):
    random = np.random.default_rng(6)
    features, targets, weights = random.normal(size=(80, 3)), random.random(80), random.random(80)
    found = fit_l1(features, targets, weights, c)
    slope = c * features.T @ (weights * (sigmoid(features @ found) - targets))
    assert slope[found != 0] == pytest.approx(-np.sign(found[found != 0]), abs=1e-4)
    assert (np.abs(slope[found == 0]) <= 1 + 1e-4).all()


def systems_of(number, levels, seed=2):
    random = np.random.default_rng(seed)
    out = []
    for _ in range(number):
        lengths = random.integers(100, 3000, (2, len(levels))).astype(float)
        longer = lengths[1] - lengths[0]
        logits = random.normal(-1, 0.3) * np.tanh(longer / longer.std(ddof=1)) + random.normal() + levels
        out.append(Judgments(list(range(len(levels))), sigmoid(logits), *lengths))
    return out


def test_difficulty_is_recovered_from_many_systems():
    levels = np.random.default_rng(4).normal(size=60)
    found = np.array(list(estimate_difficulty(systems_of(12, levels), ridge=1e-6).values()))
    assert found == pytest.approx(levels - levels.mean(), abs=0.02) and abs(found.mean()) < 1e-9
    with pytest.raises(ValueError, match="9 systems tell too little"):
        estimate_difficulty(systems_of(9, levels))


def alpaca_rows():
    """Return the judgments of every system, of those that regularise, and the published difficulties."""
    table = pq.read_table(ROWS)
    systems, regularisers, difficulty = {}, [], {}
    for name in dict.fromkeys(table["model"].to_pylist()):
        rows = table.filter(pc.equal(table["model"], name))
        numbers = [rows[c].to_numpy().astype(float) for c in ("preference", "len_model_output", "len_baseline_output")]
        at = rows["instruction_index"].to_pylist()
        judgments = Judgments(at, from_one_to_two(numbers[0]), numbers[1], numbers[2])
        difficulty |= dict(zip(at, rows["instruction_difficulty"].to_pylist(), strict=True))
        if rows["role"][0].as_py() == "evaluated":
            systems[name] = judgments
        else:
            regularisers.append(judgments)
    return systems, regularisers, {i: difficulty[i] for i in sorted(difficulty)}


def published():
    return json.loads(PUBLISHED.read_text("utf-8"))["models"]


@needs_shared
def test_published_win_rates_are_reproduced():
    systems, _, _ = alpaca_rows()
    assert len(systems) == len(published()) == 19
    for name, entry in published().items():
        raw, wanted = win_rate(systems[name].preferences), entry["published"]
        assert raw.win_rate == pytest.approx(wanted["win_rate"], abs=1e-6), name
        assert raw.standard_error == pytest.approx(wanted["standard_error"], abs=1e-6), name
        assert raw.discrete_win_rate == pytest.approx(wanted["discrete_win_rate"], abs=1e-6), name


@needs_shared
def test_published_length_controlled_win_rates_are_reproduced_at_the_stated_penalty():
    systems, regularisers, difficulty = alpaca_rows()
    off = {}
    for name, entry in published().items():
        found = length_controlled_win_rate(
            systems[name], difficulty, regularisers, c=entry.get("inferred_C", 1.0), lookup="position"
        )
        off[name] = abs(found.lc_win_rate - entry["published"]["length_controlled_winrate"])
        error = entry["published"]["lc_standard_error"]
        assert error is None or found.lc_standard_error == pytest.approx(error, abs=0.01), name
    assert off.pop("NullModel") < 0.15 and max(off.values()) < 0.02, off


@needs_shared
def test_published_figures_are_near_where_the_penalty_is_chosen_here():
    systems, regularisers, difficulty = alpaca_rows()
    for name in ("FuseChat-Gemma-2-9B-Instruct", "gemma-7b-it"):
        found = length_controlled_win_rate(systems[name], difficulty, regularisers, lookup="position")
        assert found.lc_win_rate == pytest.approx(published()[name]["published"]["length_controlled_winrate"], abs=0.25)


@needs_shared
def test_the_position_lookup_differs_only_where_rows_are_missing():
    systems, regularisers, difficulty = alpaca_rows()
    for name, judgments in systems.items():
        both = [
            length_controlled_win_rate(judgments, difficulty, regularisers, c=2.78, lookup=lookup).lc_win_rate
            for lookup in ("position", "instruction")
        ]
        assert (both[0] == pytest.approx(both[1], abs=1e-9)) == (len(judgments.instructions) == 805), name


@needs_shared
def test_numbers_by_position_that_stand_beside_shuffled_rows_reproduce_systems_with_missing_rows():
    _, regularisers, difficulty = alpaca_rows()
    table = pq.read_table(ROWS)
    for name in ("alpaca-7b_concise", "phi-2", "text_davinci_001"):
        rows = table.filter(pc.equal(table["model"], name))
        rows = rows.take(np.random.default_rng(3).permutation(rows.num_rows))
        at, preferences, *lengths, beside = (
            rows[c].to_pylist()
            for c in (
                "instruction_index",
                "preference",
                "len_model_output",
                "len_baseline_output",
                "instruction_difficulty_by_row",
            )
        )
        judgments = Judgments(at, from_one_to_two(preferences), *lengths, beside)
        found = length_controlled_win_rate(judgments, difficulty, regularisers, c=published()[name]["inferred_C"])
        wanted = published()[name]["published"]["length_controlled_winrate"]
        assert found.lc_win_rate == pytest.approx(wanted, abs=0.02), name


@needs_shared
def test_half_of_the_rows_agree_with_a_fit_without_penalty():
    systems, regularisers, difficulty = alpaca_rows()
    judgments = systems["FuseChat-Gemma-2-9B-Instruct"]
    half = Judgments(
        judgments.instructions[::2],
        judgments.preferences[::2],
        judgments.system_lengths[::2],
        judgments.baseline_lengths[::2],
    )
    penalised, free = (
        length_controlled_win_rate(half, difficulty, regularisers, penalty=p, c=1e4) for p in ("l1", "none")
    )
    assert penalised.lc_win_rate == pytest.approx(free.lc_win_rate, abs=1e-3)


@needs_shared
def test_our_own_difficulty_correlates_with_the_published_one():
    systems, _, difficulty = alpaca_rows()
    del systems["NullModel"]
    ours = estimate_difficulty(list(systems.values()))
    correlation = np.corrcoef([ours[i] for i in difficulty], list(difficulty.values()))[0, 1]
    assert correlation == pytest.approx(0.83, abs=0.02)
