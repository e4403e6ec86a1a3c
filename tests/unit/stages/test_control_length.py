import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.shaping.control_length import ControlLength, ControlLengthConfig
from stages.shaping.length_features import longest_wins, mean_spearman, ranked, ranks, squashed, winsorized
from stages.shaping.length_slope import (
    linear_fit,
    logistic_fit,
    logit,
    outcome_at_equal_length,
    sigmoid,
    slope_interval,
)
from tests.unit.stages.books_in_memory import BooksInMemory

PROMPT = [{"role": "user", "content": "Name a river."}]
NAMES = [f"reward_length_{n}" for n in ("debiased", "effect", "status", "gamma", "gamma_low", "gamma_high")]


def response_rows(prompts=60, n=4, gamma=0.5, noise=0.3, seed=1, category=None):
    """Return rows whose score follows tanh of the length beside quality, and a level of the prompt."""
    random = np.random.default_rng(seed)
    lengths = random.integers(10, 400, (prompts, n)) + random.integers(0, 300, (prompts, 1))
    longer = lengths - lengths.mean(axis=1, keepdims=True)
    quality = random.normal(0, noise, (prompts, n))
    scores = random.normal(0, 3, (prompts, 1)) + quality + gamma * np.tanh(longer / longer.std())
    return [
        {
            "id": f"{category or ''}{p}-{k}",
            "prompt_id": f"{category or ''}p{p}",
            "response": "x" * int(lengths[p, k]),
            "reward": float(scores[p, k]),
            "quality": float(quality[p, k]),
            "tokens": int(lengths[p, k]),
            "domain": category,
        }
        for p in range(prompts)
        for k in range(n)
    ]


EXTRA = pa.schema([("id", pa.string()), ("quality", pa.float64()), ("tokens", pa.int64()), ("domain", pa.string())])


def run(rows, **config):
    return process_table(ControlLength(ControlLengthConfig(**config)), rows, EXTRA)


def by_id(rows, **config):
    return {r["id"]: r for r in run(rows, **config).table.to_pylist()}


def arrays(rows):
    names = sorted({r["prompt_id"] for r in rows})
    prompts = np.array([names.index(r["prompt_id"]) for r in rows])
    return prompts, np.array([float(len(r["response"])) for r in rows])


@pytest.mark.parametrize("options", [{}, {"function": "rank"}, {"loss": "squared"}, {"length_column": "tokens"}])
def test_a_planted_slope_is_found_and_taken_out(options):
    rows = response_rows()
    table = run(rows, **options).table
    out = table.to_pylist()
    prompts, lengths = arrays(out)
    raw, debiased = (table[c].to_numpy() for c in ("reward", "reward_length_debiased"))
    assert set(table["reward_length_status"].to_pylist()) == {"debiased"}
    assert mean_spearman(raw, lengths, prompts) > 0.5 and abs(mean_spearman(debiased, lengths, prompts)) < 0.12
    assert mean_spearman(table["quality"].to_numpy(), debiased, prompts) > 0.75
    low, high = out[0]["reward_length_gamma_low"], out[0]["reward_length_gamma_high"]
    assert low < out[0]["reward_length_gamma"] < high and low > 0


def test_the_planted_slope_lies_in_the_interval():
    row = run(response_rows(prompts=400)).table.to_pylist()[0]
    assert row["reward_length_gamma_low"] < 0.5 < row["reward_length_gamma_high"]
    assert row["reward_length_gamma"] == pytest.approx(0.5, abs=0.03)


def test_the_raw_score_is_kept_and_the_effect_explains_the_difference():
    rows = response_rows()
    for row, found in zip(rows, run(rows).table.to_pylist(), strict=True):
        assert found["reward"] == row["reward"] and found["id"] == row["id"]
        assert found["reward_length_debiased"] == found["reward"] - found["reward_length_effect"]


def test_the_interval_is_as_wide_as_that_of_full_fits():
    random = np.random.default_rng(1)
    prompts, features = np.repeat(np.arange(80), 4), random.uniform(-1, 1, 320)
    scores = 0.4 * features + random.standard_t(3, 320)
    low, high = slope_interval(linear_fit(scores, features, 1.0, True), prompts, 1.0, 3, 1000)
    refits = []
    for _ in range(600):
        at = (4 * random.integers(80, size=80)[:, None] + np.arange(4)).ravel()
        refits.append(linear_fit(scores[at], features[at], 1.0, True).coefficients[0])
    assert high - low == pytest.approx(np.subtract(*np.quantile(refits, [0.975, 0.025])), rel=0.08)


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_the_unit_of_scores_does_not_matter(scale):
    rows = [
        {"id": f"{i}", "prompt_id": f"p{i // 3}", "response": "x" * (i * 13 % 29), "reward": i * 13 % 29 + i * 31 % 17}
        for i in range(90)
    ]
    scaled = [r | {"reward": r["reward"] * scale} for r in rows]
    one, other = (run(r).table["reward_length_debiased"].to_numpy() for r in (rows, scaled))
    assert other / scale == pytest.approx(one, abs=1e-6)


