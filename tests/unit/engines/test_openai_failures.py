"""Every row of the retry table (`specs/reliability.md`, 1.4 and faults 47 to 53) against real sockets."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time

import pytest

from pipeline.errors import EngineError, RowError, Stopped
from pipeline.types import GenRequest
from tests.unit.engines.loopback import GOOD, HELLO, Answer, Loopback, RawLoopback, ask, chat, refusal, talk

BODY = json.dumps(chat("fine")).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

both_clients = pytest.mark.parametrize("client", ["aiohttp", "official"])


def raw(*parts: bytes, hang: bool = False, **options):
    """Write the parts on the first connections, one a connection, then good replies; return outcome and server."""

    async def reply(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(parts[number - 1] if number <= len(parts) else WHOLE)
        await writer.drain()
        if hang and number <= len(parts):
            await asyncio.sleep(60)

    server = RawLoopback(reply)
    return talk(server, lambda e: e.generate(HELLO), **options), server


@both_clients
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_transient_status_is_tried_again(status, client):
    result, seen = ask([Answer(refusal("busy"), status), GOOD], client=client)
    assert result.text == "fine" and len(seen) == 2


@both_clients
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_a_row_error_after_one_request(status, client):
    error, seen = ask([Answer(refusal("bad parameter"), status)], client=client)
    assert error.code == "engine.refused" and "bad parameter" in error.message and len(seen) == 1


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("engine.context_exceeded", refusal("too long", "context_length_exceeded")),
        (
            "engine.context_exceeded",
            {"object": "error", "message": "maximum context length is 4096 tokens", "code": 400},
        ),
        ("engine.context_exceeded", refusal("x", 400, "exceed_context_size_error")),
        ("engine.filtered", refusal("x", "content_filter")),
        ("engine.filtered", refusal("blocked by the content management policy")),
        ("engine.filtered", {"error": {"message": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        ("engine.refused", {"detail": [{"loc": ["body", "n"]}]}),
        ("engine.refused", b"plain words"),
        ("engine.refused", [1]),
    ],
)
def test_the_servers_words_decide_the_reject_code(code, body):
    error, seen = ask([Answer(body, 400)])
    assert isinstance(error, RowError) and error.code == code and len(seen) == 1


@both_clients
@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_fatal_status_ends_the_run_after_one_request(status, client):
    error, seen = ask([Answer(refusal("who are you"), status)], client=client)
    assert isinstance(error, EngineError) and f"answered {status}: who are you" in str(error) and len(seen) == 1


def test_after_a_fatal_status_nothing_more_is_sent():
    async def twice(e):
        outcome = await asyncio.gather(e.generate(HELLO), return_exceptions=True)
        return outcome + await asyncio.gather(e.generate(HELLO), return_exceptions=True)

    server = Loopback([Answer(refusal("no"), 401)])
    errors = talk(server, twice)
    assert [type(e) for e in errors] == [EngineError, EngineError] and len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, refusal("x", "insufficient_quota")),
        (429, refusal("check your plan and billing details")),
        (402, refusal("pay")),
    ],
)
def test_want_of_quota_stops_the_run_after_one_request(status, body):
    error, seen = ask([Answer(body, status)])
    assert isinstance(error, Stopped) and "quota" in str(error) and len(seen) == 1


def test_attempts_end_in_a_row_error_that_names_the_last_reason():
    error, seen = ask([Answer(refusal("still busy"), 503)], max_attempts=4)
    assert error.code == "engine.exhausted" and "4 attempts" in error.message and "still busy" in error.message
    assert len(seen) == 4


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "0.2"}, {"retry-after-ms": "200"}, {"retry-after-ms": "junk", "Retry-After": "0.2"}]
)
def test_retry_after_is_honoured(headers):
    began = time.monotonic()
    result, _ = ask([Answer(refusal(), 429, headers), GOOD])
    assert result.text == "fine" and 0.2 <= time.monotonic() - began < 2


def test_retry_after_as_a_date_is_honoured():
    at = time.time() + 2
    result, _ = ask([Answer(refusal(), 503, {"Retry-After": email.utils.formatdate(at, usegmt=True)}), GOOD])
    assert result.text == "fine" and time.time() >= at - 1.1


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "inf", "Wed, 99 Foo 2026", ""])
def test_garbage_in_retry_after_is_ignored(value):
    began = time.monotonic()
    result, _ = ask([Answer(refusal(), 429, {"Retry-After": value}), GOOD])
    assert result.text == "fine" and time.monotonic() - began < 2


def test_an_absurd_retry_after_stops_the_run_after_one_request():
    error, seen = ask([Answer(refusal(), 429, {"Retry-After": "86400"})])
    assert isinstance(error, Stopped) and "86,400 s" in str(error) and len(seen) == 1


def test_a_wait_beyond_the_deadline_is_not_begun():
    began = time.monotonic()
    error, _ = ask([Answer(refusal(), 429, {"Retry-After": "60"})], deadline_s=0.5)
    assert error.code == "engine.exhausted" and time.monotonic() - began < 2


@both_clients
def test_a_server_that_never_answers_ends_at_the_deadline(client):
    began = time.monotonic()
    error, server = raw(*[b""] * 99, hang=True, timeout_s=0.15, deadline_s=0.5, client=client)
    assert error.code == "engine.exhausted" and "no complete answer in time" in error.message
    assert time.monotonic() - began < 2 and server.connections > 1


@both_clients
def test_a_trickling_server_ends_at_the_deadline(client):
    async def trickle(writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    began = time.monotonic()
    error = talk(RawLoopback(trickle), lambda e: e.generate(HELLO), timeout_s=5, deadline_s=0.4, client=client)
    assert error.code == "engine.exhausted" and time.monotonic() - began < 3


@both_clients
@pytest.mark.parametrize(
    "broken",
    [
        b"",
        HEAD[:20],
        HEAD + b"Content-Length: 99999\r\n\r\n" + BODY,
        HEAD + b'Transfer-Encoding: chunked\r\n\r\n10\r\n{"half',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        HEAD + b"Content-Length: 20\r\n\r\n" + BODY,
    ],
)
def test_a_broken_reply_is_tried_again(broken, client):
    result, server = raw(broken, client=client)
    assert result.text == "fine" and server.connections == 2


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"",
        b"\xff\xfe\xfa",
        b"[" * 100_000,
        [],
        {"choices": []},
        {"choices": {}},
        {"choices": [7]},
        {},
        chat(None),
        {"choices": [{"index": 0, "finish_reason": "stop", "message": 3}]},
        chat("x", finish="weird"),
        {"choices": [{"index": "0", "finish_reason": "stop", "message": {"content": "x"}}]},
        chat("one", "too many"),
        {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": ["x"]}}]},
        refusal("error with status 200"),
        chat("x", finish=None),
    ],
)
def test_a_reply_that_is_not_what_was_asked_for_is_a_bad_response_after_three_requests(body):
    error, seen = ask([Answer(body)])
    assert isinstance(error, RowError) and error.code == "engine.bad_response" and len(seen) == 3


def test_a_bad_response_quotes_the_replys_beginning():
    error, _ = ask([Answer(b"<html>captive portal")])
    assert "<html>captive portal" in error.message


def test_one_bad_reply_is_cured_by_the_next():
    result, seen = ask([Answer({"choices": []}), GOOD])
    assert result.text == "fine" and len(seen) == 2


def test_a_success_without_content_is_a_bad_response():
    error, seen = ask([Answer(b"", 204)])
    assert error.code == "engine.bad_response" and len(seen) == 3


def test_a_completion_without_text_is_a_bad_response():
    error, _ = ask([Answer({"choices": [{"index": 0, "finish_reason": "stop"}]})], GenRequest(prompt="Once"))
    assert error.code == "engine.bad_response"


@both_clients
@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}])
def test_a_reply_above_the_size_cap_is_a_bad_response(client, headers):
    error, _ = ask([Answer(b" " * 200_000, headers=headers)], max_reply_mb=0.1, client=client)
    assert error.code == "engine.bad_response" and "longer than 104,857 bytes" in error.message


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "null", '"x"', "-9999.0", "true"])
def test_a_sample_logprob_that_is_no_number_is_a_row_error_at_once(value):
    body = json.dumps(chat("a", logprobs={"content": [{"logprob": "HERE"}]})).replace('"HERE"', value)
    error, seen = ask([Answer(body.encode())], GenRequest(prompt=None, messages=HELLO.messages, logprobs=True))
    assert error.code == "score.nonfinite" and len(seen) == 1


def test_missing_sample_logprobs_are_a_bad_response():
    error, _ = ask([GOOD], GenRequest(messages=HELLO.messages, logprobs=True))
    assert error.code == "engine.bad_response" and "logprobs: false" in error.message
