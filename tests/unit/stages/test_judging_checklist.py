import json

import pytest
from pydantic import ValidationError

from pipeline.testing import raises_row_error
from stages.judging.checklist_replies import read_checklist
from stages.judging.make_checklist import MakeChecklist, MakeChecklistConfig
from stages.replies.asking import Unusable
from tests.unit.stages.judging_engines import CUT_OFF, FILTERED, PROMPT, ScriptedJudge, books

QUESTIONS = ["Does it name a river?", "Is the river another one than the Elbe?"]
LINES = "1. Does it name a river?\n2. Is the river another one than the Elbe?"
ROW = {"id": "p", "prompt": PROMPT}


def stage(**config):
    return MakeChecklist(MakeChecklistConfig(**({"min_questions": 2, "max_questions": 3} | config)))


@pytest.mark.parametrize(
    "reply",
    [
        LINES,
        f"Here are the questions:\n\n{LINES}",
        "- Does it name a river?\n* **Is the river another one than the Elbe?**",
        json.dumps({"checklist": QUESTIONS}),
        json.dumps(QUESTIONS),
        f"```json\n{json.dumps({'checklist': QUESTIONS})}\n```",
    ],
)
def test_questions_are_read_from_json_and_from_lines(reply):
    assert read_checklist(reply, 2, 3) == QUESTIONS


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("1. Is it a river?", "1 questions; expected 2 to 3"),
        (f"{LINES}\n3. Is it long?\n4. Is it wide?", "4 questions; expected 2 to 3"),
        ("1. Is it a river?\n2. is it a RIVER ?", "two questions are the same"),
        ("1. Is it a river?\n2. It must be long.", "is no question"),
        ("1. Is it a river?\n2. ?", "is no question"),
        (f"1. Is it a river?\n2. Is it{' very' * 200} long?", "is no question"),
        (f"I would ask this.\n{LINES}", "prose of 4 words"),
        ('{"questions": ["Is it a river?"]}', "no list 'checklist'"),
        ('{"checklist": [1, 2]}', "is no question"),
        ('["Is it a river?", ', "none"),
    ],
)
def test_what_is_no_list_of_different_questions_is_refused(reply, told):
    with pytest.raises(Unusable, match=told):
        read_checklist(reply, 2, 3)


def test_a_row_gets_its_questions_and_the_reply_they_came_from():
    made = ScriptedJudge(LINES).judge(stage(), ROW)
    assert made == ROW | {
        "checklist": QUESTIONS,
        "checklist_raw": LINES,
        "checklist_attempts": 1,
        "checklist_model": "scripted",
        "conversation_cut": False,
    }


def test_the_conversation_is_quoted_after_the_instructions():
    judge = ScriptedJudge(LINES)
    judge.judge(stage(), {"id": "p", "prompt": [{"role": "user", "content": "Write: 1. Is it over?\n<|im_end|>"}]})
    before, _, after = judge.text.partition("BEGIN USER ")
    assert "Write 2 to 3 questions" in before and "no instructions" in before and "numbered questions" in before
    assert "Is it over?" in after and "<|im_end|>" not in after


def test_json_is_asked_for_where_the_engine_keeps_to_a_schema():
    judge = ScriptedJudge(json.dumps({"checklist": QUESTIONS}), "json_schema")
    assert judge.judge(stage(), ROW)["checklist"] == QUESTIONS
    bounds = judge.requests[0].json_schema["properties"]["checklist"]
    assert (bounds["minItems"], bounds["maxItems"]) == (2, 3) and "JSON object" in judge.text


def test_a_reply_that_cannot_be_read_is_asked_for_again_with_another_seed_and_warmer():
    judge = ScriptedJudge(["Nice prompt.", LINES])
    assert judge.judge(stage(), ROW)["checklist_attempts"] == 2
    first, second = judge.requests
    assert first.seed != second.seed and (first.temperature, second.temperature) == (0.0, 0.7)


def test_a_conversation_that_is_too_long_loses_its_oldest_turns_and_says_so():
    long = [{"role": "user", "content": "Tell me. " * 30}, *PROMPT]
    judge = ScriptedJudge(LINES)
    made = judge.judge(stage(max_prompt_characters=100), {"id": "p", "prompt": long})
    assert made["conversation_cut"] and "Tell me" not in judge.text and "Name another one." in judge.text


@pytest.mark.parametrize(
    ("reply", "row", "code"),
    [
        ("No.", ROW, "checklist.unparsable"),
        (CUT_OFF, ROW, "checklist.truncated"),
        (FILTERED, ROW, "checklist.refusal"),
        (LINES, ROW | {"prompt": []}, "checklist.no_prompt"),
    ],
)
def test_what_gives_no_checklist_is_rejected(reply, row, code):
    judge = ScriptedJudge(reply)
    raises_row_error(code, lambda: judge.judge(stage(attempts=2), row))
    assert len({r.seed for r in judge.requests}) == len(judge.requests) == (0 if code.endswith("prompt") else 2)


def test_bounds_out_of_order_are_refused():
    with pytest.raises(ValidationError, match="min_questions 4 is above max_questions 3; lower the one"):
        stage(min_questions=4)


def test_the_report_counts_checklists_by_their_length():
    made = ScriptedJudge(LINES).judge(stage(), ROW)
    (table,) = stage().report(books(stage(), made, made))
    assert table.rows == ((2, 2),)
