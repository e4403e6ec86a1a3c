import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.shaping.reward_shapes import (
    centered,
    clipped,
    log_sigmoid_centered,
    mean_std,
    minmax,
    par,
    penalised,
    tanh,
)
from stages.shaping.shape_rewards import ShapeRewards, ShapeRewardsConfig

SHARED = Path(__file__).parents[4] / "shared/data/methods_training/golden_losses.json"
EXTRA = pa.schema([("id", pa.string()), ("prompt_id", pa.string())])
rewards = st.floats(-1e6, 1e6)


@pytest.fixture
def golden():
    if not SHARED.exists():
        pytest.skip("the golden losses are not in this checkout")
    return json.loads(SHARED.read_text("utf-8"))


def row(i, reward, prompt="p", **further):
    return {"id": f"{prompt}{i}", "prompt_id": prompt, "reward": reward} | further


def shape(rows, **config):
    return process_table(ShapeRewards(ShapeRewardsConfig(**config)), rows, EXTRA)


def values(rows, **config):
    return {r["id"]: r["shaped_reward"] for r in shape(rows, **config).table.to_pylist()}


def codes(rows, **config):
    return {r.row["id"]: r.code for r in shape(rows, **config).rejects}


def array(*numbers):
    return np.array(numbers, dtype=np.float64)


class TestGolden:
    @pytest.mark.parametrize("name", ["par_single_reference", "par_multi_reference", "par_k3"])
    def test_par(self, golden, name):
        given_, expected = golden[name]["inputs"], golden[name]["expected"]
        found = par(array(given_["reward"]), array(*given_["reference_rewards"]), given_["k"])
        assert found == pytest.approx([expected["shaped"]], abs=2e-6)

    def test_par_saturates(self, golden):
        case = golden["par_saturation"]
        found = par(array(*case["inputs"]["rewards"]), array(*case["inputs"]["reference_rewards"]))
        assert found == pytest.approx(case["expected"]["shaped"], abs=2e-6)

    def test_the_penalty_comes_before_the_sigmoid(self, golden):
        given_, expected = (golden["par_length_penalty_then_sigmoid"][k] for k in ("inputs", "expected"))
        less = penalised(array(given_["reward"]), array(340), given_["len_penalty"], given_["gen_valid_len"])
        assert less == pytest.approx([expected["penalised"]])
        assert par(less, array(0.5)) == pytest.approx([expected["shaped"]], abs=2e-6)

    def test_the_other_shapes(self, golden):
        given_, expected = (golden["reward_shapers_batch"][k] for k in ("inputs", "expected"))
        raw, references = array(*given_["rewards"]), array(*given_["reference_rewards"])
        for name, found in {
            "meanstd": mean_std(raw),
            "clip": clipped(raw),
            "minmax": minmax(raw),
            "centered": centered(raw, references),
            "relative_tanh": tanh(raw, references),
        }.items():
            assert found == pytest.approx(expected[name], abs=2e-6), name

    def test_lsc_takes_the_sample_deviation(self, golden):
        given_ = golden["lsc"]["inputs"]
        found = log_sigmoid_centered(array(given_["reward"]), array(*given_["reference_rewards"]))
        assert found == pytest.approx([golden["lsc"]["expected"]["sample_std"]["shaped"]], abs=2e-6)


class TestProperties:
    @given(rewards, rewards, st.lists(rewards, min_size=1, max_size=4))
    def test_par_is_bounded_and_rises(self, one, other, references):
        low, high = par(array(*sorted((one, other))), array(*references))
        assert 0.0 <= low <= high <= 1.0

    @given(rewards)
    def test_a_reward_equal_to_its_reference_is_a_half(self, reward):
        assert par(array(reward), array(reward)).tolist() == [0.5]

    def test_rewards_far_out_do_not_overflow(self):
        assert par(array(-1e5, 1e5), array(0.0)).tolist() == [0.0, 1.0]
        assert log_sigmoid_centered(array(-1e5), array(0.0, 1.0))[0] < -99_000

    def test_mean_of_sigmoids_is_not_the_sigmoid_of_the_mean(self):
        assert par(array(0.0), array(-10.0, 0.0)) == pytest.approx([0.75], abs=1e-4)


