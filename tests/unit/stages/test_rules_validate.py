"""Rules against labels: the arithmetic on small tables, and which rules are kept."""

import numpy as np
import pytest

from pipeline.api import wilson_interval
from pipeline.testing import process_table
from stages.rules.rule_agreement import agreements, applicability, correlation, degrees, labelled_pairs
from stages.rules.rule_texts import rule_id_of
from stages.rules.validate_rules import ValidateRules, ValidateRulesConfig
from tests.unit.stages.books_in_memory import BooksInMemory

RULES = ["The response is good.", "The response is bad.", "The response is there.", "The response is code."]
IDS = [rule_id_of(r) for r in RULES]
LOOSE = {"min_compared": 1, "min_lower_bound": 0.0, "min_together": 2}


def rows_of(*pairs, rules=RULES):
    """Return labelled rows: for each pair the verdicts on the preferred and on the other response."""
    rows = []
    for i, (preferred, other) in enumerate(pairs):
        shared = {
            "prompt_id": f"q{i}",
            "rule_ids": [rule_id_of(r) for r in rules],
            "rule_texts": rules,
            "p_yes": [None] * len(rules),
        }
        rows += [shared | {"id": f"q{i}-good", "label": 1.0, "verdicts": list(preferred)}]
        rows += [shared | {"id": f"q{i}-bad", "label": 0.0, "verdicts": list(other)}]
    return rows


def validate(rows, **config):
    result = process_table(ValidateRules(ValidateRulesConfig(**config)), rows)
    return result.table.to_pylist(), result.rejects


GOOD, BAD = (1, 0, 1, -1), (0, 1, 1, -1)


class TestArithmetic:
    def test_pairs_are_made_within_a_prompt_of_labels_that_differ(self):
        pairs = labelled_pairs(["p", "q", "p", "p", "q"], [0.0, 1.0, 1.0, 0.0, 1.0])
        assert pairs.tolist() == [[2, 0], [2, 3]]
        assert labelled_pairs([], []).shape == (0, 2)

    def test_agreement_counts_pairs_that_the_rule_tells_apart(self):
        verdicts = np.array([[1], [0], [0], [1], [1], [1], [1], [-1], [1], [-2]], np.int8)
        pairs = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
        (found,) = agreements(degrees(verdicts, "exclude"), pairs, list("aabbccddee"))
        assert (found.compared, found.agreed, found.prompts) == (2, 1, 2)
        assert (found.agreement, found.coverage) == (0.5, 0.4)
        assert applicability(verdicts) == [pytest.approx(8 / 9)] and found.interval == wilson_interval(1, 2)

    def test_where_nothing_is_compared_there_is_no_number(self):
        verdicts = np.array([[-2], [-2]], np.int8)
        (found,) = agreements(degrees(verdicts, "exclude"), np.zeros((0, 2), np.int64), ["p", "p"])
        assert (found.agreement, found.coverage, found.interval) == (None, None, (0.0, 1.0))
        assert applicability(verdicts) == [None]

    def test_degrees_are_verdicts_or_probabilities_where_a_verdict_counts(self):
        verdicts, nan = np.array([[1, 0, -1, -2]], np.int8), np.nan
        assert np.array_equal(degrees(verdicts, "exclude"), [[1, 0, nan, nan]], equal_nan=True)
        assert np.array_equal(degrees(verdicts, "satisfied"), [[1, 0, 1, nan]], equal_nan=True)
        soft = degrees(verdicts, "exclude", np.array([[0.9, nan, 0.5, 0.5]]))
        assert np.array_equal(soft, [[0.9, 0, nan, nan]], equal_nan=True)

    def test_rules_are_correlated_over_responses_on_which_both_count(self):
        verdicts = np.array([[1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1], [-1, 0, 1, 1]], np.int8)
        kept = degrees(verdicts, "exclude")
        found = correlation(kept, 2)
        assert found[0, 1] == pytest.approx(np.corrcoef(kept[:4, 0], kept[:4, 1])[0, 1])
        assert found[0, 2] == found[2, 0] and found[1, 1] == pytest.approx(1.0)
        assert np.isnan(found[0, 3]) and np.isnan(correlation(kept, 6)).all()
        soft = np.random.default_rng(3).random((9, 2))
        assert correlation(soft, 2)[0, 1] == pytest.approx(np.corrcoef(soft.T)[0, 1])
        assert np.isnan(correlation(np.full((7, 2), 0.1), 2)).all()


