import math

import pytest
from pydantic import ValidationError

from pipeline.api import ScoreResult
from pipeline.testing import process_row, raises_row_error, scripted_engine
from stages.annotation.score_logprobs import ScoreLogprobs, ScoreLogprobsConfig
from stages.sampling.sample_responses import SampleResponses, SampleResponsesConfig

ROW = {"id": "r", "prompt": [{"role": "user", "content": "Name a river."}], "response": "The Danube."}


def test_columns_are_named_after_the_option():
    engine = scripted_engine(model="big", revision="abc")
    (row,) = process_row(ScoreLogprobs(ScoreLogprobsConfig(column="strong_logprob")), ROW, engines={"scorer": engine})
    assert row["strong_logprob"] < 0 and row["strong_logprob_tokens"] == 3
    assert row["strong_logprob_model"] == "big@abc" and row["response"] == ROW["response"]


def test_what_is_needed_to_read_the_figure_stands_beside_it():
    engine = scripted_engine()
    config = ScoreLogprobsConfig(column="lp", include_eos=False)
    (row,) = process_row(ScoreLogprobs(config), ROW, engines={"scorer": engine})
    assert row["lp_tokenizer"] == engine.tokenizer_digest
    assert (row["lp_eos"], row["lp_prompt"], row["lp_tokens"]) == (False, "prompt", 2)


def test_a_server_that_does_not_tell_its_tokenizer_leaves_a_null():
    class Silent(type(scripted_engine())):
        tokenizer_digest = None

    engine = Silent(scripted_engine().config)
    (row,) = process_row(ScoreLogprobs(ScoreLogprobsConfig()), ROW, engines={"scorer": engine})
    assert row["logprob_tokenizer"] is None


CONDITIONED = [{"role": "system", "content": "Judge well."}, *ROW["prompt"]]


def test_another_column_can_be_put_in_front_of_the_response():
    engine = scripted_engine()
    stage = ScoreLogprobs(ScoreLogprobsConfig(column="lp", prompt_column="conditioned_prompt"))
    (row,) = process_row(stage, ROW | {"conditioned_prompt": CONDITIONED}, engines={"scorer": engine})
    assert engine.score_calls[0].messages == tuple(CONDITIONED)
    assert row["lp_prompt"] == "conditioned_prompt" and row["prompt"] == ROW["prompt"]
    assert stage.inputs.names == ["conditioned_prompt", "response"]


@pytest.mark.parametrize("include_eos", [True, False])
def test_the_request_carries_prompt_response_and_end_token(include_eos):
    engine = scripted_engine()
    process_row(ScoreLogprobs(ScoreLogprobsConfig(include_eos=include_eos)), ROW, engines={"scorer": engine})
    (request,) = engine.score_calls
    assert request.messages == tuple(ROW["prompt"]) and request.response == "The Danube."
    assert request.include_eos is include_eos


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_rejects_the_row(value):
    engine = scripted_engine()

    async def score(request):
        return ScoreResult(value, 3, 5)

    engine.score_tokens = score
    stage = ScoreLogprobs(ScoreLogprobsConfig())
    raises_row_error("score.nonfinite", lambda: process_row(stage, ROW, engines={"scorer": engine}))


@pytest.mark.parametrize("column", ["", "two words", "1st", "a-b"])
def test_the_column_must_be_an_identifier(column):
    with pytest.raises(ValidationError):
        ScoreLogprobsConfig(column=column)


@pytest.mark.parametrize(
    "config", [{"column": "response"}, {"column": "prompt"}, {"column": "asked", "prompt_column": "asked"}]
)
def test_the_column_may_not_take_the_place_of_a_text_that_is_scored(config):
    with pytest.raises(ValidationError, match="name another"):
        ScoreLogprobsConfig(**config)


def sampled(engine, **config):
    (row,) = process_row(SampleResponses(SampleResponsesConfig(n=1, **config)), ROW, engines={"policy": engine})
    return row


def scored(engine, row, **config):
    """Score a row; return the new row, and whether the engine was asked."""
    before = len(engine.score_calls)
    (out,) = process_row(ScoreLogprobs(ScoreLogprobsConfig(column="lp", **config)), row, engines={"scorer": engine})
    return out, len(engine.score_calls) > before


def test_the_policys_own_figure_is_taken_where_scorer_and_policy_are_the_same_engine():
    engine = scripted_engine(model="big", revision="abc")
    row = sampled(engine, temperature=1.7)
    (taken, asked), (second, asked_again) = scored(engine, row), scored(engine, row, reuse=False)
    assert (asked, asked_again) == (False, True)
    assert (taken["lp_reused"], second["lp_reused"]) == (True, False)
    assert {**taken, "lp_reused": False} == second
    assert taken["lp_tokens"] == len(row["response"].split()) + 1 and taken["lp_model"] == "big@abc"


OTHER = {
    "engine": ({"model": "weak"}, {}, {}),
    "end_token": ({}, {}, {"include_eos": False}),
    "system": ({}, {"system": "Be brief."}, {}),
    "cut_off": ({}, {"max_tokens": 2}, {}),
    "no_logprobs": ({}, {"logprobs": False}, {}),
}


@pytest.mark.parametrize("what", OTHER)
def test_the_scorer_is_asked_where_it_would_give_another_figure(what):
    engine, sampling, scoring = OTHER[what]
    out, asked = scored(scripted_engine(**engine), sampled(scripted_engine(), **sampling), **scoring)
    assert asked and out["lp_reused"] is False


CHANGES = {
    "response": {"response": "Rewritten since."},
    "prompt": {"prompt": [{"role": "user", "content": "Name a lake."}]},
    "no_tokens": {"response_tokens": None},
    "no_figure": {"policy_logprob": None},
    "not_finite": {"policy_logprob": -math.inf},
    "another_type": {"policy_scored_by": 7},
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_scorer_is_asked_where_the_row_changed_since_it_was_sampled(what):
    engine = scripted_engine()
    out, asked = scored(engine, sampled(engine) | CHANGES[what])
    assert asked and out["lp_reused"] is False and math.isfinite(out["lp"])


def test_the_policys_figure_is_taken_for_a_prompt_that_is_the_same_and_for_no_other():
    engine = scripted_engine()
    row = sampled(engine)
    same, asked = scored(engine, row | {"conditioned_prompt": ROW["prompt"]}, prompt_column="conditioned_prompt")
    _, other = scored(engine, row | {"conditioned_prompt": CONDITIONED}, prompt_column="conditioned_prompt")
    assert (asked, other) == (False, True) and same["lp_reused"]


def test_rows_without_the_columns_of_sampling_are_asked():
    out, asked = scored(scripted_engine(), ROW)
    assert asked and out["lp_reused"] is False
