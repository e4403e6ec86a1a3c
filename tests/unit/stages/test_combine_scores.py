import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.shaping.combine_scores import CombineScores, CombineScoresConfig
from stages.shaping.rank_scores import agreement, combine, ranks

NAN = float("nan")
BOTH = {"rules": 1.0, "ratio": 1.0}


def row(i, rules, ratio, prompt="p"):
    return {"id": f"{prompt}{i}", "prompt_id": prompt, "rules": rules, "ratio": ratio}


def run(rows, scores=BOTH, **config):
    return process_table(CombineScores(CombineScoresConfig(scores=scores, **config)), rows)


def column(rows, name="combined_score", **config):
    return {r["id"]: r[name] for r in run(rows, **config).table.to_pylist()}


def codes(rows, **config):
    return {r.row["id"]: r.code for r in run(rows, **config).rejects}


class TestRanks:
    def test_from_lowest_to_highest_with_ties_shared(self):
        assert ranks(np.array([5.0, 1.0, 5.0, -2.0])).tolist() == pytest.approx([2.5 / 3, 1 / 3, 2.5 / 3, 0.0])

    def test_equal_scores_are_all_in_the_middle(self):
        assert ranks(np.array([7.0] * 3)).tolist() == [0.5] * 3

    def test_a_missing_score_takes_no_part_and_one_alone_has_no_rank(self):
        assert ranks(np.array([1.0, NAN, 2.0])).tolist() == pytest.approx([0.0, NAN, 1.0], nan_ok=True)
        assert np.isnan(ranks(np.array([1.0, NAN]))).all()

    @given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
    def test_only_the_order_counts(self, scores):
        array = np.array(scores, dtype=np.float64)
        assert ranks(array).tolist() == ranks(np.exp(array)).tolist()
        assert ranks(-array) == pytest.approx(1.0 - ranks(array))
        assert ranks(array).mean() == pytest.approx(0.5)

    def test_weights_and_their_signs(self):
        ranked = np.array([[1.0, 0.0], [0.0, 1.0], [NAN, 0.25], [NAN, NAN]])
        assert combine(ranked, np.array([3.0, 1.0])).tolist() == pytest.approx([0.75, 0.25, 0.25, NAN], nan_ok=True)
        assert combine(ranked[:2], np.array([3.0, -1.0])).tolist() == [1.0, 0.0]

    def test_agreement_is_a_share_of_weight(self):
        ranked = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
        weights = np.array([3.0, 1.0, 1.0])
        assert agreement(ranked, weights, combine(ranked, weights)) == pytest.approx(0.6)

    def test_of_several_best_ones_all_count_whatever_their_order(self):
        ranked = np.array([[1.0, 0.0], [0.5, 1.0], [0.0, 0.5]])
        weights, combined = np.array([1.0, 1.0]), np.array([0.75, 0.75, 0.25])
        expected = (0.5 + 1.0) / 2  # the first of the two best is above the worst by one score, the second by both
        for order in itertools.permutations(range(3)):
            assert agreement(ranked[list(order)], weights, combined[list(order)]) == expected

    def test_nobody_agrees_where_all_are_equal_or_nobody_knows_both(self):
        assert agreement(np.full((2, 1), 0.5), np.array([1.0]), np.array([0.5, 0.5])) is None
        assert agreement(np.full((2, 1), NAN), np.array([1.0]), np.array([NAN, NAN])) is None
        crossed = np.array([[1.0, NAN], [NAN, 0.0]])
        assert agreement(crossed, np.array([1.0, 1.0]), np.array([1.0, 0.0])) is None


