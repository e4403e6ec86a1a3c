"""Runs a plan from wherever it stands to its end: part after part, engines opened on first use.

A part is a segment, or with an executor a unit (`units.py`), of which the executor does the shared ones.

The state lies in commit records; this module holds none. Running it on a finished run reads records and stops.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.errors import EngineError, Stopped
from pipeline.plan.fingerprint import Fingerprint
from pipeline.plan.plan import Plan
from pipeline.run.control import EngineSlot, Pacer, Progress, StopFlag, Threads
from pipeline.run.node import Retry, RunScope
from pipeline.run.rate import check_reject_rate
from pipeline.run.segment import run_segment
from pipeline.run.units import Unit, cut_units, seal_if_done, stage_complete
from pipeline.store.journal import Journal
from pipeline.store.run_store import PlanRecord, RunStore
from pipeline.types import Json

log = logging.getLogger("prefmill.run")

ANSWERS = "answers"
"""Folder, in a run folder, of what `prefmill plan --probe` was answered."""


@dataclass(frozen=True)
class RunOptions:
    """What a start may ask for beyond the recipe."""

    limit: int | None = None
    retry: Retry = field(default_factory=dict)
    sample: int | None = None
    """Take that many rows of each source, drawn by the seed: a probe, which keeps what it is answered."""
    answers: Path | None = None
    """Where a probe keeps its answers; a run looks for them in its own folder."""


class Executor(Protocol):
    """Does the shared units of a plan, by as many workers as it has."""

    @property
    def engines_here(self) -> bool:
        """Whether its workers run on this machine, so that what engines need can be checked here beforehand."""

    async def run(self, scope: RunScope, unit: Unit) -> None:
        """Work until every shard of a unit is committed.

        Raises:
            PipelineError: the first failure of a worker that is not just its death.
        """


async def run_plan(
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    store: RunStore,
    record: PlanRecord,
    progress: Progress,
    stop: StopFlag,
    options: RunOptions | None = None,
    executor: Executor | None = None,
) -> None:
    """Run everything that has work left.

    Args:
        plan: the checked plan.
        fingerprints: of every stage.
        store: the run folder, leased by the caller.
        record: the plan record that counts; gives the shard sizes the run began with.
        progress: counters, filled in as rows end.
        stop: asks the run to stop.
        options: limit and retries.
        executor: does the shared units; without one this process does everything.

    Raises:
        PipelineError: the first failure; what was committed and journaled stays.
    """
    options = options or RunOptions()
    scope = run_scope(plan, fingerprints, store, record, progress, stop, options)
    pending = {i for i in plan.stages if options.retry or not stage_complete(plan, scope.stores, i)}
    own = pending if executor is None or executor.engines_here else set()
    scope = dataclasses.replace(scope, slots=engine_slots(plan, own, store, scope.attempt))
    parts = cut_units(plan) if executor else [Unit(i, s, False) for i, s in enumerate(plan.segments)]
    try:
        for part in parts:
            if not any(i in pending for i in part.stages):
                count_finished(scope, part.stages)
                continue
            log.info("part %d of %d: %s", part.index + 1, len(parts), ", ".join(part.stages))
            if executor is not None and part.spread:
                await _spread(scope, part, executor)
            else:
                await run_segment(scope, part.stages)
                await _release(scope, plan, parts[part.index + 1 :], pending)
    finally:
        scope.threads.close()
        if scope.answers is not None:
            scope.answers.close()
        await asyncio.gather(*(slot.close() for slot in scope.slots.values()), return_exceptions=True)


async def _spread(scope: RunScope, unit: Unit, executor: Executor) -> None:
    done_before = seal_if_done(scope.plan, scope.stores, unit)
    if not done_before:
        await executor.run(scope, unit)
        if scope.stop.is_set:
            raise Stopped(scope.stop.reason)
        if not seal_if_done(scope.plan, scope.stores, unit):
            raise EngineError(
                f"the workers of stages {', '.join(unit.stages)} ended, but not all shards are committed; see "
                "the logs in the run folder's 'workers', then run the same command again"
            )
    count_finished(scope, unit.stages, reused=done_before)


def run_scope(
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    store: RunStore,
    record: PlanRecord,
    progress: Progress,
    stop: StopFlag,
    options: RunOptions,
    *,
    partial: bool = False,
) -> RunScope:
    """Build what every stage of a run is given, engines left out."""
    sizes = record.run["shards"]
    limits = plan.recipe.limits.model_copy(update={"shard_rows": sizes["rows"], "shard_bytes": sizes["bytes"]})
    attempt = uuid.uuid4().hex
    answers = options.answers or store.folder / ANSWERS
    return RunScope(
        plan=plan,
        stores={i: store.stage(i, f) for i, f in fingerprints.items()},
        slots={},
        limits=limits,
        progress=progress,
        stop=stop,
        threads=Threads(limits.table_workers),
        pacer=Pacer(),
        attempt=attempt,
        run_limit=options.limit,
        run_sample=options.sample,
        answers=Journal(answers, "answers", attempt) if answers.is_dir() else None,
        keeps_answers=options.sample is not None,
        retry=options.retry,
        partial=partial,
    )


def engine_slots(plan: Plan, pending: Collection[str], store: RunStore, attempt: str) -> dict[str, EngineSlot]:
    """Make a slot for each engine, after checking those that stages with work left will use."""
    needed = {name for i in pending for name in plan.stages[i].roles.values()}
    for name in sorted(needed):
        plan.engines[name].check()

    def keep(name: str, figures: Mapping[str, Json]) -> None:
        store.record_statistics(name, attempt, figures)

    for name in needed:
        plan.engines[name].keep_faults_in(store.engine_folder(name))
    return {name: EngineSlot(name, engine, keep) for name, engine in plan.engines.items()}


async def _release(scope: RunScope, plan: Plan, later: Sequence[Unit], pending: set[str]) -> None:
    """Close resident engines that the next part with work does not use, so that its own fit in memory."""
    following = next((u.stages for u in later if any(i in pending for i in u.stages)), ())
    kept = {name for i in following for name in plan.stages[i].roles.values()}
    for name, slot in scope.slots.items():
        if slot.engine.resident and name not in kept:
            await slot.close()


def count_finished(scope: RunScope, stage_ids: Sequence[str], *, reused: bool = True) -> None:
    """Take the counters of complete stages from their records and check their reject rates.

    Args:
        scope: the run.
        stage_ids: complete stages.
        reused: whether all of it was there before this start; else the count of reused rows stays as it is.

    Raises:
        RejectRateError: if a stage has rejected more than it may.
    """
    for stage_id in stage_ids:
        own, p = scope.stores[stage_id], scope.progress.of(stage_id)
        records = [own.records[s] for s in range(own.sealed or 0)]
        p.done = p.total = p.committed = sum(r.rows_in for r in records)
        p.reused = p.done if reused else p.reused
        p.rows_out = sum(r.rows_out for r in records)
        p.rejected = sum(r.rows_rejected for r in records)
        p.finished = True
        own.remove_stale_journals()
        check_reject_rate(scope.plan.stages[stage_id], p, own)
