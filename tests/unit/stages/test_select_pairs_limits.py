import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.selection.pairing import group_rows, in_order, low_target
from stages.selection.select_pairs import SelectPairs, SelectPairsConfig
from tests.unit.stages.books_in_memory import BooksInMemory

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/vectors/golden_pair_selection.json").read_text("utf-8"))
EXTRA = pa.schema(
    [
        ("id", pa.string()),
        ("finish_reason", pa.string()),
        ("may_be_chosen", pa.bool_()),
        ("source_model", pa.string()),
        ("on_policy", pa.bool_()),
        ("domain", pa.string()),
        ("second", pa.float64()),
        ("response_tokens", pa.int64()),
        ("reward", pa.float64()),
    ]
)


def rows_of(prompt, *candidates, **shared):
    """Return candidates given as dicts; score and text are made up where not given."""
    base = {"prompt_id": prompt, "prompt": [{"role": "user", "content": prompt}], "may_be_chosen": True}
    return [
        base | {"id": f"{prompt}{i}", "response": f"text {prompt} {i}", "reward": 0.0} | shared | c
        for i, c in enumerate(candidates)
    ]


def scored(prompt, *scores):
    return rows_of(prompt, *({"reward": s} for s in scores))


def run(rows, **config):
    return process_table(SelectPairs(SelectPairsConfig(**config)), rows, EXTRA)


def pairs(rows, **config):
    return [(p["chosen_id"], p["rejected_id"]) for p in run(rows, **config).table.to_pylist()]


def codes(rows, **config):
    return {r.code for r in run(rows, **config).rejects}


@pytest.mark.parametrize("case", [*GOLDEN["magpie_rows"], GOLDEN["synthetic_n14"]], ids=lambda c: len(c["scores"]))
def test_mu_minus_two_sigma_of_published_scores(case):
    groups = group_rows(pa.array(["p"] * len(case["scores"])), np.arange(len(case["scores"])))
    assert low_target(np.array(case["scores"]), groups)[0] == pytest.approx(case["mu_minus_2sigma"], abs=1e-12)
    expected = (f"p{case['argmax']}", f"p{case['nearest_to_mu_minus_2sigma']}")
    assert pairs(scored("p", *case["scores"]), rule="mu_minus_2sigma") == [expected]


def test_mu_minus_two_sigma_takes_the_next_nearest_for_an_equal_text():
    scores = GOLDEN["synthetic_n14"]["scores"]
    rows = scored("p", *scores)
    rows[12]["response"] = rows[11]["response"]
    distances = {
        i: abs(s - GOLDEN["synthetic_n14"]["mu_minus_2sigma"]) for i, s in enumerate(scores) if i not in (11, 12)
    }
    assert pairs(rows, rule="mu_minus_2sigma") == [("p11", f"p{min(distances, key=distances.get)}")]


def test_mu_minus_two_sigma_never_rejects_a_score_as_good_as_the_best():
    assert pairs(scored("p", 1.0, 1.0, 0.9), rule="mu_minus_2sigma") == [("p0", "p2")]
    assert codes(scored("p", 1.0, 1.0), rule="mu_minus_2sigma") == {"pairs.tie"}


LADDER = {"rule": "model_ladder", "ladder": ["large", "middle", "small"]}


def models(prompt, *candidates):
    return rows_of(prompt, *({"source_model": m, "reward": s} for m, s in candidates))


def test_a_ladder_chooses_the_strongest_model_over_the_weakest():
    rows = models("p", ("small", 0.9), ("large", 0.1), ("middle", 0.5))
    found = run(rows, score=None, **LADDER).table.to_pylist()
    assert [(p["chosen_id"], p["rejected_id"]) for p in found] == [("p1", "p0")]
    assert found[0]["margin"] is found[0]["score_chosen"] is found[0]["score_rejected"] is None


def test_with_a_score_a_ladder_takes_the_best_and_the_worst_of_a_rung_and_asks_for_a_margin():
    rows = models("p", ("large", 0.4), ("large", 0.8), ("small", 0.3), ("small", 0.2), ("middle", 0.0))
    assert pairs(rows, **LADDER) == [("p1", "p3")]
    assert codes(models("q", ("large", 0.2), ("small", 0.3)), **LADDER) == {"pairs.margin"}
    assert codes(models("q", ("large", 0.3), ("small", 0.3)), **LADDER) == {"pairs.margin"}
    assert codes(rows, min_margin=0.7, **LADDER) == {"pairs.margin"}


