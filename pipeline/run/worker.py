"""The core of every worker: runs the stages of one shared unit over the shards it is given, one window over all.

It knows nothing of who else works on the unit or who hands out shards. Rows go to and come from disk; what is
returned is a receipt. A shard is done when every stage of the unit that has it committed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pipeline.run.node import RunScope, ShardFeed
from pipeline.run.segment import run_segment
from pipeline.run.units import Unit, roots_of, shard_counts, shard_done
from pipeline.types import Json

_MOST_WAITING = 8
"""Shards given to one root while another root of the unit asks for more."""


@dataclass(frozen=True)
class Receipt:
    """What a worker says about a shard that is done."""

    shard: int
    stages: dict[str, Json]
    """By stage: content hash, rows in, rows out, rejects."""


class _AskingFeed(ShardFeed):
    """A feed that says when its stage has begun all that it was given."""

    def __init__(self, moved: asyncio.Event) -> None:
        super().__init__()
        self._moved = moved
        self.asks = False

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    def publish(self, shard: int) -> None:
        self.asks = False
        super().publish(shard)

    async def __aiter__(self) -> AsyncIterator[int]:
        while True:
            self.asks = self._queue.empty()
            self._moved.set()
            shard = await self._queue.get()
            if shard is None:
                return
            yield shard


class _Watch:
    """Tells the worker which stage has committed which shard."""

    def __init__(self, worker: UnitWorker, stage_id: str) -> None:
        self._worker, self._stage_id = worker, stage_id

    def publish(self, shard: int) -> None:
        self._worker.committed(self._stage_id, shard)

    def close(self) -> None:
        return


class UnitWorker:
    """Runs one unit; `run` is awaited beside whoever gives shards."""

    def __init__(self, scope: RunScope, unit: Unit) -> None:
        """Take a scope that is `partial`."""
        self.scope, self.unit = scope, unit
        self.counts = shard_counts(scope.plan, scope.stores, unit)
        self.shards = max(self.counts.values(), default=0)
        self._moved = asyncio.Event()
        self._feeds = {root: _AskingFeed(self._moved) for root in roots_of(scope.plan, unit)}
        self._left: dict[int, set[str]] = {}
        self._promises: dict[int, asyncio.Future[Receipt]] = {}
        self._closed = False

    async def run(self) -> None:
        """Work until `close` was called and all is done, a stop was asked for, or a stage failed.

        Raises:
            Stopped: if a stop was asked for.
            PipelineError: the first failure of a stage.
        """
        closer = asyncio.create_task(self._close_on_stop())
        try:
            await run_segment(self.scope, self.unit.stages, self._feeds, lambda stage_id: _Watch(self, stage_id))
        finally:
            closer.cancel()
            self.close()
            for promise in self._promises.values():
                promise.cancel()

    async def _close_on_stop(self) -> None:
        await self.scope.stop.wait()
        self.close()

    def close(self) -> None:
        """Say that no more shards come."""
        if not self._closed:
            self._closed = True
            self._moved.set()
            for feed in self._feeds.values():
                feed.close()

    async def room(self) -> bool:
        """Wait until the window has room for another shard; return False if no more is taken."""
        while not self._closed:
            feeds = self._feeds.values()
            if any(f.asks for f in feeds) and all(f.waiting < _MOST_WAITING for f in feeds):
                return True
            self._moved.clear()
            await self._moved.wait()
        return False

    def give(self, shard: int) -> asyncio.Future[Receipt]:
        """Take on a shard; the future is cancelled if the worker ends before it is done."""
        promise: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if self._closed:
            promise.cancel()
            return promise
        self._left[shard] = {i for i, count in self.counts.items() if shard < count}
        self._promises[shard] = promise
        for root, feed in self._feeds.items():
            if shard < self.counts[root]:
                feed.publish(shard)
        return promise

    def committed(self, stage_id: str, shard: int) -> None:
        """Note that a stage has committed a shard."""
        left = self._left[shard]
        left.discard(stage_id)
        if not left:
            promise = self._promises.pop(shard)
            if not promise.done():
                promise.set_result(self._receipt(shard))

    def is_done(self, shard: int) -> bool:
        """Look at the records on disk (blocking): is the shard done, by whomever?"""
        for stage_id in self.unit.stages:
            self.scope.stores[stage_id].refresh_shard(shard)
        return shard_done(self.scope.plan, self.scope.stores, self.counts, shard)

    def _receipt(self, shard: int) -> Receipt:
        stages: dict[str, Json] = {}
        for stage_id, count in self.counts.items():
            if shard < count:
                r = self.scope.stores[stage_id].records[shard]
                stages[stage_id] = [r.content, r.rows_in, r.rows_out, r.rows_rejected]
        return Receipt(shard, stages)
