import json
import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.api import PrerequisiteError, lineage_id
from pipeline.testing import ScriptedContext, process_table
from stages.selection.pairing import group_rows, ordered_pairs, same_text, same_texts
from stages.selection.select_pairs import SelectPairs, SelectPairsConfig

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/vectors/golden_pair_selection.json").read_text("utf-8"))
FINISH = pa.schema([("id", pa.string()), ("finish_reason", pa.string())])

FILTERED = pa.schema([*FINISH, ("may_be_chosen", pa.bool_())])
RULES = ["best_worst", "best_random", "margin"]


def row(prompt, i, reward, text=None, cut=False):
    return {
        "id": f"{prompt}{i}",
        "prompt_id": prompt,
        "prompt": [{"role": "user", "content": prompt}],
        "response": text if text is not None else f"response {prompt} {i}",
        "reward": reward,
        "finish_reason": "length" if cut else "stop",
    }


def prompt_rows(prompt, scores):
    return [row(prompt, i, s) for i, s in enumerate(scores)]


def run(rows, schema=FINISH, **config):
    return process_table(SelectPairs(SelectPairsConfig(**config)), rows, schema)


def pairs(rows, **config):
    return [(p["chosen_id"], p["rejected_id"]) for p in run(rows, **config).table.to_pylist()]


def codes(rows, **config):
    return {r.row["id"]: r.code for r in run(rows, **config).rejects}


@pytest.mark.parametrize("case", GOLDEN["magpie_rows"], ids=lambda c: c["uuid"][:8])
def test_best_and_worst_of_published_scores(case):
    (pair,) = run(prompt_rows("p", case["scores"])).table.to_pylist()
    assert pair["chosen_id"] == f"p{case['argmax']}" and pair["rejected_id"] == f"p{case['argmin']}"
    assert pair["margin"] == pytest.approx(case["best_worst_margin"]) and pair["tied"] == 1


def test_best_and_worst_of_fourteen():
    case = GOLDEN["synthetic_n14"]
    assert pairs(prompt_rows("p", case["scores"])) == [(f"p{case['argmax']}", f"p{case['argmin']}")]


def test_a_pair_names_its_sources():
    (pair,) = run(prompt_rows("p", [0.1, 0.9, 0.5])).table.to_pylist()
    assert pair["id"] == lineage_id("pair", "p1", "p0") and pair["candidate_ids"] == ["p0", "p1", "p2"]
    assert (pair["candidates"], pair["rule"], pair["chosen"], pair["rejected"]) == (
        3,
        "best_worst",
        "response p 1",
        "response p 0",
    )
    assert pair["prompt"] == [{"role": "user", "content": "p"}] and pair["prompt_id"] == "p"


def test_candidates_of_a_prompt_need_not_lie_together():
    rows = prompt_rows("a", [0.1, 0.9]) + prompt_rows("b", [0.7, 0.2, 0.3])
    mixed = [rows[i] for i in (2, 0, 3, 1, 4)]
    assert pairs(mixed) == [("b0", "b1"), ("a1", "a0")]
    assert run(mixed).table.column("candidate_ids").to_pylist() == [["b0", "b1", "b2"], ["a0", "a1"]]


def test_without_finish_reason_nothing_counts_as_cut_off():
    assert run([row("a", 0, 0.9, cut=True), row("a", 1, 0.1)], schema=None).table.num_rows == 1


def test_a_cut_off_response_is_never_chosen_but_may_be_rejected():
    rows = [row("a", 0, 0.9, cut=True), row("a", 1, 0.5), row("a", 2, 0.3), row("a", 3, 0.1, cut=True)]
    assert pairs(rows) == [("a1", "a3")]
    assert pairs(rows, drop_truncated=True) == [("a1", "a2")]
    assert pairs(rows, allow_truncated_chosen=True) == [("a0", "a3")]


@pytest.mark.parametrize("rule", RULES)
def test_cut_off_responses_that_leave_no_pair_are_named(rule):
    rows = [row("a", 0, 0.9, cut=True), row("a", 1, 0.1, cut=True), row("b", 0, 0.9, cut=True), row("b", 1, 0.1)]
    assert codes(rows, rule=rule) == dict.fromkeys(["a0", "a1", "b0", "b1"], "pairs.all_truncated")


