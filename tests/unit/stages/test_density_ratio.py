import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.api import Maker
from pipeline.testing import process_table
from stages.annotation.density_ratio import DensityRatio, DensityRatioConfig
from stages.annotation.ratios import density_ratio, implausible, repeats_a_window, squash

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/vectors/golden_cdr.json").read_text("utf-8"))
LOGPROB = st.floats(-1e4, 0)
SIZE = st.integers(1, 1000)
NAMES = [case["id"] for case in GOLDEN["toy_lm_cases"]]


def run(rows, **config):
    return process_table(DensityRatio(DensityRatioConfig(**config)), rows)


def rewards(rows, **config):
    return run(rows, **config).table.column("reward").to_pylist()


def toy(case, end=None):
    strong, weak = case["strong_logprobs"][:end], case["weak_logprobs"][:end]
    return {
        "id": case["id"],
        "strong_logprob": math.fsum(strong),
        "weak_logprob": math.fsum(weak),
        "strong_logprob_tokens": len(strong),
        "weak_logprob_tokens": len(weak),
        "response": "".join(case.get("tokens", case.get("strong_tokens"))[:-1]),
    }


@pytest.mark.parametrize("case", GOLDEN["toy_lm_cases"], ids=lambda c: c["id"])
def test_sum_and_average_are_the_published_toy_values(case):
    assert rewards([toy(case)]) == pytest.approx([case["sum_with_eos"]])
    assert rewards([toy(case)], normalize="per_strong_token") == pytest.approx([case["avg_with_eos"]])
    assert rewards([toy(case)], normalize="per_own_token") == pytest.approx([case["avg_with_eos"]])


@pytest.mark.parametrize("case", GOLDEN["toy_lm_cases"][:3], ids=lambda c: c["id"])
def test_values_without_the_end_token(case):
    assert rewards([toy(case, -1)]) == pytest.approx([case["sum_without_eos"]])
    assert rewards([toy(case, -1)], normalize="per_own_token") == pytest.approx([case["avg_without_eos"]])


def test_an_empty_response_without_its_end_token_has_a_sum_and_no_average():
    empty = toy(GOLDEN["toy_lm_cases"][3], -1)
    assert rewards([empty]) == [GOLDEN["toy_lm_cases"][3]["sum_without_eos"]] == [0]
    assert [r.code for r in run([empty], normalize="per_own_token").rejects] == ["density.empty"]


SHARED = Path(__file__).parents[4] / "shared/data/methods_annotation/golden_cdr.json"


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data sets are not beside this checkout")
def test_the_vectors_of_this_file_are_the_shared_ones():
    assert json.loads(SHARED.read_text("utf-8")) == GOLDEN
    assert (GOLDEN["order_by_sum"], GOLDEN["order_by_avg"]) == (
        ["r1=r3", "empty", "r2"],
        ["r3", "r1", "empty", "r2"],
    )


def test_sum_and_average_rank_differently():
    rows = [toy(c) for c in GOLDEN["toy_lm_cases"]]
    total = dict(zip(NAMES, rewards(rows), strict=True))
    mean = dict(zip(NAMES, rewards(rows, normalize="per_own_token"), strict=True))
    assert total["r1"] == pytest.approx(total["r3"]) and total["r3"] > total["empty"] > total["r2"]
    assert mean["r3"] > mean["r1"] > mean["empty"] > mean["r2"]


@pytest.mark.parametrize(
    ("normalize", "key"),
    [
        ("sum", "sum"),
        ("per_strong_token", "avg_by_strong_length (reward_hub)"),
        ("per_own_token", "avg_each_by_own_length (FinLab)"),
        ("per_byte", "per_utf8_byte (2 bytes of text)"),
    ],
)
def test_models_with_different_tokenisers(normalize, key):
    case = GOLDEN["cross_tokeniser"]
    row = toy(case) | {"weak_logprob_tokens": len(case["weak_logprobs"])}
    assert rewards([row], normalize=normalize) == pytest.approx([case[key]])


@pytest.mark.parametrize("case", GOLDEN["finlab_guard_cases"])
def test_finlab_guards_and_squashing(case):
    text = "one two three " * 12 if case["repetitive"] else "one two three"
    row = {
        "id": "r",
        "strong_logprob": case["avg_strong"] * 8,
        "weak_logprob": case["avg_weak"] * 8,
        "strong_logprob_tokens": 8,
        "weak_logprob_tokens": 8,
        "response": text,
    }
    guards = {"normalize": "per_own_token", "guard_low_likelihood": True, "guard_repetition": True}
    assert rewards([row], **guards) == pytest.approx([case["guarded_reward"]])
    assert rewards([row], **guards, sigmoid_temperature=0.03) == pytest.approx([case["sigmoid_T0.03"]])


