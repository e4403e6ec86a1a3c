import math

import pytest

from pipeline.api import GenResult, Reject, Sample
from pipeline.testing import ScriptedContext, process_row, raises_row_error, scripted_engine
from stages.sampling.policy_score import mark
from stages.sampling.sample_responses import SampleResponses, SampleResponsesConfig, with_system

ROW = {"id": "p", "prompt": [{"role": "user", "content": "Name a river."}], "topic": "rivers"}


def run(samples, n=None, **config):
    engine = scripted_engine()

    async def generate(request):
        engine.generate_calls.append(request)
        return GenResult(tuple(samples), 11, "m")

    engine.generate = generate
    stage = SampleResponses(SampleResponsesConfig(n=n or len(samples), **config))
    return process_row(stage, ROW, engines={"policy": engine}), engine.generate_calls


def test_one_request_gives_one_row_per_draw_in_order():
    rows, calls = run([Sample("Elbe", "stop", 2, -1.5), Sample("Rhine and", "length", 3, -2.5)])
    seen = ("draw", "response", "finish_reason", "response_tokens", "policy_logprob")
    assert [tuple(r[c] for c in seen) for r in rows] == [
        (0, "Elbe", "stop", 2, -1.5),
        (1, "Rhine and", "length", 3, -2.5),
    ]
    assert {(r["prompt_id"], r["topic"], r["prompt_tokens"], r["policy_model"]) for r in rows} == {
        ("p", "rivers", 11, "scripted")
    }
    assert len(calls) == 1


def test_the_request_carries_the_options_and_the_rows_seed():
    stage = SampleResponses(SampleResponsesConfig())
    rows, (call,) = run([Sample("a", "stop")], temperature=0.3, top_p=0.9, max_tokens=7, stop=("\n",), logprobs=False)
    assert (call.n, call.temperature, call.top_p, call.max_tokens, call.stop, call.logprobs) == (
        1,
        0.3,
        0.9,
        7,
        ("\n",),
        False,
    )
    assert call.seed == rows[0]["sample_seed"] == ScriptedContext(stage).seed("p")
    assert call.messages == tuple(ROW["prompt"])


def test_system_text_goes_in_front_unless_the_prompt_has_one():
    user, system = {"role": "user", "content": "Hi."}, {"role": "system", "content": "Rhyme."}
    assert with_system((user,), "Be brief.") == ({"role": "system", "content": "Be brief."}, user)
    assert with_system((system, user), "Be brief.") == (system, user)
    assert with_system((user,), None) == (user,)


def test_system_text_is_for_sampling_only():
    (row,), (call,) = run([Sample("Elbe", "stop")], system="Be brief.")
    assert call.messages[0]["role"] == "system" and row["prompt"] == ROW["prompt"]


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        (Sample("", "stop"), "responses.empty"),
        (Sample(" \n\t", "length"), "responses.empty"),
        (Sample("cut", "content_filter"), "responses.filtered"),
        (Sample("bad \udc80", "stop"), "responses.bad_text"),
        (Sample("fine", "stop", 1, math.nan), "responses.nonfinite"),
        (Sample("fine", "stop", 1, -math.inf), "responses.nonfinite"),
    ],
)
def test_a_bad_draw_is_rejected_alone(sample, code):
    (good, bad), _ = run([Sample("Elbe", "stop"), sample])
    assert isinstance(bad, Reject) and not isinstance(good, Reject)
    assert bad.code == code and bad.row["draw"] == 1 and bad.row["policy_logprob"] is None
    bad.row["response"].encode("utf-8")


def test_another_number_of_samples_than_asked_rejects_the_row():
    error = raises_row_error("responses.missing", lambda: run([Sample("a", "stop")], n=3))
    assert "returned 1 samples, expected 3" in error.message


def test_a_scorable_draw_is_marked_for_a_scorer_that_is_the_same_engine():
    (row, cut), _ = run([Sample("Elbe", "stop", 2, -1.5, scorable=True), Sample("Rhine and", "length", 3, -2.5)])
    assert row["policy_scored_by"] == mark(scripted_engine(), tuple(ROW["prompt"]), "Elbe")
    assert cut["policy_scored_by"] is None


def test_no_draw_is_marked_where_the_policy_saw_another_prompt_or_gave_no_logprob():
    (saw_more,), _ = run([Sample("Elbe", "stop", 2, -1.5, scorable=True)], system="Be brief.")
    (silent,), _ = run([Sample("Elbe", "stop", 2, None, scorable=True)])
    assert saw_more["policy_scored_by"] is silent["policy_scored_by"] is None


def test_system_text_that_the_prompt_makes_needless_leaves_the_mark():
    stage, engine = SampleResponses(SampleResponsesConfig(n=1, system="Be brief.")), scripted_engine()
    prompt = [{"role": "system", "content": "Rhyme."}, *ROW["prompt"]]
    (row,) = process_row(stage, {**ROW, "prompt": prompt}, engines={"policy": engine})
    assert row["policy_scored_by"] == mark(engine, tuple(prompt), row["response"])
