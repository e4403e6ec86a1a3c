"""Classification of exceptions and waits, and the budgets of the retry loop, on a virtual clock."""

from __future__ import annotations

import asyncio
import email.utils
import errno
import random
import ssl

import aiohttp
import pytest

from pipeline.engines.http.wire import Reply
from pipeline.engines.retry import (
    RetryPolicy,
    Surroundings,
    Transient,
    classify_exception,
    classify_reply,
    error_of,
    retry,
    retry_after_s,
)
from pipeline.errors import EngineError, RowError, Stopped


class World:
    """A clock that only sleeping moves."""

    def __init__(self, blameless=lambda _: False):
        self.now, self.waits, self.error = 0.0, [], None
        self.surroundings = Surroundings(lambda: self.now, self.sleep, lambda: self.error, blameless, random.Random(0))

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def run(world, failures, policy=None, deadline=1e9):
    """Fail in turn with `failures` (the first happened already), then return 'done'."""
    rest = iter(failures[1:])

    async def attempt():
        for failure in rest:
            raise failure
        return "done"

    async def main():
        try:
            return await retry(attempt, failures[0], policy or RetryPolicy(), deadline, world.surroundings)
        except (RowError, Stopped) as error:
            return error

    return asyncio.run(main())


def busy(wait=None):
    return Transient("status", "busy", wait)


def test_an_attempt_that_succeeds_ends_the_loop():
    world = World()
    assert run(world, [busy()] * 3) == "done" and len(world.waits) == 3


def test_waits_are_drawn_below_a_ceiling_that_doubles_up_to_the_limit():
    world = World()
    run(world, [busy()] * 5, RetryPolicy(backoff_s=1, backoff_max_s=4))
    assert all(0 <= w <= c for w, c in zip(world.waits, [1, 2, 4, 4, 4], strict=True)) and len(set(world.waits)) == 5


def test_the_servers_wish_is_the_least_wait():
    world = World()
    run(world, [busy(77.0)])
    assert world.waits == [77.0]


def test_waits_for_an_unreachable_server_stay_short():
    world = World(blameless=lambda _: True)
    run(world, [Transient("unreachable", "refused")] * 30)
    assert max(world.waits) <= 2.5


def test_max_attempts_counts_the_first_one():
    world = World()
    error = run(world, [busy()] * 9, RetryPolicy(max_attempts=3))
    assert error.code == "engine.exhausted" and "3 attempts" in error.message and len(world.waits) == 2


def test_one_allowed_attempt_means_no_wait():
    world = World()
    assert run(world, [busy()] * 9, RetryPolicy(max_attempts=1)).code == "engine.exhausted" and not world.waits


def test_bad_replies_have_a_budget_of_their_own():
    world = World()
    error = run(world, [Transient("bad_reply", "odd")] * 9)
    assert error.code == "engine.bad_response" and len(world.waits) == 2


def test_failures_of_the_server_as_a_whole_cost_no_attempt():
    world = World(blameless=lambda _: True)
    assert run(world, [busy()] * 50, RetryPolicy(max_attempts=2)) == "done"


def test_no_wait_goes_beyond_the_deadline():
    world = World()
    error = run(world, [busy(30.0)] * 9, RetryPolicy(max_attempts=99), deadline=100.0)
    assert error.code == "engine.exhausted" and world.now == 90.0


def test_a_stopped_engine_ends_the_loop_with_its_error():
    world = World()
    world.error = Stopped("closed")
    assert run(world, [busy()] * 9) is world.error and not world.waits


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "later"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"retry-after-ms": "-4"}, None),
        ({"Retry-After": email.utils.formatdate(1_000_060, usegmt=True)}, 60.0),
        ({"Retry-After": email.utils.formatdate(999_000, usegmt=True)}, 0.0),
        ({"Retry-After": "Mon, 01 Jan 99999999999999 00:00:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, wait):
    assert retry_after_s(headers, now=lambda: 1_000_000.0) == wait


KEY = aiohttp.client_reqrep.ConnectionKey("h", 1, False, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(errno.ECONNREFUSED, "refused")), "unreachable"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), "unreachable"),
        (aiohttp.ConnectionTimeoutError(), "unreachable"),
        (aiohttp.SocketTimeoutError(), "timeout"),
        (TimeoutError(), "timeout"),
        (aiohttp.ServerDisconnectedError(), "dropped"),
        (aiohttp.ClientPayloadError("x"), "dropped"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "dropped"),
        (ssl.SSLEOFError(8, "EOF"), "dropped"),
    ],
)
def test_connection_failures_are_transient_by_kind(error, kind):
    failure = classify_exception(error)
    assert isinstance(failure, Transient) and failure.kind == kind


def test_a_bad_certificate_is_fatal():
    error = aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "self-signed"))
    assert isinstance(classify_exception(error), EngineError)


def test_too_many_open_files_is_fatal_and_says_what_to_do():
    error = classify_exception(aiohttp.ClientConnectorError(KEY, OSError(errno.EMFILE, "Too many open files")))
    assert isinstance(error, EngineError) and "max_connections" in str(error)


def test_texts_of_exceptions_are_not_quoted():
    assert "sk-secret" not in classify_exception(aiohttp.ClientPayloadError("sk-secret")).reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "m", "code": "c", "type": "t"}}', ("c t", "m")),
        (b'{"error": "m"}', ("", "m")),
        (b'{"detail": "m"}', ("", "m")),
        (b'{"message": "m", "code": 400}', ("400", "m")),
        (b"words", ("", "words")),
        (b"[1]", ("", "[1]")),
        (b"{}", ("", "")),
        (b'{"detail": [1]}', ("", "[1]")),
    ],
)
def test_error_bodies_are_read_in_all_known_shapes(body, expected):
    assert error_of(body) == expected


def test_a_redirect_names_the_target_without_user_and_path():
    reply = Reply(307, {"Location": "https://evil.example/path?key=1"}, b"")
    error = classify_reply(reply, "https://h", str, 1.0)
    assert isinstance(error, EngineError) and "redirect to https://evil.example)" in str(error)
