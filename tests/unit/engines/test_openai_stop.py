"""When the engine gives a server up, and how it is closed."""

from __future__ import annotations

import asyncio
import time

import pytest

from pipeline.engines.http.breaker import Breaker
from pipeline.errors import RowError, Stopped
from tests.unit.engines.loopback import (
    FAST,
    GOOD,
    HELLO,
    Answer,
    Loopback,
    RawLoopback,
    dead_port,
    engine,
    refusal,
    talk,
)


def gather(e, count):
    return asyncio.gather(*[e.generate(HELLO) for _ in range(count)], return_exceptions=True)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def breaker(**changes):
    clock = Clock()
    options = {"failures": 3, "window_s": 30.0, "unreachable_s": 10.0, **changes}
    return Breaker(**options, clock=clock), clock


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_a_dead_server_stops_all_rows_in_bounded_time_and_rejects_none(client):
    async def job():
        e = engine(f"http://127.0.0.1:{dead_port()}/v1", unreachable_s=0.4, client=client)
        await e.open()
        try:
            return await gather(e, 20)
        finally:
            await e.close()

    began = time.monotonic()
    outcomes = asyncio.run(job())
    assert all(isinstance(o, Stopped) for o in outcomes) and time.monotonic() - began < 5
    assert all(words in str(outcomes[0]) for words in ("127.0.0.1", "keeps refusing", "no connection"))


def test_one_row_alone_also_stops_at_a_dead_server():
    async def job():
        e = engine(f"http://127.0.0.1:{dead_port()}/v1", unreachable_s=0.3, backoff_s=5, backoff_max_s=5)
        await e.open()
        try:
            return (await gather(e, 1))[0]
        finally:
            await e.close()

    assert isinstance(asyncio.run(job()), Stopped)


def test_a_server_that_fails_every_row_is_given_up_and_no_row_is_rejected():
    server = Loopback([Answer(refusal("down"), 500)])
    outcomes = talk(server, lambda e: gather(e, 30), breaker_failures=10, breaker_window_s=0.3)
    assert {type(o) for o in outcomes} == {Stopped} and "down" in str(outcomes[0])


def test_rows_asked_after_the_breaker_opened_send_nothing():
    server = Loopback([Answer(refusal("down"), 500)])

    async def job(e):
        await gather(e, 10)
        before = len(server.seen)
        return (await gather(e, 5)), len(server.seen) - before

    outcomes, more = talk(server, job, breaker_failures=5, breaker_window_s=0.01)
    assert {type(o) for o in outcomes} == {Stopped} and more == 0


def test_a_row_that_alone_fails_is_rejected_while_others_succeed():
    def script(seen):
        return Answer(refusal("poison"), 500) if seen.json["seed"] == 1 else GOOD

    async def job(e):
        good = asyncio.create_task(_keep_asking(e))
        outcome = (await asyncio.gather(e.generate(_seeded(1)), return_exceptions=True))[0]
        good.cancel()
        return outcome

    outcome = talk(Loopback(script), job, breaker_failures=5, breaker_window_s=0.0001)
    assert isinstance(outcome, RowError) and outcome.code == "engine.exhausted"


def _seeded(seed):
    return type(HELLO)(messages=HELLO.messages, seed=seed)


async def _keep_asking(e):
    while True:
        await e.generate(_seeded(2))


def test_the_breaker_opens_after_enough_failures_over_enough_time():
    b, clock = breaker()
    early = [b.failure("status") for _ in range(9)]
    clock.now = 30.0
    assert not any(early) and b.failure("status")


def test_time_alone_does_not_open_the_breaker():
    b, clock = breaker()
    b.failure("status")
    clock.now = 1000.0
    assert not b.failure("status")


def test_one_success_resets_the_breaker():
    b, clock = breaker()
    b.failure("status"), b.failure("status")
    b.success()
    clock.now = 1000.0
    assert not b.failure("status") and not b.suspects("status")


def test_a_server_that_answered_before_gets_the_longer_window():
    b, clock = breaker()
    b.success()
    first = [b.failure("unreachable") for _ in range(3)]
    clock.now = 29.0
    early = b.failure("unreachable")
    clock.now = 30.0
    assert not any(first) and not early and b.failure("unreachable")


def test_any_answer_ends_the_rule_for_dead_servers():
    b, clock = breaker(failures=100)
    b.failure("status"), b.failure("unreachable"), b.failure("unreachable")
    clock.now = 1000.0
    assert not b.failure("unreachable")


def test_close_ends_sleeping_retries_at_once_with_stopped():
    server = Loopback([Answer(refusal("busy"), 429, {"Retry-After": "60"})])

    async def job(e):
        waiting = asyncio.ensure_future(gather(e, 3))
        while len(server.seen) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await e.close()
        return await waiting

    began = time.monotonic()
    outcomes = talk(server, job, deadline_s=1000)
    assert [str(o) for o in outcomes] == ["the engine is closed"] * 3 and time.monotonic() - began < 3
    assert {type(o) for o in outcomes} == {Stopped}


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_close_ends_requests_in_flight_and_those_that_wait_for_a_connection(client):
    async def never(writer, _):
        await asyncio.sleep(60)

    async def job(e):
        waiting = asyncio.ensure_future(gather(e, 5))
        await asyncio.sleep(0.1)
        await e.close()
        return await waiting

    outcomes = talk(RawLoopback(never), job, max_connections=2, client=client)
    assert {type(o) for o in outcomes} == {Stopped}


def test_a_callers_own_cancellation_stays_a_cancellation():
    async def never(writer, _):
        await asyncio.sleep(60)

    async def job(e):
        task = asyncio.create_task(e.generate(HELLO))
        await asyncio.sleep(0.05)
        task.cancel()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(talk(RawLoopback(never), job), asyncio.CancelledError)


def test_close_is_safe_twice_and_without_open():
    async def job():
        e = engine("http://127.0.0.1:1/v1")
        await e.close()
        await e.open()
        await e.close()
        await e.close()
        return (await gather(e, 1))[0]

    assert isinstance(asyncio.run(job()), Stopped)


def test_a_closed_engine_can_be_opened_again():
    async def job(e):
        await e.close()
        await e.open()
        return (await e.generate(HELLO)).text

    assert talk(Loopback([GOOD]), job) == "fine"


def test_no_more_than_max_connections_are_used():
    server = Loopback(lambda _: Answer(GOOD.body, delay_s=0.01))
    busy = peak = 0
    handle = server._handle

    async def counted(request):
        nonlocal busy, peak
        busy += 1
        peak = max(peak, busy)
        try:
            return await handle(request)
        finally:
            busy -= 1

    server._handle = counted
    talk(server, lambda e: gather(e, 20), max_connections=4)
    assert peak == 4


def test_waiting_for_a_connection_does_not_eat_the_deadline():
    server = Loopback(lambda _: Answer(GOOD.body, delay_s=0.1))
    outcomes = talk(server, lambda e: gather(e, 8), max_connections=1, deadline_s=0.5, timeout_s=FAST["timeout_s"])
    assert not [o for o in outcomes if isinstance(o, Exception)]
