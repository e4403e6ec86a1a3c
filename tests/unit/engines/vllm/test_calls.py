"""Requests across deaths of a real host process: asked again, isolated, rejected, given up, aborted."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from pipeline.engines.vllm.calls import Calls
from pipeline.engines.vllm.suspects import Counts, Suspects
from pipeline.errors import EngineError, RowError, Stopped
from tests.unit.engines.vllm.hosts import all_gone, ask, body, opened, told


def asked(state) -> list[str]:
    return told(state, "asked")


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def run_one(state, *texts, **options):
    """Ask in one open engine; return the replies and what happened."""

    async def work():
        async with opened(state, **options) as calls:
            replies = await ask(calls, *texts)
        return replies, calls.figures

    return asyncio.run(work())


def test_requests_are_answered_each_with_its_own_result(tmp_path):
    replies, figures = run_one(tmp_path, *(f"q{i}" for i in range(20)))
    assert replies == [f"Q{i}" for i in range(20)]
    assert (figures.starts, figures.deaths, figures.asked_again) == (1, 0, 0)


def test_after_a_kill_only_what_was_in_flight_is_asked_again(tmp_path):
    async def work():
        async with opened(tmp_path) as calls:
            first = await ask(calls, "done")
            rest = asyncio.create_task(ask(calls, "slow 1", "slow 2"))
            await until(lambda: len(asked(tmp_path)) == 3)
            os.kill(told(tmp_path, "starts")[0]["pid"], signal.SIGKILL)
            return first + await rest, calls.figures

    replies, figures = asyncio.run(work())
    assert replies == ["DONE", "SLOW 1", "SLOW 2"]
    assert sorted(asked(tmp_path)) == ["done", "slow 1", "slow 1", "slow 2", "slow 2"]
    assert (figures.starts, figures.deaths, figures.asked_again, figures.poison) == (2, 1, 2, 0)
    assert all_gone(tmp_path)


def test_a_request_that_kills_the_engine_is_rejected_and_the_rest_answered(tmp_path):
    texts = ["a slow", "b", "poison", "c slow", "d"]
    replies, figures = run_one(tmp_path, *texts)
    bad = replies.pop(2)
    assert replies == ["A SLOW", "B", "C SLOW", "D"]
    assert isinstance(bad, RowError) and bad.code == "engine.poison" and "its process ended" in bad.message
    assert figures.poison == 1 and figures.deaths <= 5
    assert all_gone(tmp_path)


def test_two_that_kill_are_both_rejected_and_nobody_else(tmp_path):
    replies, _ = run_one(tmp_path, "poison 1", "a slow", "b slow", "poison 2")
    assert [getattr(r, "code", r) for r in replies] == ["engine.poison", "A SLOW", "B SLOW", "engine.poison"]


def test_a_request_known_from_an_earlier_run_runs_alone_first(tmp_path):
    counts = Counts()
    counts.implicate(["poison"])
    counts.implicate(["poison"])
    replies, figures = run_one(tmp_path, "a", "poison", "b", counts=counts)
    assert getattr(replies[1], "code", None) == "engine.poison" and [replies[0], replies[2]] == ["A", "B"]
    assert asked(tmp_path).count("a") == asked(tmp_path).count("poison") == 1
    assert figures.deaths == 1


def test_known_suspects_run_together_and_are_halved_only_if_they_kill(tmp_path):
    counts = Counts()
    for _ in range(2):
        counts.implicate(["a", "b", "c slow"])
    replies, figures = run_one(tmp_path, "a", "b", "c slow", "other", counts=counts)
    assert replies == ["A", "B", "C SLOW", "OTHER"] and figures.deaths == 0
    assert asked(tmp_path)[-1] == "other"


def test_a_death_while_the_machine_is_emptied_implicates_nobody(tmp_path):
    counts = Counts()
    replies, figures = run_one(tmp_path, "emptied once", "beside slow", counts=counts)
    assert replies == ["EMPTIED ONCE", "BESIDE SLOW"] and figures.deaths == 1
    assert counts.of("emptied once") == counts.of("beside slow") == 0


@pytest.mark.parametrize("how", ["hang", "freeze"])
def test_a_host_without_progress_is_killed_and_its_requests_asked_again(tmp_path, how):
    began = time.monotonic()
    replies, figures = run_one(tmp_path, f"{how} once", "other", hang_s=1.2)
    assert replies == [f"{how} once".upper(), "OTHER"]
    assert (figures.hangs, figures.deaths, figures.starts) == (1, 1, 2)
    assert time.monotonic() - began > 1.2 and all_gone(tmp_path)


def test_steady_progress_is_no_hang_however_long_a_request_takes(tmp_path):
    async def work():
        async with opened(tmp_path, hang_s=1.5) as calls:
            long = asyncio.create_task(ask(calls, "hang once"))
            for i in range(20):
                await ask(calls, f"q{i}")
                await asyncio.sleep(0.1)
            long.cancel()
            return calls.figures

    assert asyncio.run(work()).hangs == 0


def test_a_core_that_is_gone_counts_as_a_death_with_its_reason(tmp_path):
    replies, figures = run_one(tmp_path, "dead core")
    assert replies[0].code == "engine.poison" and "DeadEngine: the core is gone" in replies[0].message
    assert figures.deaths == 2


def test_an_engine_that_dies_again_and_again_is_given_up_with_its_last_words(tmp_path):
    async def work():
        async with opened(tmp_path, "brief", max_restarts=2) as calls:
            await until(lambda: calls.figures.deaths == 3)
            return await ask(calls, "too late"), calls.figures

    (late,), figures = asyncio.run(work())
    assert isinstance(late, EngineError) and "died 3 times" in str(late) and "the device is on fire" in str(late)
    assert figures.starts == 3 and all_gone(tmp_path)


def test_no_restart_allowed_means_that_the_first_death_ends_the_engine(tmp_path):
    replies, figures = run_one(tmp_path, "die once", "slow other", max_restarts=0)
    assert all(isinstance(r, EngineError) and "run the same command again" in str(r) for r in replies)
    assert figures.starts == 1


def test_an_engine_that_dies_of_everything_is_given_up_after_three_rejects(tmp_path):
    replies, figures = run_one(tmp_path, *(f"poison {i}" for i in range(6)))
    assert sum(isinstance(r, RowError) for r in replies) == 3 == figures.poison
    assert sum(isinstance(r, EngineError) for r in replies) == 3


@pytest.mark.parametrize(
    ("mode", "why"), [("once", "RuntimeError: out of memory"), ("full", "PrerequisiteError: no such argument")]
)
def test_a_start_that_fails_after_a_death_is_tried_again_and_then_given_up(tmp_path, mode, why):
    replies, figures = run_one(tmp_path, "die once", mode=mode)
    assert f"cannot be started again: the model was not loaded: {why}" in str(replies[0])
    assert len(told(tmp_path, "starts")) == 1 + 3 and figures.starts == 1
    assert isinstance(replies[0], EngineError) and all_gone(tmp_path)


def test_closing_fails_what_waits_and_leaves_no_process(tmp_path):
    async def work():
        async with opened(tmp_path) as calls:
            waiting = asyncio.create_task(ask(calls, "hang once", "slow"))
            await until(lambda: len(asked(tmp_path)) == 2)
        return await waiting, await ask(calls, "late")

    replies, late = asyncio.run(work())
    assert [type(r) for r in [*replies, *late]] == [Stopped] * 3
    assert all_gone(tmp_path)


def test_closing_while_the_host_is_started_again_leaves_no_process(tmp_path):
    async def work():
        async with opened(tmp_path) as calls:
            waiting = asyncio.create_task(ask(calls, "die once"))
            await until(lambda: calls.figures.deaths == 1)
        return await waiting

    assert [type(r) for r in asyncio.run(work())] == [Stopped]
    assert all_gone(tmp_path)


def test_a_request_that_is_given_up_is_aborted_in_the_host(tmp_path):
    async def work():
        async with opened(tmp_path) as calls:
            task = asyncio.create_task(ask(calls, "hang once"))
            await until(lambda: asked(tmp_path))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await until(lambda: told(tmp_path, "aborted"))
            return await ask(calls, "next")

    assert asyncio.run(work()) == ["NEXT"]
    assert told(tmp_path, "aborted") == ["hang once"]


def test_a_reject_of_the_host_is_a_reject_and_its_fault_an_error_of_the_engine(tmp_path):
    replies, figures = run_one(tmp_path, "reject", "error", "fine")
    assert isinstance(replies[0], RowError) and (replies[0].code, replies[0].message) == (
        "engine.refused",
        "not this one",
    )
    assert isinstance(replies[1], EngineError) and "RuntimeError: a broken kernel" in str(replies[1])
    assert replies[2] == "FINE" and figures.deaths == 0


class OddHost:
    """Says what it was given, one message after the other, once it is asked."""

    def __init__(self, *says: dict) -> None:
        self._says, self._asked, self.is_stopped = list(says), asyncio.Event(), False

    def send(self, message: dict) -> None:
        self._asked.set()

    async def receive(self) -> dict | None:
        await self._asked.wait()
        return self._says.pop(0) if self._says else await asyncio.Event().wait()

    def last_words(self) -> str:
        return "it said nothing"

    async def stop(self) -> None:
        self.is_stopped = True

    kill = stop


@pytest.mark.parametrize(
    ("says", "text"),
    [({"odd": 1}, "the line to the engine failed: KeyError: 'id'"), ({"id": 0}, "failed on a request: {'id': 0}")],
)
def test_a_host_that_breaks_the_protocol_keeps_nobody_waiting(says, text):
    host = OddHost(says)
    reply = asyncio.run(asyncio.wait_for(one_reply(host), 10))
    assert isinstance(reply, EngineError) and text in str(reply) and host.is_stopped


def test_an_answer_to_a_request_that_nobody_waits_for_any_more_is_dropped():
    good = {"samples": [{"text": "fine"}]}
    host = OddHost({"id": 7, "ok": {"samples": [{"text": "late"}]}}, {"id": 0, "ok": good})
    assert asyncio.run(asyncio.wait_for(one_reply(host), 10)) == "fine"


async def one_reply(host: OddHost):
    async def start():
        return host, {}

    calls = Calls(start, Suspects(Counts()), 30, 8)
    await calls.open()
    (reply,) = await ask(calls, "hello")
    await calls.close()
    return reply


def test_counters_of_all_hosts_are_added_up(tmp_path):
    async def work():
        async with opened(tmp_path) as calls:
            await ask(calls, "a", "b")
            await until(lambda: calls.figures.all_counters().get("steps") == 2)
            await ask(calls, "die once")
            await until(lambda: calls.figures.all_counters().get("steps") == 3)
        return calls.figures

    figures = asyncio.run(work())
    assert figures.all_counters()["draft_tokens"] == 20 and figures.busy_s > 0


def test_equal_requests_that_kill_are_rejected_together(tmp_path):
    async def work():
        async with opened(tmp_path) as calls:
            asks = (calls.ask("generate", body("poison"), "k") for _ in range(3))
            return await asyncio.gather(*asks, return_exceptions=True), calls.figures

    replies, figures = asyncio.run(work())
    assert [r.code for r in replies] == ["engine.poison"] * 3 and figures.deaths == 2