class TestReferences:
    def test_the_first_reference_of_the_list_is_used(self):
        rows = [row(0, 0.0, reference_rewards=[0.0, 100.0])]
        (found,) = shape(rows, reference_rewards="reference_rewards").table.to_pylist()
        assert (found["shaped_reward"], found["shaped_reward_references"]) == (0.5, 1)
        assert (found["reward"], found["shaped_reward_kind"], found["shaped_reward_penalised"]) == (0.0, "par", 0.0)

    def test_more_references_are_a_mean_and_bad_ones_are_passed_over(self):
        rows = [row(0, 0.0, refs=[None, float("nan"), -50.0, 50.0, 50.0])]
        assert values(rows, reference_rewards="refs", max_references=2)["p0"] == pytest.approx(0.5)
        assert values(rows, reference_rewards="refs", max_references=None)["p0"] == pytest.approx(1 / 3)

    def test_flagged_rows_of_the_prompt_are_references_and_stay_unshaped(self):
        rows = [row(0, 1.0, ref=True), row(1, 1.0, ref=False), row(2, 3.0, ref=None), row(0, 5.0, "q", ref=True)]
        found = values([*rows, row(1, 5.0, "q", ref=False)], reference_flag="ref", kind="centered")
        assert found == {"p0": None, "p1": 0.0, "p2": 2.0, "q0": None, "q1": 0.0}

    @pytest.mark.parametrize("refs", [None, [], [None]])
    def test_a_prompt_without_references_is_refused_and_never_a_half(self, refs):
        assert codes([row(0, 1.0, refs=refs)], reference_rewards="refs") == {"p0": "shape.no_reference"}

    def test_a_prompt_without_a_flagged_row_is_refused(self):
        rows = [row(0, 1.0, ref=False), row(1, 1.0, ref=True, prompt="q")]
        assert codes(rows, reference_flag="ref") == {"p0": "shape.no_reference"}

    def test_lsc_needs_two_references(self):
        rows = [row(0, 1.0, refs=[0.0]), row(1, 1.0, refs=[0.0, 2.0])]
        found = shape(rows, kind="lsc", reference_rewards="refs", max_references=None)
        assert [r.row["id"] for r in found.rejects] == ["p0"]
        assert found.table.column("shaped_reward").to_pylist()[0] < 0

    def test_slope_makes_it_steeper(self):
        rows = [row(0, 1.0, refs=[0.0])]
        steep, plain = (values(rows, reference_rewards="refs", slope=k)["p0"] for k in (3.0, 1.0))
        assert steep == pytest.approx(0.952574, abs=1e-6) and plain == pytest.approx(0.731059, abs=1e-6)

    def test_tanh_is_bounded_by_one(self):
        assert values([row(0, 99.0, refs=[0.0])], kind="tanh", reference_rewards="refs") == {"p0": 1.0}