def test_the_mean_of_a_prompt_stays():
    rows = run(response_rows()).table.to_pylist()
    for name in {r["prompt_id"] for r in rows}:
        effects = [r["reward_length_effect"] for r in rows if r["prompt_id"] == name]
        assert sum(effects) == pytest.approx(0, abs=1e-9)


def test_equal_lengths_leave_a_prompt_exactly_as_it_is():
    rows = response_rows() + [
        {"id": f"e{k}", "prompt_id": "equal", "response": "y" * 70, "reward": 0.1 * k, "quality": 0.0} for k in range(3)
    ]
    found = by_id(rows)
    assert [found[f"e{k}"]["reward_length_debiased"] for k in range(3)] == [0.1 * k for k in range(3)]


def test_only_lengths_within_the_prompt_count():
    rows = response_rows(gamma=0.0)
    for row in rows:
        grow = 10 * int(row["prompt_id"][1:])
        row["response"], row["reward"] = row["response"] + "x" * grow, row["reward"] + grow
    assert set(run(rows).table["reward_length_status"].to_pylist()) == {"not_distinguishable"}


def test_a_slope_that_may_be_nothing_leaves_scores_alone():
    for row in run(response_rows(gamma=0.0)).table.to_pylist():
        assert row["reward_length_status"] == "not_distinguishable" and row["reward_length_effect"] == 0
        assert row["reward_length_debiased"] == row["reward"] and row["reward_length_gamma"] is not None


def test_too_few_prompts_leave_scores_alone():
    for row in run(response_rows(prompts=19)).table.to_pylist():
        assert row["reward_length_status"] == "too_few_prompts" and row["reward_length_gamma"] is None
        assert row["reward_length_debiased"] == row["reward"]
    assert run(response_rows(prompts=19), min_prompts=10).table["reward_length_status"][0].as_py() == "debiased"


def test_scores_that_are_nothing_but_length_are_left_alone_by_the_floor():
    found = run(response_rows(noise=0.01), min_rank_correlation=0.9).table
    assert set(found["reward_length_status"].to_pylist()) == {"order_lost"}
    assert found["reward"].equals(found["reward_length_debiased"])


def test_two_responses_of_which_the_longer_wins_nearly_always_come_down_to_half():
    random = np.random.default_rng(8)
    rows = [
        {"id": f"{p}-{k}", "prompt_id": f"p{p}", "response": "x" * n, "reward": 0.05 * n + random.normal(0, 4)}
        for p in range(200)
        for k, n in enumerate(random.integers(10, 400, 2).tolist())
    ]
    table = run(rows).table
    prompts, lengths = arrays(table.to_pylist())
    before, after = (longest_wins(table[c].to_numpy(), lengths, prompts) for c in ("reward", "reward_length_debiased"))
    assert before > 0.8 and after == pytest.approx(0.5, abs=0.08)


def test_excepted_categories_stay_and_do_not_tell():
    plain, summaries = response_rows(category="chat"), response_rows(gamma=9.0, seed=2, category="summary")
    options = {"category_column": "domain", "except_categories": ["summary"]}
    found, alone = by_id(plain + summaries, **options), by_id(plain, **options)
    for row in summaries:
        assert found[row["id"]]["reward_length_status"] == "excepted"
        assert found[row["id"]]["reward_length_debiased"] == row["reward"]
    for row in plain:
        assert found[row["id"]]["reward_length_debiased"] == pytest.approx(alone[row["id"]]["reward_length_debiased"])


def test_a_prompt_is_corrected_by_the_slope_of_the_others():
    rows = response_rows(prompts=40)
    changed = [r | {"reward": r["reward"] * (-5 if r["prompt_id"] == "p7" else 1)} for r in rows]
    before, after = by_id(rows, loss="squared"), by_id(changed, loss="squared")
    effects = [(before[r["id"]]["reward_length_effect"], after[r["id"]]["reward_length_effect"]) for r in rows]
    own = [e for e, r in zip(effects, rows, strict=True) if r["prompt_id"] == "p7"]
    assert all(a == pytest.approx(b, abs=1e-12) for a, b in own)
    assert any(abs(a - b) > 1e-6 for a, b in effects)


