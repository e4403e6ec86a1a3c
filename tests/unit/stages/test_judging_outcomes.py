import itertools
import json
import math
from pathlib import Path

import pytest

from stages.judging.outcomes import (
    OUTCOMES,
    combined,
    length_ruled,
    mirrored,
    outcome_of_empty,
    preference,
    winner,
)
from stages.judging.pair_verdicts import PairVerdict, read_choice, read_pair_verdict, read_plain, soft_preference
from stages.replies.asking import Unusable

GOLDEN = Path(__file__).resolve().parents[4] / "shared/data/wildbench_rules_golden.json"


def test_the_five_outcomes_and_their_figures():
    assert [preference(o) for o in OUTCOMES] == [1, 0.75, 0.5, 0.25, 0]
    assert [winner(o) for o in OUTCOMES] == ["a", "a", "tie", "b", "b"]
    assert [mirrored(o) for o in OUTCOMES] == list(reversed(OUTCOMES))


@pytest.mark.parametrize(
    ("forward", "backward", "outcome", "preferred", "mean", "consistent"),
    [
        ("A++", "A++", "A++", 1.0, 1.0, True),
        ("A++", "A+", "A+", 0.875, 0.875, True),
        ("B+", "B++", "B+", 0.125, 0.125, True),
        ("A=B", "A=B", "A=B", 0.5, 0.5, True),
        ("A+", "A=B", "A=B", 0.5, 0.625, False),
        ("A++", "B++", "A=B", 0.5, 0.5, False),
        ("A++", "B+", "A=B", 0.5, 0.625, False),
    ],
)
def test_both_orders_together(forward, backward, outcome, preferred, mean, consistent):
    found = combined(forward, backward)
    assert (found.outcome, found.preference, found.mean) == (outcome, preferred, mean)
    assert found.consistent is consistent


@pytest.mark.parametrize(("forward", "backward"), list(itertools.product(OUTCOMES, repeat=2)))
def test_names_and_order_do_not_matter(forward, backward):
    found, other = combined(forward, backward), combined(mirrored(backward), mirrored(forward))
    assert found.outcome == mirrored(other.outcome) and found.preference == 1 - other.preference
    assert found.mean == 1 - other.mean and (found.preference == 0.5) == (found.outcome == "A=B")
    assert combined(backward, forward) == found


@pytest.mark.parametrize(
    ("outcome", "a", "b", "margin", "ruled"),
    [
        ("A+", 1501, 1000, 500, "A=B"),
        ("A+", 1500, 1000, 500, "A+"),
        ("B+", 1000, 1501, 500, "A=B"),
        ("B+", 1501, 1000, 0, "B+"),
        ("A++", 9000, 1, 0, "A++"),
        ("A=B", 9000, 1, 0, "A=B"),
        ("A+", 9000, 1, -1, "A+"),
        ("A+", 9000, 1, None, "A+"),
        ("A+", 1, 0, 0, "A=B"),
    ],
)
def test_the_length_rule(outcome, a, b, margin, ruled):
    assert length_ruled(outcome, a, b, margin) == ruled


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the table of WildBench's rules is not beside this checkout")
def test_the_length_rule_agrees_with_the_whole_table():
    cases = json.loads(GOLDEN.read_text("utf-8"))["pairwise_rule"]["cases"]
    assert len(cases) >= 100
    for case in cases:
        outcome = {"test": "A", "ref": "B"}.get(case["winner"], "A=B") + "+" * case["extent"]
        ruled = length_ruled(outcome, case["len_test"], case["len_ref"], case["K"])
        assert {"a": "win", "b": "lose", "tie": "tie"}[winner(ruled)] == case["outcome"].partition("_")[0], case
        assert 2 * preference(ruled) - 1 == case["reward"], case


