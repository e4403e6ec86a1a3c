"""The host's half of the line, over a socket pair: order of start, rejects, faults, aborts, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket

import pytest

from pipeline.engines.vllm.host import serve, start_vllm
from pipeline.engines.vllm.link import Link
from pipeline.errors import RowError
from pipeline.types import (
    GenRequest,
    GenResult,
    PoolRequest,
    PoolResult,
    Sample,
    ScoreRequest,
    ScoreResult,
    messages_of,
)


class Broken(Exception):
    pass


class Worker:
    """Notes what it was asked in what order."""

    def __init__(self) -> None:
        self.asked, self.aborted, self.is_shut = [], [], False
        self.broken_counters = False

    def facts(self):
        return {"context": 64}

    def counters(self):
        if self.broken_counters:
            raise ZeroDivisionError("no steps")
        return {"steps": len(self.asked)}

    def is_dead(self, error):
        return isinstance(error, Broken)

    def shutdown(self):
        self.is_shut = True

    async def generate(self, request: GenRequest) -> GenResult:
        text = request.prompt or request.messages[-1]["content"]
        self.asked.append((text, request.seed))
        try:
            await asyncio.sleep(60 if "long" in text else 0)
        except asyncio.CancelledError:
            self.aborted.append(text)
            raise
        if "reject" in text:
            raise RowError("engine.refused", "no")
        if "die" in text:
            raise Broken("core gone")
        if "fail" in text:
            raise RuntimeError("kernel")
        return GenResult((Sample(text, "stop", len(request.stop), None, False, None),), 1, "w")

    async def score(self, request: ScoreRequest) -> ScoreResult:
        return ScoreResult(-2.0, len(request.response), len(request.messages or ()), "w")

    async def pool(self, request: PoolRequest) -> PoolResult:
        return PoolResult((1.0,), len(request.text or ""), "w")


@contextlib.asynccontextmanager
async def served(worker: Worker):
    """Yield our end of the line to a host that is serving."""
    ours, theirs = socket.socketpair()

    async def start(settings):
        worker.settings = settings
        return worker

    serving = asyncio.create_task(serve(theirs, start))
    link = await Link.over(ours)
    link.send({"task": "generate"})
    assert await link.receive() == {"ready": {"context": 64}}
    try:
        yield link, serving
    finally:
        link.close()
        await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 5)


def generation(number: int, text: str, **more) -> dict:
    return {"op": "generate", "id": number, "body": GenRequest(prompt=text, **more).to_json()}


async def answers(link: Link, n: int) -> list[dict]:
    """Return the next n messages that are no sign of life, by request."""
    found: list[dict] = []
    while len(found) < n:
        message = await asyncio.wait_for(link.receive(), 5)
        found += [] if message is None or "beat" in message else [message]
    return sorted(found, key=lambda m: m.get("id", -1))


def talk(worker: Worker, *messages: dict, expect: int) -> list[dict]:
    async def work():
        async with served(worker) as (link, _):
            for message in messages:
                link.send(message)
            return await answers(link, expect)

    return asyncio.run(work())


def test_requests_that_arrive_together_start_sorted_by_prompt():
    worker = Worker()
    asked = [("b", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)]
    talk(worker, *(generation(i, text, seed=seed) for i, (text, seed) in enumerate(asked)), expect=5)
    assert worker.asked == [("b", 1), ("b", 3), ("a", 2), ("a", 5), ("c", 4)]
    assert worker.settings == {"task": "generate"} and worker.is_shut


def test_a_reject_a_fault_and_a_dead_engine_are_told_apart():
    done, reject, fault = talk(Worker(), *(generation(i, t) for i, t in enumerate(("ok", "reject", "fail"))), expect=3)
    assert done["ok"]["samples"][0]["text"] == "ok"
    assert reject == {"id": 1, "reject": ["engine.refused", "no"]}
    assert fault == {"id": 2, "error": "RuntimeError: kernel"}


def test_a_dead_engine_is_said_once_and_ends_the_host():
    async def work():
        worker = Worker()
        async with served(worker) as (link, serving):
            link.send(generation(1, "long"))
            link.send(generation(2, "die"))
            told = await answers(link, 1)
            await asyncio.wait_for(serving, 5)
            return told, worker

    told, worker = asyncio.run(work())
    assert told == [{"dead": "Broken: core gone", "told_to_end": False}]
    assert worker.is_shut and worker.aborted == ["long"]


def test_scoring_and_pooling_requests_arrive_as_they_were_sent():
    chat = messages_of("hi")
    score = ScoreRequest(response="abc", messages=chat)
    pool = PoolRequest("embed", text="four")
    pooled_chat = PoolRequest("reward", messages=chat)
    messages = [{"op": "score_tokens", "id": 1, "body": score.to_json()}]
    messages += [
        {"op": "pool", "id": 2, "body": pool.to_json()},
        {"op": "pool", "id": 3, "body": pooled_chat.to_json()},
    ]
    one, two, three = talk(Worker(), *messages, expect=3)
    assert one["ok"] == {"logprob": -2.0, "tokens": 3, "prompt_tokens": 1, "model": "w"}
    assert (two["ok"]["tokens"], three["ok"]["tokens"]) == (4, 0)


def test_lists_of_a_generation_request_arrive():
    (answer,) = talk(Worker(), generation(1, "x", stop=("a", "b")), expect=1)
    assert answer["ok"]["samples"][0]["tokens"] == 2


def test_an_aborted_request_is_cancelled_and_not_answered():
    async def work():
        worker = Worker()
        async with served(worker) as (link, _):
            link.send(generation(1, "long"))
            while not worker.asked:
                await asyncio.sleep(0.005)
            link.send({"op": "abort", "id": 1})
            link.send({"op": "abort", "id": 99})
            link.send(generation(2, "next"))
            return await answers(link, 1), worker.aborted

    told, aborted = asyncio.run(work())
    assert [m["id"] for m in told] == [2] and aborted == ["long"]


@pytest.mark.parametrize("how", ["stop", "gone"])
def test_the_host_ends_when_it_is_asked_to_or_the_other_side_is_gone(how):
    async def work():
        worker = Worker()
        async with served(worker) as (link, serving):
            link.send({"op": "stop"}) if how == "stop" else link.close()
            await asyncio.wait_for(serving, 5)
        return worker.is_shut

    assert asyncio.run(work())


def test_signs_of_life_carry_the_counters():
    async def work():
        async with served(Worker()) as (link, _):
            link.send(generation(1, "x"))
            while "beat" not in (message := await link.receive()):
                pass
            return message

    assert asyncio.run(work()) == {"beat": {"steps": 1}}


def test_a_fault_of_the_host_itself_ends_it():
    async def work():
        worker = Worker()
        worker.broken_counters = True
        async with served(worker) as (_, serving):
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(serving, 5)
        return worker.is_shut

    assert asyncio.run(work())


def test_a_host_whose_run_is_gone_before_it_spoke_loads_nothing():
    async def work():
        ours, theirs = socket.socketpair()
        ours.close()
        await serve(theirs, start_vllm)

    asyncio.run(asyncio.wait_for(work(), 5))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="a real vLLM is installed")
def test_without_vllm_the_real_start_says_so():
    async def work():
        ours, theirs = socket.socketpair()
        link = await Link.over(ours)
        link.send({"arguments": {"model": "m"}, "name": "m", "task": "generate"})
        await serve(theirs, start_vllm)
        told = await link.receive(), await link.receive()
        link.close()
        return told

    told, end = asyncio.run(work())
    assert "ModuleNotFoundError" in told["failed"] and told["user"] is False and end is None


def test_a_message_that_is_no_message_reads_as_the_end_of_the_line():
    async def received(raw: bytes):
        ours, theirs = socket.socketpair()
        link = await Link.over(ours)
        theirs.sendall(raw)
        theirs.close()
        message = await link.receive()
        link.close()
        link.send({"lost": True})
        return message

    for raw in (b"", b"\0\0", b"\0\0\0\5{}", b"\0\0\0\2{]", b"\xff\xff\xff\xff{}"):
        assert asyncio.run(received(raw)) is None
    assert asyncio.run(received(b"\0\0\0\2{}")) == {}
