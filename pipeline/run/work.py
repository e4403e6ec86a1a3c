"""A worker process: finds the plan in the run folder, does its share of one unit, and leaves word how it ended.

It is started by the coordinator of `--executor local` (which holds the run folder's lock, and whose end is the
worker's end), or as a Slurm task (which shares the lock with other tasks). It plans the recipe itself and refuses to
work if that gives other fingerprints than the folder's plan.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PipelineError, PrerequisiteError, ResumeError, Stopped
from pipeline.plan.fingerprint import Fingerprint, fingerprint_plan
from pipeline.plan.plan import Plan, build_plan
from pipeline.plan.recipe import load_recipe
from pipeline.run.claimed import ClaimingWorker, died_of
from pipeline.run.control import Progress, StopFlag
from pipeline.run.node import RunScope
from pipeline.run.process import collect_seldom, leave_soon, stop_on_signals
from pipeline.run.report import write_progress_file
from pipeline.run.runner import RunOptions, count_finished, engine_slots, run_scope
from pipeline.run.segment import run_segment
from pipeline.run.units import Unit, cut_units, seal_if_done, unit_complete
from pipeline.run.worker import UnitWorker
from pipeline.store.claims import Claims
from pipeline.store.files import make_folder
from pipeline.store.lazy_pandas import defer_pandas
from pipeline.store.lease import run_lease
from pipeline.store.run_store import PlanRecord, RunStore, differences
from pipeline.types import Json

_TICK = 1.0


@dataclass(frozen=True)
class WorkOrder:
    """What a worker is told."""

    folder: Path
    unit: int
    name: str
    """No other living worker of the run has it; a Slurm task that is queued again keeps its own."""
    parent: int | None = None
    """The process that started it and holds the run folder's lock; None for a worker on its own."""


@dataclass(frozen=True)
class Site:
    """A run folder and the plan that its recipe gives."""

    store: RunStore
    record: PlanRecord
    plan: Plan
    fingerprints: dict[str, Fingerprint]
    units: tuple[Unit, ...]

    def scope(self, progress: Progress, stop: StopFlag, *, partial: bool) -> RunScope:
        """Build the scope of a worker, without engines."""
        options, store = RunOptions(self.record.run["origin"]["limit"]), self.store
        return run_scope(self.plan, self.fingerprints, store, self.record, progress, stop, options, partial=partial)

    def claims(self, unit: Unit, owner: str) -> Claims:
        """Return the claims of a unit, as one worker sees them."""
        first = unit.stages[0]
        return Claims(self.store.claims_folder(first, self.fingerprints[first].digest), owner)


def open_site(folder: Path) -> Site:
    """Read the plan that counts and make it again from its recipe.

    Raises:
        PrerequisiteError: if there is no run, or its recipe is gone.
        ResumeError: if the recipe now gives another plan.
    """
    store = RunStore(folder)
    record = store.latest_plan() if store.exists() else None
    if record is None:
        raise PrerequisiteError(f"'{folder}' holds no run; start it with 'prefmill run RECIPE --run-dir {folder}'")
    origin = record.run["origin"]
    path = Path(origin["recipe"])
    if not path.exists():
        raise PrerequisiteError(f"the run's recipe '{path}' is gone; start the run from where the recipe is now")
    plan = build_plan(load_recipe(path, origin["overrides"]), path.parent)
    fingerprints = fingerprint_plan(plan, origin["limit"])
    if {i: f.digest for i, f in record.stages.items()} != {i: f.digest for i, f in fingerprints.items()}:
        changed = "; ".join(differences(record.stages, fingerprints)) or "stages were added"
        raise ResumeError(
            f"recipe '{path}' no longer gives the plan of run folder '{folder}': {changed}. Start the run again, "
            "which decides what becomes of the rows"
        )
    return Site(store, record, plan, fingerprints, cut_units(plan))