def test_guard_column_says_what_set_the_reward():
    rows = [
        {
            "id": i,
            "strong_logprob": s,
            "weak_logprob": -9.0,
            "strong_logprob_tokens": 4,
            "weak_logprob_tokens": 4,
            "response": text,
        }
        for i, s, text in (("a", -2.0, "fine"), ("b", -6.0, "no"), ("c", -2.0, "la " * 40))
    ]
    table = run(rows, normalize="per_own_token", guard_low_likelihood=True, guard_repetition=True).table
    assert table.column("reward_guard").to_pylist() == ["none", "low_likelihood", "repetition"]
    assert set(table.column("reward_normalize").to_pylist()) == {"per_own_token"}


def test_guard_acts_strictly_below_the_threshold_and_only_where_the_weak_model_is_lower():
    strong, weak = np.array([-1.1, -1.2, -1.2, -1.2]), np.array([-2.0, -1.3, -1.2, -1.1])
    assert implausible(strong, weak).tolist() == [False, True, False, False]


IMPLAUSIBLE = {
    "id": "r",
    "strong_logprob": -6.0,
    "weak_logprob": -9.0,
    "strong_logprob_tokens": 4,
    "weak_logprob_tokens": 4,
    "response": "no",
}


@pytest.mark.parametrize(
    ("normalize", "reward"), [("sum", -6.0), ("per_strong_token", -1.5), ("per_own_token", -1.5), ("per_byte", -3.0)]
)
def test_an_implausible_text_gets_the_strong_models_own_figure_on_the_scale_of_the_rewards(normalize, reward):
    assert rewards([IMPLAUSIBLE], normalize=normalize, guard_low_likelihood=True) == [reward]


def test_a_repetition_among_sums_gets_the_figure_that_the_recipe_names():
    row = IMPLAUSIBLE | {"response": "la " * 40}
    assert rewards([row], guard_repetition=True, repetition_reward=-50.0) == [-50.0]
    assert rewards([row], normalize="per_byte", guard_repetition=True) == [-2.0]


@given(LOGPROB, LOGPROB, SIZE, SIZE)
def test_swapping_the_models_negates_the_ratio(strong, weak, strong_size, weak_size):
    a, b, m, n = (np.array([float(v)]) for v in (strong, weak, strong_size, weak_size))
    assert density_ratio(a, b, m, n) == -density_ratio(b, a, n, m)


@pytest.mark.parametrize("normalize", ["sum", "per_own_token", "per_byte"])
def test_swapping_the_columns_negates_the_reward(normalize):
    row = {
        "id": "r",
        "strong_logprob": -3.5,
        "weak_logprob": -8.25,
        "strong_logprob_tokens": 3,
        "weak_logprob_tokens": 5,
        "response": "Flüsse",
    }
    swapped = {"numerator": "weak_logprob", "denominator": "strong_logprob"}
    assert rewards([row], normalize=normalize) == [-rewards([row], normalize=normalize, **swapped)[0]]


def test_bytes_are_utf8_bytes():
    row = {"id": "r", "strong_logprob": -1.0, "weak_logprob": -8.0, "response": "Flüsse"}
    assert rewards([row], normalize="per_byte") == [1.0]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_rejected(bad):
    good = {"id": "a", "strong_logprob": -1.0, "weak_logprob": -2.0}
    result = run([good, {"id": "b", "strong_logprob": -1.0, "weak_logprob": bad}])
    assert result.table.column("id").to_pylist() == ["a"]
    assert [(r.row["id"], r.code) for r in result.rejects] == [("b", "density.nonfinite")]


def test_a_difference_that_overflows_is_rejected():
    row = {"id": "a", "strong_logprob": 1.5e308, "weak_logprob": -1.5e308}
    assert [r.code for r in run([row]).rejects] == ["density.nonfinite"]


@pytest.mark.parametrize("text", ["", None])
def test_a_response_without_bytes_is_rejected(text):
    row = {"id": "a", "strong_logprob": -1.0, "weak_logprob": -2.0, "response": text}
    assert [r.code for r in run([row], normalize="per_byte").rejects] == ["density.empty"]


def test_an_earlier_reward_column_is_replaced_in_place():
    stage = DensityRatio(DensityRatioConfig())
    schema = pa.schema([("id", pa.string()), ("reward", pa.float64())])
    row = {"id": "a", "strong_logprob": -1.0, "weak_logprob": -2.0, "reward": 9.0}
    table = process_table(stage, [row], schema).table
    assert table.column("reward").to_pylist() == [1.0] and table.schema.names.count("reward") == 1


def test_no_rows_give_no_rows():
    assert run([], normalize="per_own_token", guard_repetition=True).table.num_rows == 0