class TestOverRows:
    ROWS = (row(0, 0.0), row(1, 4.0), row(0, 10.0, "q"), row(1, 30.0, "q"))

    def test_bounds_of_the_data_set_or_of_the_prompt(self):
        assert values(self.ROWS, kind="minmax") == pytest.approx({"p0": 0.0, "p1": 4 / 30, "q0": 1 / 3, "q1": 1.0})
        assert values(self.ROWS, kind="minmax", over="prompt") == {"p0": 0.0, "p1": 1.0, "q0": 0.0, "q1": 1.0}

    def test_standardised_and_clipped(self):
        assert list(values(self.ROWS[:2], kind="mean_std").values()) == [-1.0, 1.0]
        assert list(values(self.ROWS[:2], kind="clipped").values()) == [0.0, 4.0]
        (found,) = shape(self.ROWS[:1], kind="clipped").table.to_pylist()
        assert found["shaped_reward_references"] is None

    def test_equal_rewards_have_no_bounds_but_a_mean(self):
        rows = [row(0, 2.0), row(1, 2.0)]
        assert codes(rows, kind="minmax") == {"p0": "shape.no_spread", "p1": "shape.no_spread"}
        assert values(rows, kind="mean_std") == {"p0": 0.0, "p1": 0.0}

    @pytest.mark.parametrize(("reward", "count"), [(0.1, 3), (0.1, 6), (0.7, 11)])
    def test_equal_rewards_whose_mean_is_rounded_are_no_deviation(self, reward, count):
        assert mean_std(np.full(count, reward)).tolist() == [0.0] * count

    def test_sizes_do_not_matter_to_the_deviation(self):
        for size in (1e-200, 1.0, 1e99):
            assert mean_std(array(0.0, size)) == pytest.approx([-1.0, 1.0])

    def test_what_no_square_can_hold_is_refused(self):
        assert codes([row(0, 1e101), row(1, 0.0), row(2, 1.0)], kind="mean_std") == {"p0": "shape.nonfinite"}
        assert codes([row(0, 1.0, refs=[-1e101])], reference_rewards="refs") == {"p0": "shape.no_reference"}

    def test_a_bad_reward_is_set_aside_and_moves_nothing(self):
        rows = [
            row(0, 0.0),
            row(1, 4.0),
            *(row(i + 2, bad) for i, bad in enumerate((None, float("nan"), float("inf")))),
        ]
        assert set(codes(rows, kind="minmax").values()) == {"shape.nonfinite"} and len(codes(rows, kind="minmax")) == 3
        assert values(rows, kind="minmax") == {"p0": 0.0, "p1": 1.0}

    def test_no_good_row_gives_no_rows(self):
        assert values([row(0, None)], kind="minmax") == {}

    def test_a_row_without_a_prompt_is_refused_where_prompts_count(self):
        rows = [row(0, 0.0), row(1, 4.0), row(2, 1.0) | {"prompt_id": None}]
        assert codes(rows, kind="minmax", over="prompt") == {"p2": "shape.no_prompt"}
        assert codes(rows, kind="minmax") == {}


class TestPenalty:
    def test_tokens_beyond_the_free_ones_cost(self):
        rows = [row(0, 2.0, response_tokens=340, refs=[0.5]), row(1, 2.0, response_tokens=300, refs=[0.5])]
        found = shape(rows, reference_rewards="refs", length_penalty=0.01).table.to_pylist()
        assert [r["shaped_reward_penalised"] for r in found] == pytest.approx([1.6, 2.0])
        assert [r["shaped_reward"] for r in found] == pytest.approx([0.75026, 0.817574], abs=1e-6)
        assert [r["reward"] for r in found] == [2.0, 2.0]

    def test_an_unknown_length_is_refused(self):
        rows = [row(0, 2.0, response_tokens=None)]
        assert codes(rows, kind="clipped", length_penalty=0.01) == {"p0": "shape.no_length"}

    def test_a_column_that_is_there_is_replaced(self):
        stage = ShapeRewards(ShapeRewardsConfig(kind="minmax"))
        table = pa.table({"id": ["a", "b"], "reward": [0.0, 1.0], "shaped_reward": ["old", "old"]})
        out = stage.process_table(table, None).table
        assert out.column_names[:3] == ["id", "reward", "shaped_reward"]
        assert out["shaped_reward"].to_pylist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "minmax", "column": "reward"},
        {"kind": "minmax", "column": "id"},
        {"kind": "minmax", "column": "prompt_id"},
        {"reference_rewards": "refs", "column": "refs"},
        {"kind": "minmax", "length_penalty": 0.1, "length": "shaped_reward_kind"},
        {"reference_rewards": "reward"},
        {},
        {"reference_rewards": "a", "reference_flag": "b"},
        {"kind": "minmax", "reference_rewards": "a"},
        {"reference_rewards": "a", "over": "prompt"},
        {"kind": "lsc", "reference_rewards": "a"},
        {"kind": "minmax", "slope": 2.0},
    ],
)
def test_options_that_do_not_fit_are_refused(config):
    with pytest.raises(ValidationError, match=r"name |leave |set "):
        ShapeRewardsConfig(**config)