class TestValidation:
    def test_a_rule_is_kept_if_preferred_responses_keep_it_beyond_chance(self):
        rows, rejects = validate(rows_of(*[(GOOD, BAD)] * 12))
        good = rows[0]
        assert (good["kept"], good["reason"], good["pairs"], good["pairs_compared"]) == (True, None, 12, 12)
        assert (good["agreement"], good["coverage"], good["applicability"]) == (1.0, 1.0, 1.0)
        assert (good["wilson_low"], good["wilson_high"]) == wilson_interval(12, 12)
        assert [r["rule"] for r in rows] == RULES and [r["rule_id"] for r in rows] == IDS and not rejects
        assert [r["reason"] for r in rows[1:]] == ["agreement", "compared", "compared"]
        assert len({r["id"] for r in rows}) == 4 and rows[3]["applicability"] == 0.0 and rows[3]["agreement"] is None

    def test_many_pairs_of_one_prompt_prove_no_more_than_one(self):
        pairs = rows_of(*[(GOOD, BAD)] * 6)
        (one, *_), _ = validate([r | {"prompt_id": "q"} for r in pairs], min_coverage=0.0)
        assert (one["pairs_compared"], one["prompts_compared"], one["agreement"]) == (36, 1, 1.0)
        assert (one["wilson_low"], one["wilson_high"]) == wilson_interval(1, 1) and one["reason"] == "lower_bound"
        grades = [r | {"prompt_id": f"q{int(r['id'][1]) // 2}"} for r in pairs]
        (some, *_), _ = validate(grades, **LOOSE)
        assert (some["pairs"], some["prompts_compared"]) == (12, 3)

    def test_preferred_responses_that_broke_a_rule_are_named(self):
        rows, _ = validate(rows_of((GOOD, BAD), (BAD, GOOD)))
        assert rows[0]["against"] == ["q1-good"] and rows[1]["against"] == ["q0-good"]

    @pytest.mark.parametrize(
        ("config", "reason"),
        [
            ({"min_compared": 5}, "compared"),
            ({"min_coverage": 0.9}, "coverage"),
            ({"min_agreement": 0.8}, "agreement"),
            ({"min_lower_bound": 0.5}, "lower_bound"),
            ({}, None),
        ],
    )
    def test_the_bound_that_is_missed_is_named(self, config, reason):
        pairs = [(GOOD, BAD)] * 3 + [(BAD, GOOD)] + [(GOOD, GOOD)]
        rows, _ = validate(rows_of(*pairs), **(LOOSE | config))
        assert rows[0]["reason"] == reason and rows[0]["kept"] == (reason is None)

    def test_a_rule_that_seldom_applies_can_be_left_out(self):
        rows, _ = validate(rows_of(((1,), (0,)), ((-1,), (-1,)), rules=RULES[:1]), **LOOSE)
        assert rows[0]["kept"] and rows[0]["applicability"] == 0.5
        bounds = LOOSE | {"min_applicability": 0.6}
        rows, _ = validate(rows_of(((1,), (0,)), ((-1,), (-1,)), rules=RULES[:1]), **bounds)
        assert rows[0]["reason"] == "applicability"

    def test_a_rule_that_does_not_apply_counts_as_kept_if_told_so(self):
        pairs = rows_of(((-1,), (0,)), ((-1,), (1,)), rules=RULES[:1])
        rows, _ = validate(pairs, **LOOSE)
        assert rows[0]["pairs_compared"] == 0
        rows, _ = validate(pairs, not_applicable="satisfied", **LOOSE)
        assert (rows[0]["pairs_compared"], rows[0]["agreement"], rows[0]["applicability"]) == (1, 1.0, 0.5)

    def test_probabilities_tell_apart_what_yes_and_no_do_not(self):
        pairs = rows_of(((1,), (1,)), ((1,), (1,)), ((0,), (1,)), rules=RULES[:1])
        soft = [r | {"p_yes": [p]} for r, p in zip(pairs, (0.9, 0.8, 0.7, 0.7, 0.4, None), strict=True)]
        hard, _ = validate(soft, **LOOSE)
        assert (hard[0]["pairs_compared"], hard[0]["agreement"]) == (1, 0.0)
        rows, _ = validate(soft, soft=True, **LOOSE)
        assert (rows[0]["pairs_compared"], rows[0]["agreement"], rows[0]["against"]) == (2, 0.5, ["q2-good"])

    def test_of_two_rules_that_contradict_each_other_the_better_one_stays(self):
        pairs = rows_of(*[((1, 0), (0, 1))] * 6, *[((0, 1), (1, 0))] * 4, *[((1, 0), (1, 0))] * 2, rules=RULES[:2])
        rows, _ = validate(pairs, min_agreement=0.4, **LOOSE)
        assert rows[0]["kept"] and rows[0]["contradicts"] == [IDS[1]]
        assert (rows[1]["kept"], rows[1]["reason"], rows[1]["contradicts"]) == (
            False,
            f"contradicts {IDS[0]}",
            [IDS[0]],
        )
        rows, _ = validate(pairs, min_agreement=0.4, drop_contradicting=False, **LOOSE)
        assert all(r["kept"] for r in rows) and rows[0]["contradicts"] == [IDS[1]]

    @pytest.mark.parametrize(
        "change",
        [
            {"label": None},
            {"rule_texts": [*RULES[:3], "The response is new."]},
            {"rule_texts": None},
            {"label": float("nan")},
            {"prompt_id": None},
            {"rule_ids": IDS[:3]},
            {"rule_ids": None},
            {"verdicts": [1]},
            {"verdicts": None},
            {"p_yes": [0.5]},
            {"verdicts": [1, 0, 300, -1]},
        ],
    )
    def test_a_row_that_cannot_be_compared_is_rejected_and_the_others_go_on(self, change):
        first, second, third, fourth = rows_of((GOOD, BAD), (GOOD, BAD))
        rows, rejects = validate([first, second | change, third, fourth])
        assert [(r.row["id"], r.code) for r in rejects] == [("q0-bad", "rules.bad_row")]
        assert rows[0]["pairs"] == 1

    def test_no_row_says_nothing_about_rules(self):
        assert validate([])[0] == []

    def test_the_report_shows_every_rule(self):
        stage = ValidateRules(ValidateRulesConfig())
        table = process_table(stage, rows_of(*[(GOOD, BAD)] * 12)).table
        (shown,) = stage.report(BooksInMemory(24, table))
        assert shown.rows[0][:5] == (RULES[0], "yes", None, 12, 1.0) and shown.rows[1][1] == "no"
        assert shown.note.startswith("1 of 4 rules kept.")