def marked(prompt, *candidates):
    """Return candidates given as (reward, may_be_chosen) or (reward, may_be_chosen, cut)."""
    return [row(prompt, i, s, cut=bool(cut)) | {"may_be_chosen": ok} for i, (s, ok, *cut) in enumerate(candidates)]


@pytest.mark.parametrize("rule", RULES)
def test_what_may_not_be_chosen_may_still_be_rejected(rule):
    rows = marked("a", (0.9, False), (0.5, True), (0.1, False)) + marked("b", (0.9, None), (0.5, True), (0.2, None))
    table = run(rows, FILTERED, rule=rule).table
    found = zip(table["chosen_id"].to_pylist(), table["rejected_id"].to_pylist(), strict=True)
    assert list(found) == [("a1", "a2"), ("b1", "b2")]


@pytest.mark.parametrize("rule", RULES)
def test_prompts_whose_pairs_only_the_filter_forbids_are_named(rule):
    rows = [
        *marked("none", (0.9, False), (0.1, None)),
        *marked("low", (0.9, False), (0.1, True)),
        *marked("both", (0.9, False), (0.5, True, "cut"), (0.1, True)),
        *marked("equal", (0.5, False), (0.5, False)),
        *marked("cut", (0.9, False, "cut"), (0.1, False, "cut")),
        *marked("tie", (0.5, True), (0.5, False)),
    ]
    by_prompt = {r.row["prompt_id"]: r.code for r in run(rows, FILTERED, rule=rule).rejects}
    assert by_prompt == dict.fromkeys(["none", "low", "both", "equal"], "pairs.all_filtered") | {
        "cut": "pairs.all_truncated",
        "tie": "pairs.tie",
    }


def test_a_column_may_be_chosen_that_is_not_true_or_false_ends_the_run():
    rows = [r | {"may_be_chosen": "yes"} for r in prompt_rows("a", [0.1, 0.9])]
    with pytest.raises(PrerequisiteError, match="holds string; expected true or false"):
        run(rows, pa.schema([*FINISH, ("may_be_chosen", pa.string())]))


def test_columns_of_candidates_and_of_the_prompt_are_carried():
    rows = [r | {"turn": i, "tags": [f"t{i}"], "topic": "x"} for i, r in enumerate(prompt_rows("a", [0.5, 0.9, 0.1]))]
    carry, shared = {"turn": "int", "tags": "list<string>"}, {"topic": "string"}
    table = run(rows, carry=carry, prompt_columns=shared).table
    names = ["chosen_turn", "rejected_turn", "chosen_tags", "rejected_tags", "topic"]
    assert table.select(names).to_pylist() == [dict(zip(names, (1, 2, ["t1"], ["t2"], "x"), strict=True))]
    assert table.schema.field("chosen_turn").type == pa.int64()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"carry": {"id": "string"}}, "'carry' would make column 'chosen_id'"),
        ({"prompt_columns": {"prompt_id": "string"}}, "'prompt_columns' would make column 'prompt_id'"),
        ({"carry": {"turn": "int"}, "prompt_columns": {"chosen_turn": "int"}}, "would make column 'chosen_turn'"),
        ({"carry": {"turn": "int"}, "prompt_columns": {"turn": "string"}}, "give 'turn' different types"),
        ({"carry": {"no name": "int"}}, "should match pattern"),
    ],
)
def test_columns_that_cannot_be_carried_are_refused(wrong, text):
    with pytest.raises(ValidationError, match=text):
        SelectPairsConfig(**wrong)


@pytest.mark.parametrize("rule", RULES)
def test_equal_scores_are_never_a_pair(rule):
    assert codes(prompt_rows("a", [0.5, 0.5]), rule=rule) == {"a0": "pairs.tie", "a1": "pairs.tie"}


def test_ties_at_the_best_score_are_dropped_or_the_first_is_taken():
    rows = prompt_rows("a", [0.1, 0.9, 0.9])
    assert run(rows).table.column("tied").to_pylist() == [2]
    assert pairs(rows, ties="first") == [("a1", "a0")]
    assert set(codes(rows, ties="drop").values()) == {"pairs.tie"}