@pytest.mark.parametrize(("words", "repeats"), [(15, False), (16, True), (30, True)])
def test_a_window_of_fifteen_words_counts_as_repeated_even_with_overlap(words, repeats):
    assert repeats_a_window(" ".join(["la"] * words)) == repeats
    assert not repeats_a_window(" ".join(map(str, range(words))))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_squashed_rewards_keep_their_order_within_zero_and_one(values):
    squashed = squash(np.sort(np.array(values)), 0.03)
    assert np.all((squashed >= 0) & (squashed <= 1)) and np.all(np.diff(squashed) >= 0)


@pytest.mark.parametrize(
    "config",
    [
        {"numerator": "x", "denominator": "x"},
        {"guard_repetition": True},
        {"repetition_reward": -2.0},
        {"column": "two words"},
        {"column": "strong_logprob"},
        {"column": "x", "denominator": "x"},
        {"sigmoid_temperature": 0},
    ],
)
def test_contradictory_options_are_refused(config):
    with pytest.raises(ValidationError):
        DensityRatioConfig(**config)


BOTH = {"id": "r", "strong_logprob": -1.0, "weak_logprob": -2.0, "response": "ab"}
COUNTS = {"strong_logprob_tokens": 2, "weak_logprob_tokens": 3}
FACTS = pa.schema(
    [
        ("id", pa.string()),
        *((f"{side}_logprob_tokenizer", pa.string()) for side in ("strong", "weak")),
        *((f"{side}_logprob_eos", pa.bool_()) for side in ("strong", "weak")),
    ]
)


def facts(strong, weak, what):
    return BOTH | COUNTS | {f"strong_logprob_{what}": strong, f"weak_logprob_{what}": weak}


@pytest.mark.parametrize("config", [{"normalize": "per_own_token"}, {"normalize": "per_strong_token"}])
def test_means_of_different_tokenizers_are_rejected(config):
    row = facts("a", "b", "tokenizer")
    result = process_table(DensityRatio(DensityRatioConfig(**config)), [row], FACTS)
    assert [r.code for r in result.rejects] == ["density.tokenizers"] and result.rejects[0].row["id"] == "r"


def test_the_guard_on_means_needs_one_tokenizer_too():
    stage = DensityRatio(DensityRatioConfig(guard_low_likelihood=True))
    assert process_table(stage, [facts("a", "b", "tokenizer")], FACTS).rejects[0].code == "density.tokenizers"


@pytest.mark.parametrize("normalize", ["sum", "per_byte"])
def test_sums_and_bytes_compare_across_tokenizers(normalize):
    stage = DensityRatio(DensityRatioConfig(normalize=normalize))
    assert not process_table(stage, [facts("a", "b", "tokenizer")], FACTS).rejects


@pytest.mark.parametrize(("strong", "weak"), [("a", "a"), ("a", None), (None, None)])
def test_a_tokenizer_that_is_not_known_refuses_nothing(strong, weak):
    stage = DensityRatio(DensityRatioConfig(normalize="per_own_token"))
    assert not process_table(stage, [facts(strong, weak, "tokenizer")], FACTS).rejects


def test_spans_of_which_one_ends_with_the_end_token_are_rejected():
    stage = DensityRatio(DensityRatioConfig())
    assert [r.code for r in process_table(stage, [facts(True, False, "eos")], FACTS).rejects] == ["density.end_token"]
    assert not process_table(stage, [facts(False, False, "eos")], FACTS).rejects


def test_a_row_with_several_faults_is_rejected_once():
    row = facts("a", "b", "tokenizer") | {"weak_logprob": None, "strong_logprob_tokens": 0}
    result = process_table(DensityRatio(DensityRatioConfig(normalize="per_own_token")), [row], FACTS)
    assert [r.code for r in result.rejects] == ["density.nonfinite"] and not result.table.num_rows


def makers(one, other, **options):
    sides = ("strong_logprob", one, options), ("weak_logprob", other, {"include_eos": True})
    return {name: Maker(name[:6], "score_logprobs", o, {"scorer": digest}) for name, digest, o in sides}


def check(found, **config):
    DensityRatio(DensityRatioConfig(**config)).check_makers(found)


def test_different_tokenizers_are_refused_before_a_run_unless_sums_or_bytes_are_compared():
    with pytest.raises(ValueError, match=r"stages 'strong' and 'weak_l' have different tokenizers.*sum or per_byte"):
        check(makers("a", "b"), normalize="per_own_token")
    with pytest.raises(ValueError, match="different tokenizers"):
        check(makers("a", "b"), guard_low_likelihood=True)
    check(makers("a", "b"))
    check(makers("a", "b"), normalize="per_byte")


@pytest.mark.parametrize("found", [makers("a", "a"), makers("a", None), makers(None, None), {}])
def test_tokenizers_that_are_one_or_unknown_pass(found):
    check(found, normalize="per_own_token")


def test_unlike_end_tokens_are_refused_before_a_run():
    with pytest.raises(ValueError, match="include_eos alike"):
        check(makers("a", "a", include_eos=False))
    check(makers("a", "a", include_eos=True))
