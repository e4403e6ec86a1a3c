"""Sampling, held output, choices and stop strings on the real engine."""

from __future__ import annotations

import asyncio
import json
import math
import re

import pytest

from pipeline.errors import RowError
from pipeline.types import GenRequest, messages_of

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "count": {"type": "integer"}},
    "required": ["city", "count"],
    "additionalProperties": False,
}


def ask(text, **options):
    return GenRequest(messages=messages_of(text), **{"max_tokens": 32, "seed": 5, **options})


def test_samples_of_one_request_differ_and_come_back_with_the_same_seed(loop, shared):
    first = loop.run(shared.generate(ask("Tell me about rivers.", n=3)))
    again = loop.run(shared.generate(ask("Tell me about rivers.", n=3)))
    assert len({s.text for s in first.samples}) == 3
    assert first == again


def test_a_sample_does_not_depend_on_how_many_are_asked_beside_it(loop, shared):
    one = loop.run(shared.generate(ask("Tell me about rivers.", n=1)))
    three = loop.run(shared.generate(ask("Tell me about rivers.", n=3)))
    assert three.samples[0] == one.samples[0]


def test_output_is_held_to_a_json_schema_without_white_space_between(loop, shared):
    reply = loop.run(shared.generate(ask("Name a city and a number.", json_schema=SCHEMA, max_tokens=60)))
    value = json.loads(reply.text)
    assert value.keys() == {"city", "count"} and reply.text.startswith('{"city"')


def test_output_is_held_to_a_regular_expression(loop, shared):
    reply = loop.run(shared.generate(ask("Give a date.", regex=r"\d{4}-\d{2}-\d{2}")))
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", reply.text)


def test_choices_carry_probabilities_that_sum_to_one_and_are_drawn_from(loop, shared):
    reply = loop.run(shared.generate(ask("Is Paris in France?", choices=("Yes", "No"), n=40, temperature=1.0)))
    p_yes, p_no = (math.exp(v) for v in reply.samples[0].choice_logprobs)
    share = sum(s.text == "Yes" for s in reply.samples) / 40
    assert p_yes + p_no == pytest.approx(1.0)
    assert {s.text for s in reply.samples} <= {"Yes", "No"} and share == pytest.approx(p_yes, abs=0.25)


def test_the_probability_of_a_choice_is_that_of_its_first_token_among_the_choices(loop, shared):
    reply = loop.run(shared.generate(ask("Is Paris in France?", choices=("Yes", "No"), temperature=0)))
    whole = loop.run(shared.generate(ask("Is Paris in France?", choices=("Yes", "No", "Yesterday"), temperature=0)))
    yes, no, _ = whole.samples[0].choice_logprobs  # 'Yes' and 'Yesterday' may begin alike: whole texts are compared
    assert reply.samples[0].choice_logprobs[0] - reply.samples[0].choice_logprobs[1] == pytest.approx(
        yes - no, abs=1e-3
    )


def test_a_stop_string_ends_a_sample_and_is_cut_off(loop, shared):
    free = loop.run(shared.generate(ask("Tell a story.", max_tokens=60)))
    word = free.text.split()[8]
    held = loop.run(shared.generate(ask("Tell a story.", max_tokens=60, stop=(word,), logprobs=True)))
    assert word not in held.text and held.finish_reason == "stop" and not held.samples[0].scorable


def test_a_prompt_longer_than_the_context_is_refused_and_costs_no_other_row(loop, shared):
    async def both():
        good = shared.generate(ask("Hello."))
        return await asyncio.gather(shared.generate(ask("word " * 3000)), good, return_exceptions=True)

    refused, answered = loop.run(both())
    assert isinstance(refused, RowError) and refused.code == "engine.context_exceeded"
    assert answered.samples


def test_a_schema_that_no_grammar_can_hold_rejects_the_row_only(loop, shared):
    with pytest.raises(RowError) as caught:
        loop.run(shared.generate(ask("Hi", json_schema={"type": "nonsense"})))
    assert caught.value.code == "engine.refused"
    assert loop.run(shared.generate(ask("Hi"))).samples


def test_an_abandoned_request_stops_costing_tokens(loop, shared):
    async def abandon():
        task = asyncio.create_task(shared.generate(ask("Count to a thousand.", n=4, max_tokens=1500)))
        await asyncio.sleep(2.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(1.5)
        before = shared.statistics()["generated_tokens"]
        await asyncio.sleep(2.0)
        return before, shared.statistics()["generated_tokens"]

    before, after = loop.run(abandon())
    assert before == after