def test_a_model_that_stands_on_no_rung_is_never_in_a_pair():
    rows = models("p", ("other", 0.9), ("large", 0.5), ("small", 0.3), (None, 0.1))
    assert pairs(rows, **LADDER) == [("p1", "p2")]
    assert run(rows, **LADDER).table["candidate_ids"].to_pylist() == [["p0", "p1", "p2", "p3"]]


@pytest.mark.parametrize(
    "found", [[("large", 0.5), ("large", 0.1)], [("other", 0.5), (None, 0.1)], [("large", 0.5), ("other", 0.1)]]
)
def test_fewer_than_two_models_of_the_ladder_are_named(found):
    assert codes(models("p", *found), **LADDER) == {"pairs.one_rung"}


def test_a_strong_model_whose_answer_may_not_be_chosen_gives_way_to_the_next():
    rows = models("p", ("large", 0.9), ("middle", 0.5), ("small", 0.3))
    rows[0]["may_be_chosen"] = False
    assert pairs(rows, **LADDER) == [("p1", "p2")]
    rows[1]["may_be_chosen"] = False
    assert codes(rows, **LADDER) == {"pairs.all_filtered"}
    assert codes([r | {"finish_reason": "length"} for r in rows], **LADDER) == {"pairs.all_truncated"}


def test_another_score_breaks_ties_on_both_sides():
    rows = rows_of(
        "p",
        {"reward": 1.0, "second": 0.2},
        {"reward": 1.0, "second": 0.6},
        {"reward": 0.0, "second": 0.5},
        {"reward": 0.0, "second": 0.1},
        {"reward": 1.0, "second": None},
        {"reward": 0.0, "second": None},
    )
    for ties in ("first", "drop", "random"):
        assert pairs(rows, ties=ties, tie_break_by="second") == [("p1", "p3")]
    assert pairs(rows) == [("p0", "p2")] and codes(rows, ties="drop") == {"pairs.tie"}
    assert run(rows, tie_break_by="second").table["tied"].to_pylist() == [3]


def test_ties_that_the_other_score_leaves_are_dropped_or_the_first_is_taken():
    rows = rows_of("p", *({"reward": r, "second": s} for r, s in ((1.0, 0.5), (1.0, 0.5), (0.0, None))))
    assert pairs(rows, tie_break_by="second") == [("p0", "p2")]
    assert codes(rows, tie_break_by="second", ties="drop") == {"pairs.tie"}
    nulls = [r | {"second": None} for r in rows]
    assert pairs(nulls, tie_break_by="second") == [("p0", "p2")]


def lengths(prompt, *candidates, **shared):
    return rows_of(
        prompt, *({"reward": r, "response": c * n} for c, (r, n) in zip("abcdef", candidates, strict=False)), **shared
    )


def test_a_rejected_response_must_be_near_enough_in_length():
    rows = lengths("p", (0.9, 100), (0.1, 400), (0.2, 150), (0.3, 90))
    assert pairs(rows) == [("p0", "p1")]
    assert pairs(rows, length={"max_difference": 50}) == [("p0", "p2")]
    assert pairs(rows, length={"max_ratio": 1.2}) == [("p0", "p3")]
    assert pairs(rows, length={"max_difference": 400, "max_ratio": 1.5}) == [("p0", "p2")]
    assert codes(rows, length={"max_difference": 5}) == {"pairs.length"}


def test_an_empty_response_is_no_fraction_of_another():
    rows = lengths("p", (0.9, 10), (0.1, 0))
    assert codes(rows, length={"max_ratio": 100}) == {"pairs.length"} and pairs(rows, length={"max_difference": 10})


def test_lengths_may_be_tokens_and_are_carried():
    rows = rows_of(
        "p", *({"reward": r, "response_tokens": n} for r, n in ((0.9, 10), (0.1, None), (0.2, 99), (0.3, 12)))
    )
    found = run(rows, length={"column": "response_tokens", "max_difference": 5}).table.to_pylist()
    assert [(p["rejected_id"], p["chosen_response_tokens"], p["rejected_response_tokens"]) for p in found] == [
        ("p3", 10, 12)
    ]


