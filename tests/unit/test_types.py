"""Requests, results, canonical JSON and seeds."""

from __future__ import annotations

import json
import math
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.canonical import canonical_json, derive_seed, digest_of
from pipeline.types import (
    ExecutionOnly,
    GenRequest,
    GenResult,
    Reject,
    Sample,
    ScoreRequest,
    ScoreResult,
    StageConfig,
    messages_of,
)

USER = ({"role": "user", "content": "Hi"},)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_canonical_json_reads_back_equal(value):
    raw = canonical_json(value)
    assert json.loads(raw) == value and raw.isascii()


@given(st.dictionaries(st.text(max_size=5), VALUES, min_size=2, max_size=4))
def test_the_order_of_keys_is_irrelevant(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


def test_canonical_json_has_one_form():
    assert canonical_json({"b": [1, (2,)], "a": "é\ud800"}) == b'{"a":"\\u00e9\\ud800","b":[1,[2]]}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_numbers_that_json_has_no_form_for_are_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


@pytest.mark.parametrize("value", [{1: "a"}, [{"a": {None: 1}}], ({True: 1},)])
def test_keys_that_are_no_text_are_refused(value):
    with pytest.raises(TypeError, match="is not a string"):
        canonical_json(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", {"a": 1j}])
def test_values_that_json_has_no_type_for_are_refused(value):
    with pytest.raises(TypeError):
        canonical_json(value)


def test_digests_keep_their_values():
    assert digest_of({"b": [1, 2.5, None, True], "a": "é"}) == (
        "0b8cc543e984d4d7398f5f603a4b91d358a2565f1d6b6a058565d662854e37cf"
    )


def test_seeds_keep_their_values():
    assert derive_seed(17, "responses", "ab", 0) == 1749319663456963035


def test_the_parts_of_a_seed_are_delimited():
    parts = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("", "abc"), ("abc", "")]
    assert len({derive_seed(*p) for p in parts}) == len(parts)


@given(st.lists(st.integers() | st.text(), max_size=4))
def test_seeds_have_63_bits_and_repeat(parts):
    assert 0 <= derive_seed(*parts) < 2**63 and derive_seed(*parts) == derive_seed(*parts)


def test_a_lone_surrogate_still_gives_a_seed():
    assert derive_seed("\ud800") != derive_seed("\ud801")


def test_text_becomes_one_user_turn():
    assert messages_of("Hi") == USER


def test_messages_are_copied_with_their_two_keys():
    given_ = [{"role": "system", "content": "Be brief.", "weight": 3}, {"role": "assistant", "content": ""}]
    assert messages_of(given_) == ({"role": "system", "content": "Be brief."}, {"role": "assistant", "content": ""})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "at least one message"),
        (["Hi"], "message 0: expected an object"),
        ([{"role": "user"}], "message 0"),
        ([*USER, {"content": "x"}], "message 1"),
        ([{"role": "user", "content": None}], "message 0"),
        ([{"role": 1, "content": "x"}], "message 0"),
        ([{"role": "tool", "content": "x"}], "role 'tool'; expected 'system'"),
    ],
)
def test_messages_that_are_none_are_refused(value, reason):
    with pytest.raises(ValueError, match=reason):
        messages_of(value)


@pytest.mark.parametrize("kind", [GenRequest, lambda **k: ScoreRequest(response="r", **k)])
@pytest.mark.parametrize("prompts", [{}, {"messages": USER, "prompt": "Hi"}])
def test_a_request_has_exactly_one_of_messages_and_prompt(kind, prompts):
    with pytest.raises(ValueError, match="exactly one of 'messages' and 'prompt'"):
        kind(**prompts)


def test_equal_requests_give_equal_json_and_every_field_shows():
    full = {
        "messages": USER,
        "n": 2,
        "max_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": ("a",),
        "json_schema": {"type": "object"},
        "logprobs": True,
    }
    value = GenRequest(**full).to_json()
    assert value == {**full, "messages": [dict(USER[0])], "stop": ["a"], "prompt": None}
    assert canonical_json(value) == canonical_json(GenRequest(**full).to_json())
    assert GenRequest(prompt="x").to_json()["messages"] is None


def test_score_requests_show_every_field():
    assert ScoreRequest("r", prompt="p", include_eos=False).to_json() == {
        "messages": None,
        "prompt": "p",
        "response": "r",
        "include_eos": False,
    }
    assert ScoreRequest("r", messages=USER).to_json()["messages"] == [{"role": "user", "content": "Hi"}]


SAMPLES = st.builds(
    Sample,
    st.text(),
    st.sampled_from(["stop", "length", "content_filter"]),
    st.none() | st.integers(0, 99),
    st.none() | st.floats(max_value=0, allow_infinity=False),
)


@given(
    st.builds(GenResult, st.lists(SAMPLES, min_size=1, max_size=3).map(tuple), st.none() | st.integers(0), st.text())
)
def test_a_result_survives_json(result):
    assert GenResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert (result.text, result.finish_reason) == (result.samples[0].text, result.samples[0].finish_reason)


@given(
    st.builds(ScoreResult, st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.integers(), st.text())
)
def test_a_score_survives_json(result):
    assert ScoreResult.from_json(json.loads(json.dumps(result.to_json()))) == result


class Options(StageConfig):
    size: int = 3
    names: tuple[str, ...] = ("a",)
    workers: Annotated[int, ExecutionOnly()] = 1
    folder: Annotated[str, ExecutionOnly] = ""


def test_fields_marked_execution_only_stay_out_of_the_fingerprint():
    assert Options(workers=9, folder="x").fingerprint_fields() == {"size": 3, "names": ["a"]}


def test_options_are_frozen_and_closed():
    with pytest.raises(ValidationError, match="frozen"):
        Options().size = 4
    with pytest.raises(ValidationError, match="Extra inputs"):
        Options(sizes=4)


def test_a_reject_keeps_its_row():
    assert Reject({"id": "a"}, "x.y", "why") == Reject({"id": "a"}, "x.y", "why")
    assert hash(Reject({"id": "a"}, "x.y", "why")) == hash(Reject({"id": "b"}, "x.y", "why"))
