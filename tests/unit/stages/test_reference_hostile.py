"""Texts that try to get out of their quotation leave requests of scorer, rater and critic as they are."""

import re

import pytest

from pipeline.testing import ScriptedContext, process_row, scripted_engine
from stages.judging.critique import Critique, CritiqueConfig
from stages.judging.rate_aspects import RateAspects, RateAspectsConfig
from stages.judging.score_reference import ScoreReference, ScoreReferenceConfig
from tests.integration.hostile_documents import BENIGN, hostile_documents, turns_as_a_server_reads_them

STAGES = {
    "score": ScoreReference(ScoreReferenceConfig(feedback=False, max_reference_characters=2_000_000)),
    "rate": RateAspects(RateAspectsConfig(aspects=("honesty",), format="text")),
    "criticise": Critique(CritiqueConfig()),
}
REPLIES = {"score": "2", "rate": "Response 1\nRating: 2\nResponse 2\nRating: 2", "criticise": "It is vague."}
HOSTILE = hostile_documents(ScriptedContext(STAGES["score"]).seed("b", 1 << 30))
QUOTED = re.compile(r"^BEGIN ([A-Z]+) ([0-9a-f]{16})\n.*?\nEND \1 \2$", re.MULTILINE | re.DOTALL)


def row_of(reference, response):
    prompt = [{"role": "user", "content": "Why do tomatoes crack?"}]
    group = {"response_ids": ["x", "y"], "responses": [response, BENIGN]}
    return {"id": "b", "prompt_id": "p", "prompt": prompt, "reference": reference, "response": response, **group}


def asked(name, reference=BENIGN, response=BENIGN):
    """Return the row made, and the request with each quotation replaced by its label."""
    engine = scripted_engine(lambda request, draw: REPLIES[name], context_chars=10**8)
    (row,) = process_row(STAGES[name], row_of(reference, response), engines={"judge": engine})
    messages = engine.generate_calls[0].messages
    skeleton = [(m["role"], QUOTED.sub(lambda found: f"[{found[1]}]", m["content"])) for m in messages]
    return row, skeleton, turns_as_a_server_reads_them(messages)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_response_changes_neither_request_nor_verdict(name, text):
    row, *request = asked(name, response=text)
    plain, *plain_request = asked(name)
    judged = {"score": "reference_scores", "rate": "honesty", "criticise": "judgment"}[name]
    assert request == plain_request and row[judged] == plain[judged]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_reference_changes_neither_request_nor_score(text):
    row, *request = asked("score", reference=text)
    plain, *plain_request = asked("score")
    assert request == plain_request and row["reference_scores"] == plain["reference_scores"]