def test_domains_have_limits_of_their_own():
    limits = {
        "max_difference": 10,
        "domain_column": "domain",
        "domains": {"chat": {"max_difference": 30}, "code": {}},
    }
    candidates = (0.9, 100), (0.1, 300), (0.2, 125), (0.3, 105)
    rows = [r for d in ("chat", "code", "maths", None) for r in lengths(str(d), *candidates, domain=d)]
    assert pairs(rows, length=limits) == [
        ("chat0", "chat2"),
        ("code0", "code1"),
        ("maths0", "maths3"),
        ("None0", "None3"),
    ]


def policies(prompt, *candidates):
    return rows_of(prompt, *({"reward": r, "on_policy": p} for r, p in candidates))


def test_both_sides_or_exactly_one_may_be_asked_of_the_policy():
    rows = policies("p", (0.9, None), (0.8, False), (0.7, True), (0.3, True), (0.2, False), (0.1, None))
    assert pairs(rows) == [("p0", "p5")]
    assert pairs(rows, policy_mix="on_on") == [("p2", "p3")]
    assert pairs(rows, policy_mix="one_side") == [("p1", "p3")]


@pytest.mark.parametrize("rule", ["best_worst", "best_random", "mu_minus_2sigma", "margin"])
def test_prompts_without_the_sides_asked_for_are_named(rule):
    ons = policies("p", (0.9, True), (0.1, True))
    assert codes(ons, policy_mix="one_side", rule=rule) == {"pairs.policy_mix"}
    for rows in (policies("p", (0.9, False), (0.1, True)), policies("p", (0.9, False), (0.1, None))):
        assert codes(rows, policy_mix="on_on", rule=rule) == {"pairs.policy_mix"}


@pytest.mark.parametrize("rule", ["best_worst", "best_random", "mu_minus_2sigma", "margin"])
def test_reasons_are_named_in_order(rule):
    far = lengths("p", (0.9, 100), (0.1, 400), on_policy=True)
    assert codes(far, length={"max_difference": 5}, policy_mix="on_on", rule=rule) == {"pairs.length"}
    assert codes(far, length={"max_difference": 5}, policy_mix="one_side", rule=rule) == {"pairs.policy_mix"}
    same = [r | {"response": "same"} for r in far]
    assert codes(same, length={"max_difference": 5}, rule=rule) == {"pairs.identical"}
    assert codes(far, length={"max_difference": 5}, min_candidates=3, rule=rule) == {"pairs.too_few"}