def test_the_order_of_rows_changes_nothing():
    rows = response_rows()
    one, other = by_id(rows), by_id(rows[::-1])
    for key in one:
        assert one[key]["reward_length_debiased"] == pytest.approx(other[key]["reward_length_debiased"], abs=1e-12)
        assert one[key]["reward_length_gamma_low"] == pytest.approx(other[key]["reward_length_gamma_low"], abs=1e-12)


def test_ids_that_differ_in_a_last_zero_character_are_two_prompts():
    rows = [
        r | {"prompt_id": f"p{i // 2}" + "\0" * (i % 2), "response": "x" * i} for i, r in enumerate(response_rows())
    ]
    assert set(run(rows).table["reward_length_status"].to_pylist()) == {"too_few_prompts"}


def test_rows_that_cannot_be_used_are_rejected():
    rows = response_rows(prompts=30)
    rows[0]["reward"], rows[1]["reward"], rows[2]["response"], rows[3]["prompt_id"] = None, math.nan, None, None
    found = run(rows)
    assert {r.row["id"]: r.code for r in found.rejects} == {
        rows[0]["id"]: "length.no_score",
        rows[1]["id"]: "length.no_score",
        rows[2]["id"]: "length.no_text",
        rows[3]["id"]: "length.no_prompt",
    }
    assert found.table.num_rows == 116


def test_a_length_that_is_null_or_negative_is_rejected():
    rows = response_rows(prompts=30)
    rows[0]["tokens"], rows[1]["tokens"] = None, -1
    assert [r.code for r in run(rows, length_column="tokens").rejects] == ["length.no_text"] * 2


def test_no_usable_row_gives_an_empty_table():
    stage = ControlLength(ControlLengthConfig())
    found = run([response_rows()[0] | {"reward": None}])
    assert not found.table.num_rows and set(stage.outputs.names) <= set(found.table.schema.names)
    assert not stage.report(BooksInMemory(1, found.table))[0].rows[3:]


def test_single_responses_and_constant_scores_are_left_alone():
    rows = [r | {"prompt_id": r["id"]} for r in response_rows(prompts=10)]
    assert set(run(rows).table["reward_length_status"].to_pylist()) == {"too_few_prompts"}
    flat = [r | {"reward": 1.0} for r in response_rows()]
    assert set(run(flat).table["reward_length_status"].to_pylist()) == {"not_distinguishable"}


def pair_rows(pairs=150, gamma=1.5, theta=0.0, position=0.0, seed=3, hard=False):
    random = np.random.default_rng(seed)
    lengths = random.integers(10, 400, (pairs, 2))
    longer = (lengths[:, 0] - lengths[:, 1]).astype(float)
    first = random.random(pairs) < 0.5
    logits = gamma * np.tanh(longer / np.sqrt((longer**2).mean())) + theta + position * np.where(first, 1, -1)
    chances = sigmoid(logits)
    wins = (random.random(pairs) < chances).astype(float) if hard else chances
    return [
        {
            "id": f"r{i}",
            "prompt_id": f"p{i // 2}",
            "response_a": "x" * int(a),
            "response_b": "x" * int(b),
            "wins": float(w),
            "a_first": bool(f),
        }
        for i, ((a, b), w, f) in enumerate(zip(lengths, wins, first, strict=True))
    ]


PAIRS = {"mode": "pairs", "column": "wins", "winsorize": 0.0}
FIRST = pa.schema([("id", pa.string()), ("a_first", pa.bool_())])


def run_pairs(rows, **config):
    stage = ControlLength(ControlLengthConfig(**(PAIRS | config)))
    return process_table(stage, rows, FIRST)


def test_a_planted_slope_of_outcomes_is_found_and_taken_out():
    table = run_pairs(pair_rows(), ridge=1e-6).table
    row = table.to_pylist()[0]
    assert row["wins_length_gamma"] == pytest.approx(1.5, abs=1e-4) and row["wins_length_status"] == "debiased"


def test_outcomes_keep_what_is_their_own():
    rows = pair_rows(hard=True)
    table = run_pairs(rows, min_rank_correlation=0.0).table
    out = table.to_pylist()
    assert {r["wins_length_status"] for r in out} == {"debiased"}
    assert out[0]["wins_length_gamma_low"] < 1.5 < out[0]["wins_length_gamma_high"]
    for row in out:
        effect = row["wins_length_effect"]
        expected = sigmoid(logit(np.array([row["wins"]]), 0.05) - effect)[0] if effect else row["wins"]
        assert row["wins_length_debiased"] == pytest.approx(expected)
    assert len({round(r["wins_length_debiased"], 3) for r in out}) > 50