def test_random_ties_depend_on_the_prompt_alone():
    rows = [r for p in range(40) for r in prompt_rows(f"p{p:02}-", [0.9, 0.1, 0.9, 0.1])]
    found = pairs(rows, ties="random")
    assert found == pairs(rows, ties="random") and len({(c[-1], r[-1]) for c, r in found}) == 4
    assert sorted(found) == sorted(pairs(rows[80:] + rows[:80], ties="random"))


def test_margin_below_the_least_is_rejected():
    rows = prompt_rows("a", [0.5, 0.4]) + prompt_rows("b", [0.5, 0.1])
    for rule in ("best_worst", "margin"):
        assert codes(rows, min_margin=0.2, rule=rule) == {"a0": "pairs.margin", "a1": "pairs.margin"}
        assert pairs(rows, min_margin=0.2, rule=rule) == [("b0", "b1")]


def test_too_few_candidates_are_rejected():
    rows = prompt_rows("a", [0.5]) + prompt_rows("b", [0.5, 0.1]) + prompt_rows("c", [0.5, 0.1, 0.2])
    assert codes(rows) == {"a0": "pairs.too_few"}
    assert codes(rows, min_candidates=3) == dict.fromkeys(["a0", "b0", "b1"], "pairs.too_few")


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_a_score_that_is_not_finite_rejects_one_candidate(bad):
    rows = [row("a", 0, 0.5), row("a", 1, bad), row("a", 2, 0.1)]
    assert codes(rows) == {"a1": "pairs.nonfinite"} and pairs(rows) == [("a0", "a2")]


def test_a_candidate_without_prompt_id_or_response_is_rejected():
    rows = prompt_rows("a", [0.5, 0.1, 0.9, 0.9])
    rows[2]["response"] = rows[3]["prompt_id"] = None
    assert codes(rows) == {"a2": "pairs.incomplete", "a3": "pairs.incomplete"} and pairs(rows) == [("a0", "a1")]


def test_no_usable_candidate_gives_an_empty_table_of_the_declared_type():
    result = run(prompt_rows("a", [None, None]))
    assert (
        result.table.schema.equals(SelectPairs(SelectPairsConfig()).outputs)
        and not result.table.num_rows
        and len(result.rejects) == 2
    )


def test_equal_texts_are_never_a_pair():
    rows = [
        row("a", 0, 0.9, "one text"),
        row("a", 1, 0.1, " one\n text"),
        row("a", 2, 0.4, "other"),
        row("b", 0, 0.9, "twin"),
        row("b", 1, 0.1, "twin"),
    ]
    for rule in ("best_worst", "best_random", "margin"):
        assert pairs(rows, rule=rule) == [("a0", "a2")]
        assert codes(rows, rule=rule) == {"b0": "pairs.identical", "b1": "pairs.identical"}


def test_best_random_draws_any_lower_candidate_and_repeats():
    rows = [r for p in range(300) for r in prompt_rows(f"{p:03}-", [0.2, 0.9, 0.9, 0.1, 0.5])]
    found = pairs(rows, rule="best_random")
    assert found == pairs(rows, rule="best_random") and {c[-1] for c, _ in found} == {"1"}
    counts = {k: sum(r.endswith(f"-{k}") for _, r in found) for k in (0, 3, 4)}
    assert sum(counts.values()) == 300 and min(counts.values()) > 70


def test_best_random_replaces_an_equal_text_by_a_seeded_draw():
    rows = [
        r
        for p in range(60)
        for r in (
            row(f"{p}-", 0, 0.9, "same"),
            row(f"{p}-", 1, 0.1, "same "),
            row(f"{p}-", 2, 0.2, "x"),
            row(f"{p}-", 3, 0.3, "y"),
        )
    ]
    assert {r[-1] for _, r in pairs(rows, rule="best_random")} == {"2", "3"}


def test_margin_keeps_the_widest_pairs_and_names_candidates_once():
    rows = prompt_rows("a", [0.9, 0.1, 0.4]) + prompt_rows("b", [0.3, 0.8])
    table = run(rows, rule="margin", min_margin=0.3, max_pairs_per_prompt=2).table
    assert list(zip(table["chosen_id"].to_pylist(), table["rejected_id"].to_pylist(), strict=True)) == [
        ("a0", "a1"),
        ("a0", "a2"),
        ("b1", "b0"),
    ]
    assert table["candidate_ids"].to_pylist() == [["a0", "a1", "a2"], [], ["b0", "b1"]]


