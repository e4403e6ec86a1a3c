"""The host process of one model: vLLM's asynchronous engine behind a socket (`python -m pipeline.engines.vllm.host N`).

A process of its own, so that ending a segment gives all memory of the device and of the machine back, a fault of the
engine costs the host and not the run, and the run's event loop is not shared with vLLM's. It reads its settings and
then requests from file descriptor N, answers each when it is done, tells twice a second how far it is, and ends with
its whole process group when the other side is gone. It knows no rows and no run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pipeline.engines.vllm.link import Link
from pipeline.errors import PipelineError, RowError
from pipeline.types import GenRequest, Json, PoolRequest, ScoreRequest, messages_of

_BEAT_S = 0.5
_GATHER_S = 0.003
"""Requests that arrive this close together are started sorted by prompt, so that siblings meet in the cache."""
_ORPHAN_GRACE_S = 3.0

StartWorker = Callable[[Mapping[str, Json]], Awaitable[Any]]
"""Loads a model as the settings say and returns what answers requests: vLLM's `Worker` but for tests."""


async def start_vllm(settings: Mapping[str, Json]) -> Any:
    """Load a model into vLLM."""
    from pipeline.engines.vllm.worker import Worker

    return await Worker.start(settings)


def main(start_worker: StartWorker = start_vllm) -> None:
    """Serve the file descriptor given on the command line; ends its own process group, itself included."""
    end = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_leave_with_starter, args=(end.fileno(),), daemon=True).start()
    try:
        asyncio.run(serve(end, start_worker))
    except BaseException:  # noqa: B036,BLE001  the group is killed below, so nobody else would print it
        traceback.print_exc()
    finally:
        _end_group()


def _end_group() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _leave_with_starter(end: int) -> None:
    """End the group a little after the other side is gone, even while a model that is being loaded blocks the loop."""
    poll = select.poll()
    poll.register(end, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
    poll.poll()
    time.sleep(_ORPHAN_GRACE_S)
    _end_group()


async def serve(end: socket.socket, start_worker: StartWorker) -> None:
    """Read the settings from one end of a socket pair, load the model, answer requests until the other end is gone."""
    link = await Link.over(end)
    settings = await link.receive()
    if settings is None:
        link.close()
        return
    try:
        worker = await start_worker(settings)
    except Exception as error:  # noqa: BLE001  whatever vLLM raises while starting is reported, then the process ends
        link.send({"failed": f"{type(error).__name__}: {error}", "user": isinstance(error, PipelineError | ValueError)})
        await link.flush()
        link.close()
        return
    link.send({"ready": worker.facts()})
    host = Host(link, worker)
    try:
        await host.run()
    finally:
        worker.shutdown()
        link.close()


class Host:
    """Answers requests until the other side is gone, asks for the end, or the engine is dead."""

    def __init__(self, link: Link, worker: Any) -> None:
        """Take the line and the started engine."""
        self._link, self._worker = link, worker
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._inbox: asyncio.Queue[Json] = asyncio.Queue()
        self._dead = asyncio.Event()
        self._told_to_end = False
        self._beaten: Mapping[str, int] | None = None

    async def run(self) -> None:
        """Serve.

        A signal to end is left to the run, which closes its engines in order. But if the machine is being emptied the
        engine's own processes get it too, and their death then says nothing about the requests.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._note_signal)
        parts = (self._read(), self._start_requests(), self._beat(), self._dead.wait())
        background = [asyncio.create_task(part) for part in parts]
        try:
            ended, _ = await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (*background, *self._tasks.values()):
                task.cancel()
            with contextlib.suppress(ConnectionError):
                await self._link.flush()

    def _note_signal(self) -> None:
        self._told_to_end = True

    async def _read(self) -> None:
        while (message := await self._link.receive()) is not None:
            if message["op"] == "stop":
                return
            if message["op"] == "abort":
                task = self._tasks.get(message["id"])
                if task is not None:
                    task.cancel()
            else:
                self._inbox.put_nowait(message)

    async def _start_requests(self) -> None:
        while True:
            batch = [await self._inbox.get()]
            await asyncio.sleep(_GATHER_S)
            while not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            first: dict[str, int] = {}
            for message in batch:
                first.setdefault(_prompt_key(message), len(first))
            for message in sorted(batch, key=lambda m: first[_prompt_key(m)]):
                self._tasks[message["id"]] = asyncio.create_task(self._answer(message))

    async def _answer(self, message: Mapping[str, Json]) -> None:
        number = message["id"]
        try:
            result = await self._do(message["op"], message["body"])
        except RowError as error:
            self._link.send({"id": number, "reject": [error.code, error.message]})
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  the other side decides what an engine's failure means
            if self._worker.is_dead(error):
                reason = f"{type(error).__name__}: {error}"
                self._link.send({"dead": reason, "told_to_end": self._told_to_end})
                self._dead.set()
            else:
                self._link.send({"id": number, "error": f"{type(error).__name__}: {error}"})
        else:
            self._send_beat()  # before the answer, so that figures read after the last answer are complete
            self._link.send({"id": number, "ok": result})
        finally:
            self._tasks.pop(number, None)

    async def _do(self, op: str, body: Mapping[str, Json]) -> Json:
        if op == "generate":
            return (await self._worker.generate(read_generation(body))).to_json()
        if op == "score_tokens":
            return (await self._worker.score(read_scoring(body))).to_json()
        return (await self._worker.pool(read_pooling(body))).to_json()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            self._beaten = None
            self._send_beat()

    def _send_beat(self) -> None:
        """Say how far the engine is; between two regular beats only if that has changed."""
        counters = self._worker.counters()
        if counters != self._beaten:
            self._beaten = counters
            self._link.send({"beat": counters})


def _prompt_key(message: Mapping[str, Json]) -> str:
    body = message["body"]
    return str(body.get("messages") or body.get("prompt"))


def read_generation(body: Mapping[str, Json]) -> GenRequest:
    """Read what `GenRequest.to_json` wrote."""
    messages = body["messages"]
    lists = {name: tuple(body.get(name, ())) for name in ("stop", "choices")}
    return GenRequest(**{**body, "messages": None if messages is None else messages_of(messages), **lists})


def read_scoring(body: Mapping[str, Json]) -> ScoreRequest:
    """Read what `ScoreRequest.to_json` wrote."""
    messages = body["messages"]
    return ScoreRequest(**{**body, "messages": None if messages is None else messages_of(messages)})


def read_pooling(body: Mapping[str, Json]) -> PoolRequest:
    """Read what `PoolRequest.to_json` wrote."""
    messages = body["messages"]
    return PoolRequest(**{**body, "messages": None if messages is None else messages_of(messages)})


if __name__ == "__main__":
    main()