def test_relabelling_a_and_b_mirrors_the_outcome():
    rows = pair_rows(hard=True)
    swapped = [
        r
        if i % 3
        else r
        | {
            "response_a": r["response_b"],
            "response_b": r["response_a"],
            "wins": 1 - r["wins"],
            "a_first": not r["a_first"],
        }
        for i, r in enumerate(rows)
    ]
    one, other = (
        run_pairs(r, position_column="a_first", min_rank_correlation=0.0, winsorize=0.05)
        .table["wins_length_debiased"]
        .to_pylist()
        for r in (rows, swapped)
    )
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        assert (a if i % 3 else 1 - a) == pytest.approx(b, abs=1e-9)


def test_terms_for_side_and_position_are_fitted_beside_length():
    rows = pair_rows(theta=1.0, position=0.8)
    lean = run_pairs(rows, ridge=1e-6).table["wins_length_gamma"][0].as_py()
    full = run_pairs(rows, ridge=1e-6, theta=True, position_column="a_first").table["wins_length_gamma"][0].as_py()
    assert full == pytest.approx(1.5, abs=1e-3) and abs(lean - 1.5) > 0.05


def test_pairs_of_equal_length_stay():
    rows = pair_rows(hard=True)
    rows += [rows[0] | {"id": f"e{w}", "response_a": "same", "response_b": "same", "wins": w} for w in (0.0, 0.7, 1.0)]
    found = {r["id"]: r for r in run_pairs(rows, min_rank_correlation=0.0).table.to_pylist()}
    assert [found[f"e{w}"]["wins_length_debiased"] for w in (0.0, 0.7, 1.0)] == [0.0, 0.7, 1.0]
    equal = [r | {"response_a": "same", "response_b": "same"} for r in rows]
    assert set(run_pairs(equal).table["wins_length_status"].to_pylist()) == {"too_few_prompts"}


def test_outcomes_that_are_no_probabilities_are_rejected():
    rows = pair_rows()
    rows[0]["wins"], rows[1]["wins"], rows[2]["response_b"] = 1.2, None, None
    assert [(r.row["id"], r.code) for r in run_pairs(rows).rejects] == [
        ("r1", "length.no_score"),
        ("r0", "length.not_a_probability"),
        ("r2", "length.no_text"),
    ]


def test_lengths_of_pairs_may_come_from_columns():
    rows = [r | {"n_a": len(r["response_a"]), "n_b": len(r["response_b"])} for r in pair_rows(hard=True)]
    one, other = (
        run_pairs(rows, min_rank_correlation=0.0, **o).table["wins_length_debiased"].to_pylist()
        for o in ({}, {"length_column": "n"})
    )
    assert one == other


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"category_column": "domain"}, "go together"),
        ({"except_categories": ["chat"]}, "go together"),
        ({"theta": True}, "'theta' has no meaning with mode 'scores'"),
        ({"mode": "pairs", "function": "rank"}, "'function' has no meaning with mode 'pairs'"),
        ({"winsorize": 0.5}, "less than 0.5"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong, text):
    with pytest.raises(ValidationError, match=text):
        ControlLengthConfig(**wrong)


def table_of(tables, title):
    return {row[0]: row[1:] for row in next(t for t in tables if t.title == title).rows}


def test_the_report_shows_the_slope_and_length_before_and_after():
    rows = response_rows(category="chat") + response_rows(seed=2, category="summary")
    stage = ControlLength(ControlLengthConfig(category_column="domain", except_categories=("summary",)))
    tables = stage.report(BooksInMemory(480, process_table(stage, rows, EXTRA).table))
    control, scores = table_of(tables, "Length control"), table_of(tables, "Score and length")
    assert control["debiased"] == (240,) and control["excepted"] == (240,)
    assert control["its interval from"][0] < control["gamma"][0] < control["to"][0]
    before, after = scores["Spearman of score and length"]
    assert before > 0.5 and abs(after) < 0.12
    before, after = scores["share of prompts whose longest response is best"]
    assert before > 0.5 > after