def test_ordered_pairs_by_hand():
    anyone = np.array([True, True, True])
    assert ordered_pairs(np.array([3.0, 1.0, 2.0]), anyone, anyone, 0.0) == [(0, 1), (0, 2), (2, 1)]
    assert ordered_pairs(np.array([3.0, 1.0, 2.0]), np.array([False, True, True]), anyone, 0.0) == [(2, 1)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 3),
            st.booleans(),
            st.sampled_from(["x", "y", "x ", "z"]),
            st.sampled_from([True, True, False, None]),
        ),
        max_size=40,
    ),
    st.sampled_from(RULES),
    st.sampled_from(["drop", "first", "random"]),
    st.booleans(),
    st.booleans(),
)
def test_every_candidate_is_named_once_and_every_pair_obeys_the_rules(items, rule, ties, chosen_cut, drop_cut):
    rows = [
        row(f"p{p}", i, None if s == 3 else float(s), text, cut) | {"may_be_chosen": ok}
        for i, (p, s, cut, text, ok) in enumerate(items)
    ]
    options = {"rule": rule, "ties": ties, "allow_truncated_chosen": chosen_cut, "drop_truncated": drop_cut}
    result = run(rows, FILTERED, max_pairs_per_prompt=3, **options)
    found = result.table.to_pylist()
    named = [i for p in found for i in p["candidate_ids"]] + [r.row["id"] for r in result.rejects]
    assert sorted(named) == sorted(r["id"] for r in rows)
    by_id = {r["id"]: r for r in rows}
    for pair in found:
        chosen, rejected = by_id[pair["chosen_id"]], by_id[pair["rejected_id"]]
        assert chosen["reward"] > rejected["reward"] and chosen["prompt_id"] == rejected["prompt_id"]
        assert chosen["response"].split() != rejected["response"].split()
        assert chosen["may_be_chosen"] and (chosen["finish_reason"] == "stop" or chosen_cut)
        assert rejected["finish_reason"] == "stop" or not drop_cut
        assert (pair["chosen"], pair["rejected"]) == (chosen["response"], rejected["response"])


def test_several_chunks_give_what_one_gives():
    stage = SelectPairs(SelectPairsConfig())
    rows = [r for p in range(20) for r in prompt_rows(f"p{p}-", [0.1, 0.9, 0.4])]
    schema = pa.schema([pa.field("id", pa.string()), *[f for f in stage.inputs if f.name != "id"]])
    whole = pa.Table.from_pylist(rows, schema=schema)
    parts = pa.concat_tables([whole.slice(0, 7), whole.slice(7)])
    context = ScriptedContext(stage)
    assert stage.process_table(parts, context).table.equals(stage.process_table(whole, context).table)


def test_texts_are_compared_as_folded_bytes():
    rng = random.Random(1)
    pieces = ["word", " ", "\n", "\t ", "a", "ü", "…", "longer-piece-of-text"]
    ones = ["".join(rng.choices(pieces, k=rng.randint(0, 30))) for _ in range(400)]
    others = [
        t
        if i % 4 == 0
        else t.replace(" ", " \n") + " " * (i % 50)
        if i % 4 == 1
        else t + "!"
        if i % 4 == 2
        else rng.choice(ones)
        for i, t in enumerate(ones)
    ]
    expected = [a.encode().split() == b.encode().split() for a, b in zip(ones, others, strict=True)]
    assert same_texts(pa.array(ones), pa.array(others)).tolist() == expected
    assert [same_text(a.encode(), b.encode()) for a, b in zip(ones, others, strict=True)] == expected


def test_texts_in_a_slice_of_an_array_are_found():
    texts = pa.array(["zero", "a long enough text one", "a long enough text two", "a long  enough text two"])
    assert same_texts(texts[1:3], texts[2:4]).tolist() == [False, True]
    assert same_texts(pa.array(["", ""]), pa.array(["", " "])).tolist() == [True, True]


def test_groups_of_nothing():
    assert not len(group_rows(pa.array([], pa.string()), np.array([], dtype=np.int64)).starts)