@pytest.mark.parametrize(
    ("a", "b", "outcome"), [(True, True, "A=B"), (True, False, "B++"), (False, True, "A++"), (False, False, None)]
)
def test_empty_texts_decide_themselves(a, b, outcome):
    assert outcome_of_empty(a, b) == outcome


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ('{"analysis of A": "Good.", "choice": "A++"}', "A++"),
        ('{"choice": "B+",}', "B+"),
        ('```json\n{"choice": "A=B"}\n```', "A=B"),
        ('{"choice": " b++ "}', "B++"),
        ('{"reason": "He wrote "no".", "choice": "B++"}', "B++"),
        ("choice: A+", "A+"),
        ('The "choice": A=B', "A=B"),
        ('In the form "choice": "A++, A+, A=B, B+ or B++":\nchoice: B+', "B+"),
        ('It is this.\n```json\n{"choice": "B+"}\n```', "B+"),
        ('{"analysis_a": {"choice": "A++"}, "choice": "B+"}', "B+"),
        ('{"choice": "a+"}', "A+"),
    ],
)
def test_a_choice_of_wildbench_is_read(reply, outcome):
    assert read_choice(reply).outcome == read_pair_verdict(reply).outcome == outcome


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "A++",
        '{"choice": "A"}',
        '{"choice": "A+++"}',
        '{"choice": null}',
        '{"verdict": "A+"}',
        '{"choice": "A+", "choice": "B+"}',
        '"choice": "A+" then "choice": "B+"',
        r'{"analysis": "It says \"choice\": \"A++\" itself", "cho',
        "choice: A+++",
        "choice: A+ or B+",
        'I answer in this form: {"choice": "A++, A+, A=B, B+ or B++"}',
        '{"analysis_a": "It says "choice": "A++" itself", "choice": B+}',
        '{"analysis_a": "It says "choice": "A++" itself", "for_tie": "None."}',
        'It says "choice": "A++", which I leave out. choice: B+',
        'It holds\n```json\n{"choice": "A++"}\n```\nMy choice: B+',
        '{"verdict": {"choice": "A++"}}',
        '{"choice": "A\uff0b"}',
        '{"choice": ["A++"]}',
    ],
)
def test_what_is_not_one_choice_is_refused(reply):
    with pytest.raises(Unusable):
        read_choice(reply)


def test_reasons_are_kept_beside_the_choice():
    found = read_choice('{"analysis_a": "Short.", "for_tie": ["None.", "None."], "x": 7, "choice": "A+"}')
    assert found == PairVerdict("A+", "analysis_a: Short.\nfor_tie: - None.\n- None.")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("My final verdict is: [[A]]", "A+"),
        ("[[B]] It is clearer. So [[B]].", "B+"),
        ("Assistant A is better at first sight. Yet [[B]]", "B+"),
        ("choice: A++ [[A]]", "A++"),
        ("[[C]]", "A=B"),
        ("Output (a)", "A+"),
        ("Output (b) ", "B+"),
        ("Both try. Therefore, Output (b) is better.", "B+"),
        ("Output (a) is better.\n\nOutput (b) is too short. Output (a) is the better one.", "A+"),
        ("It is hard to say whether Output (a) is better. But Output (b) is better.", "B+"),
        ("Response B is much better than Response A.", "B+"),
        ("It reads well.\n\n**Verdict: A**", "A+"),
        ("tie", "A=B"),
    ],
)
def test_verdicts_of_other_judges_are_read(reply, outcome):
    assert read_pair_verdict(reply).outcome == outcome


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "[[A]] or [[B]]",
        "[[D]]",
        "It says [[A]], which I leave out. Output (b) is better.",
        "choice: A++, no: [[B]]",
        "Output (a) is hardly better.",
        "Output (a) is better. In the end, Output (b) is better.",
        "I cannot say that Output (a) is better.",
        "# Output (a):\nIt is short.",
        "Output (a):\nIt is short.",
        "Both are equally good.",
        "A\nB",
    ],
)
def test_a_verdict_that_is_not_clear_is_refused(reply):
    with pytest.raises(Unusable):
        read_pair_verdict(reply)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("A", "A+"),
        (" b.", "B+"),
        ("**A**", "A+"),
        ("Tie", "A=B"),
        ("Answer: B", "B+"),
        ("Response A", "A+"),
        ("(b)", "B+"),
    ],
)
def test_one_word_is_read(reply, outcome):
    assert read_plain(reply).outcome == outcome


@pytest.mark.parametrize("reply", ["", "A or B", "C", "AB", "Better", "A because it is short", "neither"])
def test_more_than_a_verdict_is_not_plain(reply):
    with pytest.raises(Unusable):
        read_plain(reply)


@pytest.mark.parametrize(
    ("shares", "soft"), [((0.6, 0.3, 0.1), 0.65), ((0.2, 0.2, 0.0000001), 0.5), ((0.1, 0.1, 0.8), 0.5)]
)
def test_half_of_the_tie_goes_to_each_side(shares, soft):
    assert soft_preference([math.log(p) for p in shares]) == pytest.approx(soft)
