"""What the engine sends and how it reads good replies."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import subprocess
import sys

import pytest
from pydantic import ValidationError

from pipeline.engines.openai import OpenAIConfig, OpenAIEngine
from pipeline.errors import EngineError
from pipeline.types import CHAT, JSON_SCHEMA, SCORE_TOKENS, GenRequest, ScoreRequest
from tests.unit.engines.loopback import GOOD, HELLO, Answer, Loopback, Seen, ask, chat, engine, talk

TEXT = GenRequest(prompt="Once", max_tokens=5, logprobs=True)


def request(**changes):
    return GenRequest(**{"messages": HELLO.messages, "max_tokens": 16, "seed": 7, **changes})


def completion(text="upon", index=0, logprobs=None, finish="stop"):
    choice = {"index": index, "text": text, "finish_reason": finish, "logprobs": logprobs}
    return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_both_clients_return_the_samples_text_and_counts(client):
    result, _ = ask([GOOD], client=client)
    assert (result.text, result.finish_reason, result.samples[0].tokens, result.prompt_tokens) == ("fine", "stop", 2, 3)


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_both_clients_post_the_same_body_to_the_chat_route(client):
    _, seen = ask([GOOD], client=client)
    assert [(s.path, s.json) for s in seen] == [
        (
            "/v1/chat/completions",
            {
                "model": "m",
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 16,
                "temperature": 1.0,
                "top_p": 1.0,
                "seed": 7,
            },
        )
    ]


def test_optional_parameters_are_sent_when_the_request_has_them():
    wanted = request(n=2, stop=("END",), temperature=0.5, top_p=0.9)
    _, seen = ask([Answer(chat("a", "b"))], wanted)
    body = seen[0].json
    assert (body["n"], body["stop"], body["temperature"], body["top_p"]) == (2, ["END"], 0.5, 0.9)


def test_a_63_bit_seed_is_sent_as_its_low_31_bits():
    _, seen = ask([GOOD], request(seed=(5 << 40) + 9))
    assert seen[0].json["seed"] == 9


def test_no_seed_is_sent_when_the_server_takes_none():
    _, seen = ask([GOOD], send_seed=False)
    assert "seed" not in seen[0].json


def test_max_tokens_goes_under_the_declared_field():
    _, seen = ask([GOOD], max_tokens_field="max_completion_tokens")
    assert seen[0].json["max_completion_tokens"] == 16 and "max_tokens" not in seen[0].json


def test_extra_body_is_sent_with_every_request():
    _, seen = ask([GOOD], extra_body={"top_k": -1})
    assert seen[0].json["top_k"] == -1


def test_a_json_schema_becomes_a_strict_response_format():
    _, seen = ask([GOOD], request(json_schema={"type": "object"}), structured_output=True)
    assert seen[0].json["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True},
    }


def test_a_json_schema_without_structured_output_is_an_engine_error_and_sends_nothing():
    error, seen = ask([GOOD], request(json_schema={"type": "object"}))
    assert isinstance(error, EngineError) and not seen


def test_a_raw_prompt_goes_to_the_completions_route_with_its_logprob_summed():
    result, seen = ask([Answer(completion(logprobs={"token_logprobs": [-0.5, -0.25]}))], TEXT)
    assert seen[0].path == "/v1/completions" and seen[0].json["prompt"] == "Once" and seen[0].json["logprobs"] == 0
    assert (result.samples[0].logprob, result.samples[0].tokens) == (-0.75, 2)


def test_chat_logprobs_are_summed_over_the_content_tokens():
    logprobs = {"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -2.0}]}
    result, seen = ask([Answer(chat("ab", "ab", logprobs=logprobs))], request(logprobs=True, n=2))
    assert seen[0].json["logprobs"] is True
    assert [(s.logprob, s.tokens) for s in result.samples] == [(-3.0, 2), (-3.0, 2)]


def test_logprobs_are_not_asked_of_a_server_that_has_none():
    result, seen = ask([GOOD], request(logprobs=True), logprobs=False)
    assert "logprobs" not in seen[0].json and result.samples[0].logprob is None


def test_token_counts_of_several_samples_are_unknown_without_logprobs():
    result, _ = ask([Answer(chat("a", "b"))], request(n=2))
    assert [s.tokens for s in result.samples] == [None, None]


def test_odd_usage_counts_are_unknown():
    result, _ = ask([Answer(chat("a", usage={"prompt_tokens": "3", "completion_tokens": -1}))])
    assert (result.samples[0].tokens, result.prompt_tokens) == (None, None)


def test_finish_reason_length_is_kept():
    result, _ = ask([Answer(chat("cut", finish="length"))])
    assert result.finish_reason == "length"


def test_a_filtered_sample_is_kept_with_its_finish_reason():
    result, seen = ask([Answer(chat(None, finish="content_filter"))])
    assert (result.text, result.finish_reason, len(seen)) == ("", "content_filter", 1)


def test_a_refusal_is_kept_as_a_filtered_sample():
    choice = {"index": 0, "finish_reason": "stop", "message": {"content": None, "refusal": "I cannot"}}
    result, _ = ask([Answer({"choices": [choice]})])
    assert (result.text, result.finish_reason) == ("I cannot", "content_filter")


def test_null_content_after_reasoning_used_all_tokens_is_an_empty_cut_sample():
    choice = {"index": 0, "finish_reason": "length", "message": {"content": None, "reasoning_content": "hm"}}
    result, _ = ask([Answer({"choices": [choice]})])
    assert (result.text, result.finish_reason) == ("", "length")


def test_lone_surrogates_become_replacement_characters_and_nul_stays():
    result, _ = ask([Answer(chat("a\ud800b\0c \U0001f600"))])
    assert result.text == "a\ufffdb\0c \U0001f600"


def test_choices_are_put_in_order_of_index():
    body = chat("zero", "one")
    body["choices"].reverse()
    result, _ = ask([Answer(body)], request(n=2))
    assert [s.text for s in result.samples] == ["zero", "one"]


def test_missing_samples_are_asked_again_once_from_a_derived_seed():
    result, seen = ask([Answer(chat("a")), Answer(chat("b", "c"))], request(n=3))
    assert [s.text for s in result.samples] == ["a", "b", "c"]
    assert seen[1].json["n"] == 2 and seen[1].json["seed"] != seen[0].json["seed"]


def test_a_duplicate_index_counts_as_a_missing_sample():
    double = chat("a", "again")
    double["choices"][1]["index"] = 0
    result, seen = ask([Answer(double), Answer(chat("b"))], request(n=2))
    assert [s.text for s in result.samples] == ["a", "b"] and len(seen) == 2


def test_samples_missing_twice_are_a_bad_response():
    error, seen = ask([Answer(chat("a"))], request(n=3, seed=None))
    assert error.code == "engine.bad_response" and len(seen) == 2


def test_one_sample_a_request_gives_each_its_own_seed_in_order():
    def echo_seed(seen: Seen) -> Answer:
        return Answer(chat(str(seen.json["seed"])))

    result, seen = ask(echo_seed, request(n=3), samples_per_request=1)
    seeds = [s.text for s in result.samples]
    again, _ = ask(echo_seed, request(n=3), samples_per_request=1)
    assert len(set(seeds)) == 3 and all("n" not in s.json for s in seen) and again == result


def test_an_error_in_one_of_several_requests_ends_the_others():
    answers = iter([Answer({"error": {"message": "no"}}, 400), Answer(chat("late"), delay_s=30)])
    error, _ = ask(lambda _: next(answers, GOOD), request(n=3), samples_per_request=1)
    assert error.code == "engine.refused"


def test_answers_belong_to_their_rows_under_random_delays():
    rng = random.Random(1)
    server = Loopback(lambda s: Answer(chat("re: " + s.json["messages"][0]["content"]), delay_s=rng.random() / 50))

    async def many(e: OpenAIEngine) -> list[str]:
        wanted = [GenRequest(messages=({"role": "user", "content": str(i)},)) for i in range(100)]
        return [r.text for r in await asyncio.gather(*map(e.generate, wanted))]

    assert talk(server, many, max_connections=16) == [f"re: {i}" for i in range(100)]


def test_a_compressed_reply_is_read():
    packed = Answer(gzip.compress(json.dumps(chat("zipped")).encode()), headers={"Content-Encoding": "gzip"})
    assert ask([packed])[0].text == "zipped"


def test_capabilities_follow_the_declarations():
    plain = engine("http://127.0.0.1:1/v1")
    full = engine("http://127.0.0.1:1/v1", structured_output=True, scoring={"method": "echo"})
    assert plain.capabilities() == {CHAT} and full.capabilities() == {CHAT, SCORE_TOKENS, JSON_SCHEMA}


def test_identity_holds_what_changes_replies_and_nothing_else():
    identity = OpenAIEngine(OpenAIConfig(model="m", revision="r")).identity()
    assert identity == {
        "kind": "openai",
        "version": None,
        "api": "chat",
        "model": "m",
        "revision": "r",
        "extra_body": {},
        "samples_per_request": None,
        "max_tokens_field": "max_tokens",
        "send_seed": True,
        "structured_output": False,
        "logprobs": True,
        "scoring": None,
    }


def test_execution_options_leave_the_identity_unchanged():
    execution = {
        "base_url": "http://localhost:1/v1",
        "client": "official",
        "max_connections": 3,
        "timeout_s": 1.0,
        "deadline_s": 2.0,
        "max_attempts": 1,
        "api_key_env": "X",
        "base_url_env": "Y",
        "breaker_failures": 2,
    }
    plain = OpenAIEngine(OpenAIConfig(model="m"))
    assert OpenAIEngine(OpenAIConfig(model="m", **execution)).identity() == plain.identity()


def test_model_names_the_revision_and_reaches_the_result():
    result, _ = ask([GOOD], revision="abc")
    assert result.model == engine("http://127.0.0.1:1/v1", revision="abc").model == "m@abc"


def test_extra_body_must_not_set_what_the_engine_sets():
    with pytest.raises(ValidationError, match="extra_body must not set n, stream"):
        OpenAIConfig(model="m", extra_body={"stream": True, "n": 2})


def test_a_request_before_open_is_an_engine_error():
    with pytest.raises(EngineError, match="not open"):
        asyncio.run(engine("http://127.0.0.1:1/v1").generate(HELLO))


def test_an_engine_without_scoring_does_not_score():
    with pytest.raises(TypeError, match="does not score"):
        asyncio.run(engine("http://127.0.0.1:1/v1").score_tokens(ScoreRequest("x", prompt="y")))


def test_the_aiohttp_path_never_imports_the_official_package():
    code = (
        "import asyncio, sys, pipeline.engines.openai as o\n"
        "async def main():\n"
        "    e = o.OpenAIEngine(o.OpenAIConfig(model='m', base_url='http://127.0.0.1:1/v1'))\n"
        "    await e.open(); await e.close()\n"
        "asyncio.run(main()); print('openai' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
