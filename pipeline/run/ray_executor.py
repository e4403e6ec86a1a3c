"""Spreads a shared unit over Ray actors, one for each replica of its engines, wherever Ray places them.

This driver holds the run folder, claims shards in its own name, hands their numbers to actors and takes receipts.
Ray starts dead actors again; who was at work on what, and how often it died of it, is counted in the claims, which
outlive the driver. Exactly-once rests on commit records alone.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import EngineError, PrerequisiteError, error_of
from pipeline.run.control import run_together
from pipeline.run.node import RunScope
from pipeline.run.process import PATIENCE
from pipeline.run.ray_worker import ReplicaActor
from pipeline.run.totals import Totals, keep_counting, read_progress
from pipeline.run.units import Unit, devices_of, seal_if_done, shard_counts, shard_done
from pipeline.store.claims import BEAT_SECONDS, Claims
from pipeline.store.files import make_folder
from pipeline.store.run_store import RunStore
from pipeline.types import Json

_ACTOR_CPUS = 1
_MOST_FRUITLESS = 4
"""Deaths of one actor without any shard committed by anyone in between; deaths of one shard end the run before."""
_PLACE_SECONDS = 600.0
"""How long there may be no actor at all: room for an autoscaler to bring a node."""
_SEEN_SECONDS = 90.0
"""How long a network file system may hide from this node what another node has committed."""


class RayExecutor:
    """Runs shared units by actors."""

    engines_here: ClassVar[bool] = False

    def __init__(self, ray: Any, store: RunStore, workers: int | None) -> None:
        """Take the module `ray`, connected."""
        self._ray, self._store, self._workers = ray, store, workers

    async def run(self, scope: RunScope, unit: Unit) -> None:
        """Work until every shard of a unit is committed.

        Raises:
            PrerequisiteError: if no node can hold a replica.
            EngineError: if actors keep dying, or die of one shard.
            PipelineError: another failure that an actor reports.
        """
        devices = devices_of(scope.plan, unit)
        await _RayUnit(self._ray, self._store, scope, unit, devices, self._replicas(unit, devices)).run()

    def _replicas(self, unit: Unit, devices: int) -> int:
        nodes = [n["Resources"] for n in self._ray.nodes() if n["Alive"]]
        room = sum(int(n.get("GPU", 0)) // devices for n in nodes) if devices else 1
        if not room and not self._workers:
            raise PrerequisiteError(
                f"one replica of the engines of {', '.join(unit.stages)} needs {devices} GPUs on one node; the nodes "
                f"of the Ray cluster have {[int(n.get('GPU', 0)) for n in nodes]}. If nodes are still to come, say how "
                "many replicas to wait for with --workers"
            )
        return self._workers or room


@dataclass
class _Seat:
    """An actor, which Ray may start again under the same handle."""

    number: int
    name: str
    actor: Any
    fruitless: int = 0
    committed: int = 0


class _RayUnit:
    """One unit while its actors run."""

    def __init__(self, ray: Any, store: RunStore, scope: RunScope, unit: Unit, devices: int, replicas: int) -> None:
        self._ray, self._store, self._scope, self._unit, self._devices = ray, store, scope, unit, devices
        self._key = uuid.uuid4().hex[:8]
        first = unit.stages[0]
        self._claims = Claims(store.claims_folder(first, scope.stores[first].fingerprint), f"driver-{self._key}")
        self._totals = Totals(scope, unit)
        self._counts = shard_counts(scope.plan, scope.stores, unit)
        self._left = {i for i in range(max(self._counts.values(), default=0)) if not self._is_done(i)}
        self._waiting = sorted(self._left, reverse=True)
        self._changed = asyncio.Event()
        self._seen_up = time.monotonic()
        self._ahead = 2 + math.ceil(scope.limits.rows_in_flight / scope.limits.shard_rows)
        self._seats = [self._seat(i) for i in range(replicas)]

    def _seat(self, number: int) -> _Seat:
        name = f"unit{self._unit.index}-ray-{self._key}-{number}"
        return _Seat(number, name, self._new_actor(name))

    def _new_actor(self, name: str) -> Any:
        options = {"num_cpus": _ACTOR_CPUS, "num_gpus": self._devices, "max_restarts": -1, "max_task_retries": 0}
        order = (str(self._store.folder.resolve()), self._unit.index, name, str(Path.cwd()))
        return self._ray.remote(ReplicaActor).options(**options).remote(*order)

    async def run(self) -> None:
        make_folder(self._store.folder / "workers")
        # the lock of the run folder is ours alone, so whoever left a claim is dead
        await self._scope.threads.files(self._claims.count_deaths_of, None)
        beside = [keep_counting(self._totals, self._scope, self._files), self._beat(), self._watch_for_room()]
        tasks = [asyncio.create_task(h) for h in beside]
        serving = asyncio.create_task(run_together([asyncio.create_task(self._serve(s)) for s in self._seats]))
        stop = asyncio.create_task(self._scope.stop.wait())
        try:
            while not serving.done() and not stop.done():
                done, _ = await asyncio.wait({*tasks, serving, stop}, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {serving, stop}:
                    tasks.remove(task)
                    task.result()
            if serving.done():
                serving.result()
                await self._until_seen()
        finally:
            await self._end_all()
            for task in (*tasks, serving, stop):
                task.cancel()
            await asyncio.gather(*tasks, serving, stop, return_exceptions=True)
            await self._scope.threads.files(self._claims.release)
            await self._scope.threads.files(self._claims.close)
            await self._scope.threads.files(self._update)

    def _files(self) -> list[Path]:
        return [self._progress_file(s) for s in self._seats]

    def _progress_file(self, seat: _Seat) -> Path:
        return self._store.folder / "workers" / f"{seat.name}.json"

    def _update(self) -> None:
        self._totals.update([read_progress(path) for path in self._files()])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._scope.threads.files(self._claims.beat)

    async def _watch_for_room(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if time.monotonic() - self._seen_up > _PLACE_SECONDS and not self._claims.held:
                raise PrerequisiteError(
                    f"no actor of {', '.join(self._unit.stages)} could be placed for {_PLACE_SECONDS:.0f} s: each "
                    f"needs {self._devices} GPUs and {_ACTOR_CPUS} CPU; the cluster has {self._ray.cluster_resources()}"
                )

    async def _serve(self, seat: _Seat) -> None:
        """Keep one actor supplied until nothing is left, whatever becomes of it meanwhile."""
        while self._left and not self._scope.stop.is_set:
            if await self._up(seat):
                await self._supply(seat)

    async def _up(self, seat: _Seat) -> bool:
        """Wait until the actor answers; return False if there is no need any more."""
        errors = self._ray.exceptions
        while self._left and not self._scope.stop.is_set:
            call = _answer(seat.actor.ready.remote())
            while not call.done() and self._left and not self._scope.stop.is_set:
                await asyncio.wait({call}, timeout=1.0)
            if not call.done():
                call.cancel()
                return False
            try:
                call.result()
                self._seen_up = time.monotonic()
                return True
            except errors.ActorUnavailableError:
                await asyncio.sleep(0.2)
            except errors.RayActorError as e:
                self._count_death(seat, str(e))
                seat.actor = self._new_actor(seat.name)
        return False

    async def _supply(self, seat: _Seat) -> None:
        """Keep a few shards with the actor, so that its window never drains; return when it has died or all is done."""
        calls: dict[asyncio.Future[dict[str, Json]], int] = {}
        died = ""
        while self._left and not (died and not calls):
            while not died and len(calls) < self._ahead and (shard := await self._next()) is not None:
                calls[_answer(seat.actor.shard.remote(shard))] = shard
            changed = asyncio.create_task(self._changed.wait())
            waited: list[asyncio.Future[Any]] = [*calls, changed]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            self._changed.clear()
            for call in [c for c in calls if c.done()]:
                died = await self._take(call, calls.pop(call)) or died
        if died:
            self._count_death(seat, died)

    async def _take(self, call: asyncio.Future[dict[str, Json]], shard: int) -> str:
        """Take an actor's reply about a shard; return how it died if it did."""
        try:
            reply = call.result()
        except self._ray.exceptions.RayActorError as e:
            await self._scope.threads.files(self._claims.count_death, shard)
            self._waiting.append(shard)
            self._changed.set()
            return str(e)
        if "error" in reply:
            raise error_of(reply["code"], reply["error"])
        if "stopped" not in reply:
            await self._scope.threads.files(self._claims.finish, shard)
            self._left.discard(shard)
            self._changed.set()
        return ""

    async def _next(self) -> int | None:
        """Claim the next shard; None if all are done or with actors."""
        while self._waiting:
            shard = self._waiting.pop()
            if await self._scope.threads.files(self._claims.take, shard):
                return shard
        return None

    def _is_done(self, shard: int) -> bool:
        return shard_done(self._scope.plan, self._scope.stores, self._counts, shard)

    def _count_death(self, seat: _Seat, how: str) -> None:
        committed = self._totals.committed
        seat.fruitless = seat.fruitless + 1 if committed == seat.committed else 1
        seat.committed = committed
        if seat.fruitless >= _MOST_FRUITLESS:
            said = read_progress(self._progress_file(seat)).get("error", how)
            raise EngineError(
                f"an actor of stages {', '.join(self._unit.stages)} died {seat.fruitless} times and nothing was "
                f"committed meanwhile; the last time: {said[-600:]}"
            )

    async def _until_seen(self) -> None:
        """Wait until this node sees the records of what others report as done."""
        end = time.monotonic() + _SEEN_SECONDS
        files, scope = self._scope.threads.files, self._scope
        while not await files(seal_if_done, scope.plan, scope.stores, self._unit) and time.monotonic() < end:
            await asyncio.sleep(1.0)

    async def _end_all(self) -> None:
        """Let actors end in order, sooner than Ray would make them, then end them."""
        reason = self._scope.stop.reason or ("" if not self._left else "another worker failed")
        calls = [_answer(s.actor.stop.remote(reason) if reason else s.actor.close.remote()) for s in self._seats]
        if calls:
            _, late = await asyncio.wait(calls, timeout=self._scope.limits.drain_seconds + PATIENCE)
            for call in late:
                call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for seat in self._seats:
            self._ray.kill(seat.actor)


def _answer(ref: Any) -> asyncio.Future[Any]:
    """Return the future of a reply."""
    future: Awaitable[Any] = asyncio.wrap_future(ref.future())
    return asyncio.ensure_future(future)