def test_all_pairs_within_the_limits_are_kept_by_margin():
    rows = lengths("p", (0.9, 100), (0.1, 400), (0.2, 150), (0.3, 90))
    options = {"rule": "margin", "max_pairs_per_prompt": 9, "length": {"max_difference": 60}}
    assert pairs(rows, **options) == [("p0", "p2"), ("p0", "p3"), ("p3", "p2")]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from([True, False, None]),
            st.integers(0, 40),
            st.sampled_from(["large", "middle", "small", "other", None]),
        ),
        max_size=24,
    ),
    st.sampled_from(["best_worst", "best_random", "mu_minus_2sigma", "margin", "model_ladder"]),
    st.sampled_from(["drop", "first", "random"]),
    st.sampled_from(["any", "on_on", "one_side"]),
    st.booleans(),
)
def test_every_candidate_is_named_once_and_every_pair_keeps_the_limits(items, rule, ties, mix, limited):
    rows = [
        rows_of(
            f"q{p}",
            {"id": f"c{i}", "reward": float(s), "on_policy": on, "response": f"{i:02}" + "x" * n, "source_model": m},
        )[0]
        for i, (p, s, on, n, m) in enumerate(items)
    ]
    options = {"rule": rule, "ties": ties, "policy_mix": mix, "length": {"max_difference": 12} if limited else None}
    options |= {"ladder": LADDER["ladder"]} if rule == "model_ladder" else {}
    result = run(rows, max_pairs_per_prompt=3, **options)
    found = result.table.to_pylist()
    named = [i for p in found for i in p["candidate_ids"]] + [r.row["id"] for r in result.rejects]
    assert sorted(named) == sorted(r["id"] for r in rows)
    by_id = {r["id"]: r for r in rows}
    for pair in found:
        chosen, rejected = by_id[pair["chosen_id"]], by_id[pair["rejected_id"]]
        assert chosen["reward"] > rejected["reward"]
        assert not limited or abs(len(chosen["response"]) - len(rejected["response"])) <= 12
        sides = [chosen["on_policy"], rejected["on_policy"]]
        assert mix == "any" or (sides == [True, True] if mix == "on_on" else sorted(sides) == [False, True])
        if rule == "model_ladder":
            assert LADDER["ladder"].index(chosen["source_model"]) < LADDER["ladder"].index(rejected["source_model"])


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"rule": "model_ladder"}, "'ladder' go together"),
        ({"ladder": ["a", "b"]}, "'ladder' go together"),
        ({"rule": "model_ladder", "ladder": ["a"]}, "two models or more"),
        ({"rule": "model_ladder", "ladder": ["a", "a"]}, "each once"),
        ({"score": None}, "rule 'best_worst' needs a 'score'"),
        ({"score": None, "min_margin": 0.1, **LADDER}, "'min_margin' needs a 'score'"),
        ({"tie_break_by": "reward"}, "another column than 'score'"),
        ({"tie_break_by": "second", "rule": "margin"}, "no ties to break"),
        ({"length": {}}, "limits nothing"),
        ({"length": {"max_difference": 1, "domain_column": "domain"}}, "'domains' go together"),
        ({"length": {"max_ratio": 0.5}}, "greater than or equal to 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong, text):
    with pytest.raises(ValidationError, match=text):
        SelectPairsConfig(**wrong)


def test_a_stage_reads_only_the_columns_its_options_name():
    plain = SelectPairs(SelectPairsConfig())
    assert {"source_model", "on_policy", "domain", "second"}.isdisjoint(plain.inputs.names)
    limits = {"max_ratio": 2, "column": "response_tokens", "domain_column": "domain", "domains": {"a": {}}}
    full = SelectPairs(
        SelectPairsConfig(score=None, policy_mix="on_on", length=limits, tie_break_by="second", **LADDER)
    )
    assert {"source_model", "on_policy", "domain", "second", "response_tokens"} <= set(full.inputs.names)
    assert "reward" not in full.inputs.names and "chosen_response_tokens" in full.outputs.names


def test_at_most_one_pair_a_prompt_unless_by_margin():
    one, many = (SelectPairs(SelectPairsConfig(rule=r, max_pairs_per_prompt=3)) for r in ("best_worst", "margin"))
    assert [s.yields().factors[0].value for s in (one, many)] == [1, 3]


def report(rows, **config):
    stage = SelectPairs(SelectPairsConfig(**config))
    tables = stage.report(BooksInMemory(len(rows), process_table(stage, rows, EXTRA).table))
    return {row[0]: row[1:] for table in tables for row in table.rows}, tables


def test_the_report_shows_margins_and_lengths():
    rows = [r for i in range(3) for r in lengths(f"p{i}", (0.5, 10 + i), (0.25, 10), (0.5, 10 + i), response_tokens=i)]
    found, tables = report(rows, length={"column": "response_tokens", "max_difference": 9})
    assert found["margin of scores"] == (0.25, 0.25, 0.25, 0.25, 0.25, None)
    assert found["chosen minus rejected, characters"] == (0.1, 0.4, 1.0, 1.6, 1.9, 0.6667)
    assert found["chosen over rejected, characters"] == (1.01, 1.04, 1.1, 1.16, 1.19, None)
    assert found["chosen minus rejected, response_tokens"][-1] == 0.0
    assert found["chosen over rejected, response_tokens"] == (1.0, 1.0, 1.0, 1.0, 1.0, None)
    assert tables[0].note == "Percentiles over 3 pairs; in 3 of them several candidates shared the best score."


def test_the_report_of_pairs_without_scores_has_no_margins():
    found, _ = report(models("p", ("large", 0.1), ("small", 0.2)), score=None, **LADDER)
    assert found["margin of scores"] == (None,) * 6
    assert report(scored("p", 0.1, 0.1))[1] == []


def test_places_by_hand():
    first, second = np.array([1.0, 0.0, 1.0, 0.0]), np.array([5.0, 9.0, 4.0, 9.0])
    assert in_order(first, second).tolist() == [2, 0, 1, 0] and not len(in_order(np.array([])))
