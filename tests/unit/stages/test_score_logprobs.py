import math

import pytest
from pydantic import ValidationError

from pipeline.api import ScoreResult
from pipeline.testing import process_row, raises_row_error, scripted_engine
from stages.annotation.score_logprobs import ScoreLogprobs, ScoreLogprobsConfig

ROW = {"id": "r", "prompt": [{"role": "user", "content": "Name a river."}], "response": "The Danube."}


def test_columns_are_named_after_the_option():
    engine = scripted_engine(model="big", revision="abc")
    (row,) = process_row(ScoreLogprobs(ScoreLogprobsConfig(column="strong_logprob")), ROW, engines={"scorer": engine})
    assert row["strong_logprob"] < 0 and row["strong_logprob_tokens"] == 3
    assert row["strong_logprob_model"] == "big@abc" and row["response"] == ROW["response"]


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
