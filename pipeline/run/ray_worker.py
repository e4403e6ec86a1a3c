"""A worker inside a Ray actor: one replica of a unit's engines, given numbers of shards, returning receipts.

It is handed a small order and finds everything else in the run folder, which all nodes must see. Rows never pass
through Ray. Several calls of `shard` run at once, so that the window stays full across shard borders. Seen with Ray
2.60: a worker whose raylet is killed lives on and goes on working; it is ended here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from dataclasses import asdict
from pathlib import Path

from pipeline.errors import EngineError, PipelineError, Stopped
from pipeline.run.claimed import died_of
from pipeline.run.control import Progress, StopFlag
from pipeline.run.process import collect_seldom
from pipeline.run.report import write_progress_file
from pipeline.run.runner import engine_slots
from pipeline.run.work import open_site
from pipeline.run.worker import UnitWorker
from pipeline.store.lazy_pandas import defer_pandas
from pipeline.types import Json

_TICK = 1.0


class ReplicaActor:
    """What Ray makes an actor of; methods return plain values, failures among them."""

    def __init__(self, folder: str, unit: int, name: str, cwd: str) -> None:
        """Take the order; nothing is loaded before the first shard, so that a failure has words of its own.

        Args:
            folder: the run folder.
            unit: which unit of its plan.
            name: of this worker; the one that Ray starts again in its place has the same.
            cwd: where the driver was started, for relative paths in a recipe; used if this node has it.
        """
        defer_pandas()
        self._folder, self._unit, self._name, self._cwd = Path(folder), unit, name, Path(cwd)
        self._starting: asyncio.Task[UnitWorker] | None = None
        self._running: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._progress, self._began = Progress(), time.monotonic()
        self._raylet = os.getppid()

    async def ready(self) -> int:
        """Return this process's number: the actor can be asked."""
        return os.getpid()

    async def shard(self, number: int) -> dict[str, Json]:
        """Do a shard; return a receipt, that it was done before, that the worker was stopped, or an error."""
        try:
            if self._starting is None:
                self._starting = asyncio.create_task(self._start())
            worker = await asyncio.shield(self._starting)
        except PipelineError as e:
            return _failure(e)
        if await worker.scope.threads.files(worker.is_done, number):
            return {"shard": number}
        promise = worker.give(number)
        await asyncio.wait({promise})
        if not promise.cancelled():
            return asdict(promise.result())
        return await self._why(worker)

    async def _start(self) -> UnitWorker:
        if self._cwd.is_dir():
            os.chdir(self._cwd)  # after Ray has put the run folder, and nothing of the user's, on the path
        site = open_site(self._folder)
        unit = site.units[self._unit]
        scope = site.scope(self._progress, StopFlag(), partial=True)
        slots = engine_slots(site.plan, unit.stages, site.store, scope.attempt)
        worker = UnitWorker(dataclasses.replace(scope, slots=slots), unit)
        collect_seldom()
        self._running = asyncio.create_task(self._run(worker))
        self._ticking = asyncio.create_task(self._tick())
        return worker

    async def _run(self, worker: UnitWorker) -> None:
        try:
            await worker.run()
        finally:
            slots = worker.scope.slots.values()
            await asyncio.gather(*(slot.close() for slot in slots), return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            self._show("running")
            await asyncio.sleep(_TICK)
            if os.getppid() != self._raylet:
                os._exit(EngineError.exit_code)  # else it keeps its devices though Ray gives them to another

    def _show(self, state: str, **facts: Json) -> None:
        path = self._folder / "workers" / f"{self._name}.json"
        seconds = time.monotonic() - self._began
        write_progress_file(path, self._progress, state, seconds, unit=self._unit, pid=os.getpid(), **facts)

    async def _why(self, worker: UnitWorker) -> dict[str, Json]:
        """Say why a shard was broken off. A dead engine takes the actor with it, so that Ray starts both again."""
        assert self._running is not None
        try:
            await asyncio.shield(self._running)
        except Stopped as e:
            return {"stopped": str(e)} if worker.scope.stop.is_set else _failure(e)
        except PipelineError as e:
            if died_of(e, worker):
                self._show(f"ended: {type(e).__name__}", error=str(e), code=e.exit_code, died=True)
                os._exit(e.exit_code)
            return _failure(e)
        return {"stopped": "the worker was closed"}

    async def stop(self, reason: str) -> None:
        """Let requests in flight end, journal them, and close the engines; returns when that is done."""
        await self._end(reason)

    async def close(self) -> None:
        """Close the engines of a worker that has nothing left to do."""
        await self._end(None)

    async def _end(self, reason: str | None) -> None:
        if self._starting is None:
            return
        await asyncio.wait({self._starting})
        if self._running is None:
            return
        worker = self._starting.result()
        if reason is None:
            worker.close()
        else:
            worker.scope.stop.set(reason)
        await asyncio.wait({self._running})
        if self._ticking is not None:
            self._ticking.cancel()
        self._show("finished" if reason is None else "ended: Stopped")


def _failure(e: PipelineError) -> dict[str, Json]:
    return {"error": str(e), "code": e.exit_code}