def work(order: WorkOrder) -> None:
    """Do a worker's share of one unit.

    Raises:
        PrerequisiteError: if an earlier unit is not complete, or something is missing.
        ResumeError: if the recipe no longer gives the folder's plan.
        Stopped: if it was stopped, with work left.
        PipelineError: the first failure of a stage.
    """
    defer_pandas()
    make_folder(order.folder / "workers")
    site = open_site(order.folder)
    if order.unit >= len(site.units):
        raise PrerequisiteError(f"unit {order.unit} is not in the plan; it has units 0 to {len(site.units) - 1}")
    unit = site.units[order.unit]
    with _lock(order, unit):
        asyncio.run(_supervised(order, site, unit))


def _lock(order: WorkOrder, unit: Unit) -> AbstractContextManager[None]:
    if order.parent is not None:
        return nullcontext()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return run_lease(order.folder, started, shared=unit.spread)


async def _supervised(order: WorkOrder, site: Site, unit: Unit) -> None:
    progress, stop = Progress(), StopFlag()
    for stage_id in unit.stages:
        progress.of(stage_id)
    stop_on_signals(stop, signal.SIGUSR1)
    collect_seldom()
    start = time.monotonic()

    def show(state: str, **facts: Json) -> None:
        path = order.folder / "workers" / f"{order.name}.json"
        write_progress_file(path, progress, state, time.monotonic() - start, unit=unit.index, pid=os.getpid(), **facts)

    async def tick() -> None:
        while True:
            show("running")
            if order.parent is not None and os.getppid() != order.parent:
                stop.set("the process that started this worker has ended; what was finished is kept")
            await asyncio.sleep(_TICK)

    ticker = asyncio.create_task(tick())
    scope = site.scope(progress, stop, partial=unit.spread)
    share = _Share(order, site, unit, scope)
    try:
        await share.run()
        show("finished")
    except PipelineError as e:
        show(f"ended: {type(e).__name__}", error=str(e), code=e.exit_code, died=share.died_of(e))
        if stop.is_set:
            leave_soon(str(e), e.exit_code)
        if order.parent is None and share.died_of(e):
            raise Stopped(f"{e}. It worked before, so it may again: start this worker once more") from e
        raise
    finally:
        ticker.cancel()
        scope.threads.close()


class _Share:
    """One worker's share of a unit."""

    def __init__(self, order: WorkOrder, site: Site, unit: Unit, scope: RunScope) -> None:
        self._order, self._site, self._unit, self._scope = order, site, unit, scope
        self._worker: UnitWorker | None = None

    def died_of(self, e: PipelineError) -> bool:
        return self._worker is not None and died_of(e, self._worker)

    async def run(self) -> None:
        plan, unit, stores = self._site.plan, self._unit, self._scope.stores
        self._refuse_gaps()
        done = seal_if_done(plan, stores, unit) if unit.spread else unit_complete(plan, stores, unit)
        if not done:
            await self._work()
            done = not unit.spread or seal_if_done(plan, stores, unit)
        if done:
            count_finished(self._scope, unit.stages)

    def _refuse_gaps(self) -> None:
        """Units before this one must be complete; one that only lacks its seal is sealed."""
        plan, stores = self._site.plan, self._scope.stores
        for before in self._site.units[: self._unit.index]:
            done = before.spread and seal_if_done(plan, stores, before)
            if not (done or unit_complete(plan, stores, before)):
                raise PrerequisiteError(
                    f"unit {self._unit.index} ({', '.join(self._unit.stages)}) cannot begin: unit {before.index} "
                    f"({', '.join(before.stages)}) is not complete. Let its tasks finish first; "
                    f"'prefmill status {self._order.folder}' shows how far they are"
                )

    async def _work(self) -> None:
        site, unit = self._site, self._unit
        slots = engine_slots(site.plan, unit.stages, site.store, self._scope.attempt)
        self._scope = dataclasses.replace(self._scope, slots=slots)
        try:
            if unit.spread:
                self._worker = UnitWorker(self._scope, unit)
                await ClaimingWorker(self._worker, site.claims(unit, self._order.name)).run()
            else:
                await run_segment(self._scope, unit.stages)
        finally:
            await asyncio.gather(*(slot.close() for slot in slots.values()), return_exceptions=True)
