"""Rewards of responses: what is asked, which of the model's numbers counts, what is refused."""

import asyncio
import math

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.api import MESSAGES, EngineError, PoolResult, RowError, messages_of
from pipeline.testing import process_row, raises_row_error, scripted_engine
from stages.annotation.rank_pair import rank_pair
from stages.annotation.score_reward import ScoreReward, ScoreRewardConfig, as_text, reward_of
from tests.unit.stages.books_in_memory import BooksInMemory

PROMPT = messages_of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river."}])
ROW = {"id": "r", "prompt": list(PROMPT), "response": "The Danube."}


def engine_that_gives(*values, code=None):
    """Return an engine whose reward model gives these numbers, or refuses the text with a code."""
    engine = scripted_engine()

    async def pool(request):
        engine.pool_calls.append(request)
        if code is not None:
            raise RowError(code, "told by the engine")
        return PoolResult(values, 7, "rm")

    engine.pool = pool
    return engine


def scored(engine, row=ROW, **config):
    [made] = process_row(ScoreReward(ScoreRewardConfig(**config)), dict(row), engines={"reward_model": engine})
    return made


def test_the_whole_conversation_is_scored_and_the_row_says_by_whom():
    engine = engine_that_gives(1.5)
    made = scored(engine)
    assert made == ROW | {"reward": 1.5, "reward_heads": [1.5], "reward_model": "scripted"}
    [request] = engine.pool_calls
    assert (request.task, request.messages[:2]) == ("reward", PROMPT)
    assert request.messages[2:] == ({"role": "assistant", "content": "The Danube."},)


def test_system_turns_can_be_left_out():
    engine = engine_that_gives(1.5)
    scored(engine, drop_system=True)
    assert [m["role"] for m in engine.pool_calls[0].messages] == ["user", "assistant"]


def test_an_encoder_gets_prompt_and_response_as_two_texts():
    engine = engine_that_gives(1.5)
    scored(engine, format="pair", task="classify", column="quality")
    request = engine.pool_calls[0]
    assert (request.task, request.messages) == ("classify", None)
    assert (request.text, request.text_pair) == ("Be brief.\n\nName a river.", "The Danube.")


def test_columns_and_capability_follow_the_options():
    stage = ScoreReward(ScoreRewardConfig(column="quality", task="classify"))
    assert stage.outputs.names == ["quality", "quality_heads", "quality_model"]
    assert stage.engine_roles == {"reward_model": "classify"} and stage.calls() == {"reward_model": ()}


def test_one_head_of_several_or_their_weighted_sum_is_the_reward():
    assert scored(engine_that_gives(1.0, 2.0, 4.0), label_index=1)["reward"] == 2.0
    made = scored(engine_that_gives(1.0, 2.0, 4.0), weights=[0.5, 0.0, -0.25])
    assert (made["reward"], made["reward_heads"]) == (-0.5, [1.0, 2.0, 4.0])


@pytest.mark.parametrize(("weights"), [(10.0, -10.0), (1.0, 1.0), (10.0, 1.0)])
def test_a_weighted_sum_that_is_no_finite_number_is_a_reject(weights):
    raises_row_error("reward.nonfinite", lambda: scored(engine_that_gives(1e308, 1e308), weights=weights))


@pytest.mark.parametrize("column", ["id", "prompt_id", "prompt", "response"])
def test_the_reward_takes_the_place_of_no_column_that_a_row_needs(column):
    with pytest.raises(ValidationError, match=f"'{column}' would be replaced"):
        ScoreRewardConfig(column=column)


@pytest.mark.parametrize(
    ("heads", "label", "weights", "told"),
    [
        ((1.0, 2.0), None, None, "say by label_index or weights"),
        ((1.0, 2.0), 2, None, "label_index is 2"),
        ((1.0,), None, (1.0, 2.0), "weights has 2 numbers, but the reward model gives 1"),
    ],
)
def test_options_that_do_not_fit_the_model_stop_the_run(heads, label, weights, told):
    with pytest.raises(EngineError, match=told):
        reward_of(heads, label, weights)


def test_a_weighted_sum_does_not_depend_on_the_order_of_rounding():
    assert reward_of((0.1,) * 10, None, (1.0,) * 10) == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_is_rejected(value):
    raises_row_error("reward.nonfinite", lambda: scored(engine_that_gives(value)))


def test_what_the_engine_says_of_its_numbers_becomes_the_stages_code():
    raises_row_error("reward.nonfinite", lambda: scored(engine_that_gives(code="pool.nonfinite")))
    raises_row_error("engine.context_exceeded", lambda: scored(engine_that_gives(code="engine.context_exceeded")))


def test_a_row_without_a_response_or_without_turns_is_rejected():
    raises_row_error("reward.no_response", lambda: scored(engine_that_gives(1.0), ROW | {"response": None}))
    only_system = ROW | {"prompt": list(PROMPT[:1])}
    raises_row_error("reward.empty_prompt", lambda: scored(engine_that_gives(1.0), only_system, drop_system=True))


@pytest.mark.parametrize("weights", [[], [math.nan]])
def test_weights_are_finite_and_exclude_a_single_head(weights):
    with pytest.raises(ValidationError, match="one finite number"):
        ScoreRewardConfig(weights=weights)
    with pytest.raises(ValidationError, match="exclude each other"):
        ScoreRewardConfig(weights=[1.0], label_index=0)


def test_the_text_of_a_prompt_is_its_turns():
    assert as_text(messages_of("Hi")) == "Hi" and as_text(PROMPT) == "Be brief.\n\nName a river."


def test_a_pair_is_ranked_in_the_order_given():
    engine = engine_that_gives(0.75)
    assert asyncio.run(rank_pair(engine, PROMPT, "a", "b")) == 0.75
    [request] = engine.pool_calls
    assert (request.task, request.messages, request.candidates) == ("classify", PROMPT, ("a", "b"))


@pytest.mark.parametrize("values", [(), (0.2, 0.8), (math.nan,), (1.2,)])
def test_a_ranker_that_gives_no_probability_is_refused(values):
    raises_row_error("rank.unreadable", lambda: asyncio.run(rank_pair(engine_that_gives(*values), PROMPT, "a", "b")))


def reported(*rows):
    stage = ScoreReward(ScoreRewardConfig())
    schema = pa.schema([("prompt", MESSAGES), ("reward", pa.float64())])
    table = pa.Table.from_pylist([{"prompt": list(messages_of(p)), "reward": r} for p, r in rows], schema)
    [told] = stage.report(BooksInMemory(len(rows), table))
    return told.rows


def test_the_report_tells_how_rewards_spread_over_all_and_within_a_prompt():
    [line] = reported(("a", 1.0), ("a", 3.0), ("b", 8.0))
    assert line == (3, 4.0, 2.9439, 1.0, 3.0, 8.0, 1.0)
    assert reported(("a", 1.0))[0][-1] is None and reported() == ()