def test_the_report_of_pairs_counts_the_longer_response():
    stage = ControlLength(ControlLengthConfig(**PAIRS, min_rank_correlation=0.0, clip=0.3))
    table = process_table(stage, pair_rows(hard=True), FIRST).table
    shares = table_of(stage.report(BooksInMemory(150, table)), "Outcome and length")
    before, after = shares["share won by the longer response"]
    assert before > 0.6 and after < before and shares["pairs whose winner changed"][1] > 0


def test_a_report_of_ties_alone_has_no_share():
    stage = ControlLength(ControlLengthConfig(**PAIRS))
    table = process_table(stage, [r | {"wins": 0.5} for r in pair_rows()], FIRST).table
    shares = table_of(stage.report(BooksInMemory(150, table)), "Outcome and length")
    assert shares["share won by the longer response"] == (None, None)


def test_ranks_by_hand():
    values, prompts = np.array([3.0, 1.0, 1.0, 5.0, 2.0]), np.array([0, 0, 0, 1, 2])
    assert ranks(values, prompts).tolist() == [3, 1.5, 1.5, 1, 1]
    assert ranked(values, prompts).tolist() == [1, -0.5, -0.5, 0, 0]
    mixed = np.array([1, 0, 1, 0])
    assert ranks(np.array([2.0, 9.0, 1.0, 4.0]), mixed).tolist() == [2, 2, 1, 1]


def test_squashed_by_hand():
    found = squashed(np.array([10.0, 30.0, 7.0]), np.array([0, 0, 1]))
    s = math.sqrt(200 / 2)
    assert found == pytest.approx([math.tanh(-10 / s), math.tanh(10 / s), 0.0])
    assert not squashed(np.array([5.0, 5.0]), np.array([0, 0])).any()


def test_winsorized_by_hand():
    assert winsorized(np.arange(101.0), 0.1)[[0, 50, 100]].tolist() == [10, 50, 90]
    assert winsorized(np.array([1.0, 99.0]), 0).tolist() == [1, 99] and not len(winsorized(np.array([]), 0.1))


def test_shares_by_hand():
    prompts = np.array([0, 0, 1, 1, 2, 2])
    scores, lengths = np.array([2.0, 1, 1, 1, 3, 3]), np.array([9.0, 1, 5, 4, 1, 2])
    assert longest_wins(scores, lengths, prompts) == 1.0
    assert longest_wins(np.array([1.0, 1, 0]), np.array([9.0, 1, 1]), np.zeros(3, dtype=int)) == 0.5
    assert math.isnan(longest_wins(scores, np.ones(6), prompts))
    nothing = np.array([], dtype=np.int64)
    assert math.isnan(longest_wins(np.array([]), np.array([]), nothing))
    assert math.isnan(mean_spearman(np.array([]), np.array([]), nothing))
    assert mean_spearman(scores, lengths, prompts) == 1.0 and math.isnan(mean_spearman(scores, np.ones(6), prompts))


def test_huber_holds_against_far_off_scores():
    random = np.random.default_rng(2)
    features = random.normal(size=300)
    scores = 2 * features + random.normal(0, 0.1, 300)
    scores[:20] = np.where(features[:20] > 0, -30.0, 30.0)
    assert linear_fit(scores, features, 0.0, huber=True).coefficients[0] == pytest.approx(2, abs=0.1)
    assert abs(linear_fit(scores, features, 0.0, huber=False).coefficients[0] - 2) > 1
    exact = linear_fit(2 * features, features, 0.0, huber=True)
    assert exact.coefficients[0] == pytest.approx(2, abs=1e-12)


def test_a_slope_of_nothing_is_nothing():
    fit = linear_fit(np.zeros(4), np.zeros(4), 0.0, huber=False)
    assert fit.coefficients[0] == 0 and slope_interval(fit, np.array([0, 0, 1, 1]), 0.0, 1, 100) == (0, 0)


def test_logistic_fit_by_hand():
    features = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    assert logistic_fit(np.array([1.0, 0.5, 0, 0.5]), features, 1e-9).coefficients[0] == pytest.approx(math.log(3))
    assert math.isfinite(logistic_fit(np.array([1.0, 1, 0, 0]), features, 1e-3).coefficients[0])


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1), st.floats(-5, 5))
def test_an_outcome_stays_a_probability_and_moves_against_the_effect(outcome, effect):
    one, other = (
        outcome_at_equal_length(np.array([v]), np.array([e]), 0.05)[0]
        for v, e in ((outcome, effect), (1 - outcome, -effect))
    )
    assert 0 <= one <= 1 and one + other == pytest.approx(1)
    held = min(max(outcome, 0.05), 0.95)
    assert effect == 0 or (one <= held + 1e-9 if effect > 0 else one >= held - 1e-9)
