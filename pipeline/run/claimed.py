"""A worker that helps itself: claims shards of its unit while its window has room, until nothing is left to claim.

Used by the processes of `--executor local` and by Slurm tasks. What it claimed and did not finish it gives back when
it ends in order; what a dead one held is found by the others (`claims.py`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline.errors import EngineError, PipelineError
from pipeline.run.control import run_together
from pipeline.run.worker import Receipt, UnitWorker
from pipeline.store.claims import BEAT_SECONDS, Claims, ShardGivenUp


class ClaimingWorker:
    """Works on claims of one unit."""

    def __init__(self, worker: UnitWorker, claims: Claims) -> None:
        """Take a worker that is not running yet."""
        self._worker, self._claims = worker, claims
        self._todo = list(range(worker.shards))
        self._open: dict[asyncio.Future[Receipt], int] = {}

    async def run(self) -> None:
        """Work until nothing is left to claim, a stop was asked for, or a stage failed.

        Raises:
            Stopped: if a stop was asked for.
            EngineError: an engine failed, or too many workers died of one shard.
            PipelineError: another failure of a stage.
        """
        beating = asyncio.create_task(self._beat())
        try:
            await run_together([asyncio.create_task(self._worker.run()), asyncio.create_task(self._take_all())])
        except PipelineError as e:
            if not died_of(e, self._worker):
                await self._worker.scope.threads.files(self._claims.release)
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await self._worker.scope.threads.files(self._claims.close)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._worker.scope.threads.files(self._claims.beat)

    async def _take_all(self) -> None:
        files = self._worker.scope.threads.files
        while await self._room_or_done():
            shard = await files(self._next)
            if shard is not None:
                self._open[self._worker.give(shard)] = shard
            elif self._open:
                await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)
                await self._settle()
            else:
                break
        self._worker.close()
        while self._open:
            await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)
            await self._settle()

    async def _room_or_done(self) -> bool:
        """Wait for room, settling what is done meanwhile; return False when no more shards are taken."""
        room = asyncio.create_task(self._worker.room())
        try:
            while not room.done():
                waited: list[asyncio.Future[Any]] = [room, *self._open]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                await self._settle()
            return room.result()
        finally:
            room.cancel()

    async def _settle(self) -> None:
        for promise in [p for p in self._open if p.done()]:
            shard = self._open.pop(promise)
            if not promise.cancelled():
                await self._worker.scope.threads.files(self._claims.finish, shard)

    def _next(self) -> int | None:
        """Claim the first shard that is neither done nor claimed (blocking)."""
        for shard in self._claims.free(list(self._todo), self._is_done):
            if self._claims.take(shard):
                if not self._worker.is_done(shard):
                    return shard
                self._claims.finish(shard)  # its worker finished it between our look and our claim
        return None

    def _is_done(self, shard: int) -> bool:
        if not self._worker.is_done(shard):
            return False
        self._todo.remove(shard)
        return True


def died_of(e: PipelineError, worker: UnitWorker) -> bool:
    """Return whether a failure is the death of an engine that worked before, which a new process may get over.

    An engine that fails before anything was done is set up wrongly, and would fail again.
    """
    stages = worker.scope.progress.stages
    worked = any(stages[i].done for i in worker.unit.stages if i in stages)
    return isinstance(e, EngineError) and not isinstance(e, ShardGivenUp) and worked