class TestCombining:
    ROWS = (row(0, 0.1, -50.0), row(0, 1.0, 9.0, "q"), row(1, 0.9, -10.0), row(1, 0.0, 8.0, "q"), row(2, 0.5, -90.0))

    def test_ranks_within_the_prompt_wherever_its_responses_lie(self):
        assert column(self.ROWS) == pytest.approx({"p0": 0.25, "q0": 1.0, "p1": 1.0, "q1": 0.0, "p2": 0.25})
        assert column(self.ROWS, "ratio_rank") == {"p0": 0.5, "q0": 1.0, "p1": 1.0, "q1": 0.0, "p2": 0.0}
        assert set(column(self.ROWS, "combined_score_agreement").values()) == {1.0}

    def test_a_negative_weight_turns_a_score_round(self):
        assert column(self.ROWS[1:4:2], scores={"rules": 1.0, "ratio": -3.0}) == {"q0": 0.25, "q1": 0.75}

    def test_scores_that_disagree_say_so_and_may_be_set_aside(self):
        rows = [row(0, 1.0, 0.0), row(1, 0.0, 1.0)]
        scores = {"rules": 3.0, "ratio": 1.0}
        assert set(column(rows, "combined_score_agreement", scores=scores).values()) == {0.75}
        assert set(codes(rows, scores=scores, min_agreement=0.8).values()) == {"combine.disagreement"}
        assert codes(rows, scores=scores, min_agreement=0.75) == {}

    def test_a_share_that_rounding_lowers_is_enough(self):
        scores = {"rules": 0.7, "ratio": 0.2, "third": 0.1}
        rows = [row(0, 1.0, 0.0) | {"third": 1.0}, row(1, 0.0, 1.0) | {"third": 0.0}]
        assert 0.7 + 0.1 < 0.8 and codes(rows, scores=scores, min_agreement=0.8) == {}

    def test_a_combination_without_an_order_has_no_agreement(self):
        rows = [row(0, 1.0, 0.0), row(1, 0.0, 1.0)]
        assert set(column(rows, "combined_score_agreement").values()) == {None}
        assert set(codes(rows, min_agreement=0.1).values()) == {"combine.disagreement"}

    def test_a_missing_score_is_refused_before_anything_is_ranked(self):
        rows = [row(0, 0.0, 1.0), row(1, 1.0, 2.0), row(2, 2.0, None), row(3, NAN, 5.0)]
        assert codes(rows) == {"p2": "combine.missing", "p3": "combine.missing"}
        assert column(rows) == {"p0": 0.0, "p1": 1.0}

    def test_or_the_others_count_alone(self):
        rows = [row(0, 0.0, 1.0), row(1, 1.0, 2.0), row(2, 2.0, None), row(3, None, NAN)]
        assert column(rows, missing="skip") == pytest.approx({"p0": 0.0, "p1": 0.75, "p2": 1.0})
        assert codes(rows, missing="skip") == {"p3": "combine.missing"}

    def test_a_score_nobody_else_has_is_no_rank(self):
        rows = [row(0, 0.0, None), row(1, 1.0, None), row(2, None, 5.0)]
        found = run(rows, missing="skip")
        assert [(r.row["id"], r.code) for r in found.rejects] == [("p2", "combine.missing")]
        assert "any column" not in found.rejects[0].message

    def test_one_response_alone_is_refused(self):
        assert codes([row(0, 1.0, 1.0)]) == {"p0": "combine.too_few"}

    def test_a_row_without_a_prompt_is_refused(self):
        assert codes([row(9, 1.0, 1.0) | {"prompt_id": None}, *self.ROWS]) == {"p9": "combine.no_prompt"}

    def test_a_column_that_is_there_is_replaced(self):
        stage = CombineScores(CombineScoresConfig(scores=BOTH))
        table = pa.Table.from_pylist([r | {"combined_score": "old"} for r in self.ROWS])
        out = stage.process_table(table, None).table
        assert out.column_names[4] == "combined_score" and out["combined_score"].type == pa.float64()


@pytest.mark.parametrize(
    "config",
    [
        {"scores": {"rules": 1.0}},
        {"scores": {"rules": 1.0, "ratio": 0.0}},
        {"scores": {"rules": 1.0, "ratio": NAN}},
        {"scores": BOTH, "column": "rules"},
        {"scores": BOTH, "column": "prompt_id"},
        {"scores": {"rules": 1.0, "rules_rank": 1.0}},
    ],
)
def test_options_that_do_not_fit_are_refused(config):
    with pytest.raises(ValidationError, match=r"name|give|choose"):
        CombineScoresConfig(**config)
