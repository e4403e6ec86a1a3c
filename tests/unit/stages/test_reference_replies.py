import json
from pathlib import Path

import pytest

from stages.judging.reference_replies import parse_json_score
from stages.judging.result_marks import parse_bare_score, parse_choice, parse_score

VECTORS = Path(__file__).parents[4] / "shared/data/methods_annotation/prometheus_parser_vectors.json"

SCORES = [
    ("It agrees. [RESULT] 4", 4),
    ("It agrees.\n\n**[RESULT]** 4\n", 4),
    ("[result]: 2.", 2),
    ("[SCORE] 3/5", 3),
    ("[RESULT] (5)", 5),
    ("[RESULT: 1]", 1),
    ("[Result] Score: 2", 2),
    ("[RESULT] Final score: 4 out of 5.", 4),
    ("Poor. [RESULT] score of 1", 1),
    ("Good. (Score 5)", 5),
    ("Good. [score 2]", 2),
    ("Overall score: 3", 3),
    ("It deserves a score of 4.", 4),
    ("The reference (Score 5) says more. [RESULT] 3", 3),
    ("[RESULT] 4. To repeat: [RESULT] 4", 4),
]
NO_SCORES = [
    "",
    "[RESULT]",
    "[RESULT] 0",
    "[RESULT] 6",
    "[RESULT] 10",
    "[RESULT] 2.5",
    "[RESULT] -3",
    "[RESULT] 3-4",
    "[RESULT] 3 or 4",
    "[RESULT] 4/10",
    "[RESULT] 4 out of 10",
    "[RESULT] 4/50",
    "[RESULT] four",
    "[RESULT] \u0664",
    "[RESULT] 4, since it agrees",
    "[RESULT] 3. No: [RESULT] 4",
    "[RESULT] see below. Score: 4",
    "(Score 5) is what the reference would get.",
    "Style score: 3. Score: 4",
    "I would give it a 4",
    "It is definitely not 3.",
    "4: it agrees",
]


@pytest.mark.parametrize(("reply", "score"), SCORES)
def test_a_score_at_the_end_is_read(reply, score):
    assert parse_score(reply) == parse_bare_score(reply) == score


@pytest.mark.parametrize("reply", NO_SCORES)
def test_what_does_not_end_with_one_score_is_none_and_never_a_number(reply):
    assert parse_score(reply) is None and parse_bare_score(reply) is None


@pytest.mark.parametrize("reply", ["4", " 4\n", "**4**", "4.", "4/5", "(4)", "4 out of 5"])
def test_a_number_alone_is_read_only_where_it_was_asked_for(reply):
    assert parse_bare_score(reply) == 4 and parse_score(reply) is None


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A is better. [RESULT] A", "A"),
        ("[Response A is worse. [RESULT] **B**.", "B"),
        ("Both are clear... [Result] Response B", "B"),
        ("[RESULT: A]", "A"),
        ("They differ. [Response B]", "B"),
        ("Result: A", "A"),
        ("[RESULT] A or B", None),
        ("[RESULT] Alpha", None),
        ("[RESULT] A. [RESULT] B", None),
        ("[RESULT] C", None),
        ("I select Response B.", None),
        ("", None),
    ],
)
def test_a_choice_at_the_end_is_read(reply, choice):
    assert parse_choice(reply) == choice


@pytest.mark.skipif(not VECTORS.exists(), reason="the vectors of prometheus-eval are not at hand")
def test_the_vectors_of_prometheus_eval_are_all_met():
    vectors = json.loads(VECTORS.read_text("utf-8"))
    read = {"absolute": parse_score, "relative": parse_choice}
    assert len(vectors) == 34 and {v["mode"] for v in vectors} == set(read)
    assert [v for v in vectors if read[v["mode"]](v["output"]) != v["expected"]] == []


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ('{"feedback": "It agrees.", "score": 4}', 4),
        ('```json\n{"score": 1}\n```', 1),
        ('{"score": "4"}', None),
        ('{"score": 2.5}', None),
        ('{"score": true}', None),
        ('{"score": 6}', None),
        ('{"feedback": "none"}', None),
        ("[4]", None),
        ('{"score": 4', None),
        ('{"score": 1, "score": 5}', None),
        (f'{{"score": {"1" * 5000}}}', None),
        ("[RESULT] 4", None),
    ],
)
def test_a_score_in_json_is_a_whole_number_from_1_to_5(reply, score):
    assert parse_json_score(reply) == score
