"""What all parts of a run share: the stop flag, the engines in use, and counters for the progress display."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipeline.canonical import digest_of
from pipeline.engines.base import Engine
from pipeline.errors import PipelineError, Stopped
from pipeline.types import Json

log = logging.getLogger("prefmill.run")

T = TypeVar("T")

KeepFigures = Callable[[str, Mapping[str, Json]], None]
"""Takes an engine's name and its statistics when it is closed."""


@dataclass
class StageProgress:
    """Counters of one stage; rows are input rows, except for a source, where they are rows read."""

    stage_id: str
    total: int | None = None
    done: int = 0
    reused: int = 0
    """Of `done`, rows of shards that an earlier run had committed."""
    committed: int = 0
    """Of `done`, rows of shards that are committed."""
    rejected: int = 0
    rows_out: int = 0
    requests: int = 0
    replayed: int = 0
    """Requests answered from the journal."""
    finished: bool = False


@dataclass
class Progress:
    """Counters of a run, by stage."""

    stages: dict[str, StageProgress] = field(default_factory=dict)

    def of(self, stage_id: str) -> StageProgress:
        """Return the counters of a stage."""
        return self.stages.setdefault(stage_id, StageProgress(stage_id))


class Threads:
    """Where blocking work runs, so that the event loop stays free.

    Files are read and written by one thread: a second one gained no speed and took 20 MB (buffers of the Parquet
    writer). Table stages compute in threads of their own, beside each other.
    """

    def __init__(self, table_workers: int) -> None:
        """Start no thread yet."""
        self._files = ThreadPoolExecutor(1, "prefmill-files")
        self._tables = ThreadPoolExecutor(table_workers, "prefmill-tables")

    async def files(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run file work."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work, *arguments)

    async def tables(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run the work of a table stage."""
        return await asyncio.get_running_loop().run_in_executor(self._tables, work, *arguments)

    def close(self) -> None:
        """Take no more work; what runs ends by itself."""
        for pool in (self._files, self._tables):
            pool.shutdown(wait=False, cancel_futures=True)


class Pacer:
    """Begins one request in each turn of the event loop, so that answers are read and journaled in between.

    Beginning a request costs more than journaling an answer. When many answers come at once, beginning the next request
    of each before the last answer is read would leave answers paid but not journaled, and a kill would lose them.
    """

    def __init__(self) -> None:
        """Let the first request begin at once."""
        self._free = True
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    async def turn(self) -> None:
        """Wait until it is this request's turn to begin; first come, first served."""
        loop = asyncio.get_running_loop()
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._next_turn, loop)
        if self._free and not self._waiting:
            self._free = False
            return
        place: asyncio.Future[None] = loop.create_future()
        self._waiting.append(place)
        await place

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._free = True
        while self._waiting and self._free:
            place = self._waiting.popleft()
            if not place.done():
                self._free = False
                place.set_result(None)
        self._scheduled = bool(self._waiting) or not self._free
        if self._scheduled:
            loop.call_soon(self._next_turn, loop)


class StopFlag:
    """Set once by a signal; everything that would begin something new looks at it first."""

    def __init__(self) -> None:
        """Start unset."""
        self._event = asyncio.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        """Ask the run to stop."""
        self.reason = self.reason or reason
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Return whether a stop was asked for."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait until a stop is asked for."""
        await self._event.wait()

    def raise_if_set(self) -> None:
        """Raise `Stopped` if a stop was asked for."""
        if self.is_set:
            raise Stopped(self.reason)


class EngineSlot:
    """One engine of the recipe: opened with its first request, so that a finished run never loads or contacts it."""

    def __init__(self, name: str, engine: Engine, keep: KeepFigures | None = None) -> None:
        """Take an engine that is not open; `keep` is given its name and statistics when it is closed."""
        self.name, self.engine, self._keep = name, engine, keep
        identity = engine.identity()
        self.identity_digest = digest_of(identity)
        revision = identity.get("revision")
        self.model = f"{identity['model']}@{revision}" if revision else str(identity["model"])
        self._lock = asyncio.Lock()
        self._failure: PipelineError | None = None
        self.is_open = False

    async def get(self) -> Engine:
        """Return the engine, opened; an engine that did not open once is not tried again by the rows that wait."""
        if not self.is_open:
            async with self._lock:
                if self._failure is not None:
                    raise self._failure
                if not self.is_open:
                    await self._open()
        return self.engine

    async def _open(self) -> None:
        log.info("opening engine '%s' (%s)", self.name, self.model)
        try:
            await self.engine.open()
        except PipelineError as e:
            self._failure = e
            await self.engine.close()
            raise
        self.is_open = True

    async def close(self) -> None:
        """Close the engine if it is open."""
        async with self._lock:
            if self.is_open:
                self.is_open = False
                figures = self.engine.statistics()
                if self._keep is not None and figures:
                    self._keep(self.name, figures)
                await self.engine.close()


async def run_together(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for all tasks; on the first failure cancel the others, wait for them, and raise that failure."""
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
