"""Spreads a shared unit over processes of this machine, one for each replica of its engines.

The workers help themselves to shards (`claimed.py`); this coordinator starts them with their devices, starts a dead
one again, frees at once what it held, adds up the counters and ends them all when one of them cannot go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.errors import EngineError, error_of
from pipeline.plan.plan import Plan
from pipeline.run.control import run_together
from pipeline.run.devices import Placement, place
from pipeline.run.node import RunScope
from pipeline.run.process import PATIENCE
from pipeline.run.totals import Totals, keep_counting, read_progress
from pipeline.run.units import Unit, cut_units, devices_of
from pipeline.store.claims import Claims
from pipeline.store.files import make_folder
from pipeline.store.run_store import RunStore

_MOST_FRUITLESS = 4
"""Deaths of one worker without any shard committed by anyone in between; deaths of one shard end the run before."""


class LocalExecutor:
    """Runs shared units by worker processes."""

    engines_here: ClassVar[bool] = True

    def __init__(self, store: RunStore, plan: Plan, workers: int | None, devices: Sequence[str] | None) -> None:
        """Place all units, so that too few devices are told before anything starts.

        Raises:
            PrerequisiteError: if the devices do not suffice for one replica of some unit.
        """
        self._store = store
        self._placements = {
            unit.index: place(unit.stages, devices_of(plan, unit), workers, devices)
            for unit in cut_units(plan)
            if unit.spread
        }

    async def run(self, scope: RunScope, unit: Unit) -> None:
        """Work until every worker has ended because nothing is left to claim."""
        await _LocalUnit(self._store, scope, unit, self._placements[unit.index]).run()


@dataclass
class _Seat:
    """A place for a worker: its devices, and the process that has it now."""

    number: int
    devices: tuple[str, ...]
    starts: int = 0
    fruitless: int = 0
    committed: int = 0
    name: str = ""
    process: asyncio.subprocess.Process | None = None


class _LocalUnit:
    """One unit while its workers run."""

    def __init__(self, store: RunStore, scope: RunScope, unit: Unit, placement: Placement) -> None:
        self._store, self._scope, self._unit = store, scope, unit
        self._key = uuid.uuid4().hex[:8]
        self._seats = [_Seat(i, devices) for i, devices in enumerate(placement.replicas)]
        first = unit.stages[0]
        self._claims = Claims(store.claims_folder(first, scope.stores[first].fingerprint), f"coordinator-{self._key}")
        self._totals = Totals(scope, unit)
        self._names: list[str] = []

    async def run(self) -> None:
        make_folder(self._workers)
        # the lock of the run folder is ours alone, so whoever left a claim is dead
        await self._scope.threads.files(self._claims.count_deaths_of, None)
        watching = asyncio.create_task(keep_counting(self._totals, self._scope, self._files))
        seats = [asyncio.create_task(self._serve(seat)) for seat in self._seats]
        serving = asyncio.create_task(run_together(seats))
        try:
            await asyncio.wait({watching, serving}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            if serving.done():
                serving.result()
        finally:
            watching.cancel()
            await self._end_all()
            serving.cancel()
            await asyncio.gather(watching, serving, return_exceptions=True)
            await self._scope.threads.files(self._update)

    @property
    def _workers(self) -> Path:
        return self._store.folder / "workers"

    def _files(self) -> list[Path]:
        return [self._workers / f"{name}.json" for name in self._names]

    def _update(self) -> None:
        self._totals.update([read_progress(path) for path in self._files()])

    async def _serve(self, seat: _Seat) -> None:
        """Keep one seat taken until its worker has nothing left to do.

        Raises:
            PipelineError: what the worker ended with, or `EngineError` if it keeps dying.
        """
        while not self._scope.stop.is_set:
            await self._start(seat)
            assert seat.process is not None
            code = await seat.process.wait()
            said = read_progress(self._workers / f"{seat.name}.json")
            if code == 0 or self._scope.stop.is_set:
                return
            if "code" in said and not said["died"]:
                raise error_of(int(said["code"]), str(said["error"]))
            await self._bury(seat, code)

    async def _bury(self, seat: _Seat, code: int) -> None:
        """Count a death, free what the worker held, and give up on a seat whose workers die without any progress."""
        await self._scope.threads.files(self._claims.count_deaths_of, seat.name)
        self._names.remove(seat.name)
        await self._scope.threads.files(self._update)
        seat.fruitless = seat.fruitless + 1 if self._totals.committed == seat.committed else 1
        if seat.fruitless >= _MOST_FRUITLESS:
            log = self._workers / f"{seat.name}.log"
            raise EngineError(
                f"a worker of stages {', '.join(self._unit.stages)} died {seat.fruitless} times and nothing was "
                f"committed meanwhile; the last one {_wording(code)}. Its last words in '{log}': {_tail(log)}"
            )

    async def _start(self, seat: _Seat) -> None:
        seat.starts += 1
        seat.name = f"unit{self._unit.index}-{self._key}-{seat.number}.{seat.starts}"
        seat.committed = self._totals.committed
        environment = dict(os.environ)
        if seat.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(seat.devices)
        command = [sys.executable, "-P", "-m", "pipeline.cli.main", "work", str(self._store.folder.resolve())]
        command += ["--unit", str(self._unit.index), "--name", seat.name, "--parent", str(os.getpid())]
        self._names.append(seat.name)
        with (self._workers / f"{seat.name}.log").open("wb") as log:
            seat.process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment, process_group=0
            )

    async def _end_all(self) -> None:
        """Ask the workers to stop in order, and kill what does not."""
        running = [s.process for s in self._seats if s.process is not None and s.process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        if running:
            ends = [asyncio.ensure_future(p.wait()) for p in running]
            await asyncio.wait(ends, timeout=self._scope.limits.drain_seconds + PATIENCE + 1)
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _wording(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _tail(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").strip().splitlines() if path.exists() else []
    return " | ".join(lines[-3:])[-600:] or "none"
