"""Runs a plan from wherever it stands to its end: segment after segment, engines opened on first use.

The state lies in commit records; this module holds none. Running it on a finished run reads records and stops.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.plan.fingerprint import Fingerprint
from pipeline.plan.plan import Plan
from pipeline.run.control import EngineSlot, Pacer, Progress, StopFlag, Threads
from pipeline.run.node import Retry, RunScope
from pipeline.run.rate import check_reject_rate
from pipeline.run.segment import run_segment
from pipeline.stage import Source
from pipeline.store.run_store import PlanRecord, RunStore, StageStore
from pipeline.types import Json, digest_of

log = logging.getLogger("prefmill.run")


@dataclass(frozen=True)
class RunOptions:
    """What a start may ask for beyond the recipe."""

    limit: int | None = None
    retry: Retry = field(default_factory=dict)


async def run_plan(
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    store: RunStore,
    record: PlanRecord,
    progress: Progress,
    stop: StopFlag,
    options: RunOptions | None = None,
) -> None:
    """Run every segment that has work left.

    Args:
        plan: the checked plan.
        fingerprints: of every stage.
        store: the run folder, leased by the caller.
        record: the plan record that counts; gives the shard sizes the run began with.
        progress: counters, filled in as rows end.
        stop: asks the run to stop.
        options: limit and retries.

    Raises:
        PipelineError: the first failure; what was committed and journaled stays.
    """
    options = options or RunOptions()
    sizes = record.run["shards"]
    limits = plan.recipe.limits.model_copy(update={"shard_rows": sizes["rows"], "shard_bytes": sizes["bytes"]})
    stores = {i: store.stage(i, f) for i, f in fingerprints.items()}
    scope = RunScope(
        plan=plan,
        stores=stores,
        slots={},
        limits=limits,
        progress=progress,
        stop=stop,
        threads=Threads(limits.table_workers),
        pacer=Pacer(),
        attempt=uuid.uuid4().hex,
        run_limit=options.limit,
        retry=options.retry,
    )
    pending = {i for i in plan.stages if options.retry or not _complete(plan, stores, i)}
    scope = dataclasses.replace(scope, slots=engine_slots(plan, pending, store, scope.attempt))
    try:
        for index, segment in enumerate(plan.segments):
            if any(i in pending for i in segment):
                log.info("segment %d of %d: %s", index + 1, len(plan.segments), ", ".join(segment))
                await run_segment(scope, segment)
                await _release(scope, plan, plan.segments[index + 1 :], pending)
            else:
                _count_finished(scope, segment)
    finally:
        scope.threads.close()
        await asyncio.gather(*(slot.close() for slot in scope.slots.values()), return_exceptions=True)


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


async def _release(scope: RunScope, plan: Plan, later: Sequence[tuple[str, ...]], pending: set[str]) -> None:
    """Close resident engines that the next segment with work does not use, so that its own fit in memory."""
    following = next((s for s in later if any(i in pending for i in s)), ())
    kept = {name for i in following for name in plan.stages[i].roles.values()}
    for name, slot in scope.slots.items():
        if slot.engine.resident and name not in kept:
            await slot.close()


def _complete(plan: Plan, stores: Mapping[str, StageStore], stage_id: str) -> bool:
    """Return whether every shard of a stage is committed and was made from the input that counts now."""
    planned, own = plan.stages[stage_id], stores[stage_id]
    sealed = own.sealed
    if sealed is None or any(shard not in own.records for shard in range(sealed)):
        return False
    if isinstance(planned.stage, Source):
        return True
    assert planned.upstream is not None
    upstream = stores[planned.upstream]
    if not _complete(plan, stores, planned.upstream):
        return False
    given = [upstream.records[s].content for s in range(upstream.sealed or 0)]
    if planned.is_barrier:
        return all(own.records[s].input == digest_of(given) for s in range(sealed))
    return [own.records[s].input for s in range(sealed)] == given


def _count_finished(scope: RunScope, segment: Sequence[str]) -> None:
    for stage_id in segment:
        own, p = scope.stores[stage_id], scope.progress.of(stage_id)
        records = [own.records[s] for s in range(own.sealed or 0)]
        p.done = p.reused = p.total = sum(r.rows_in for r in records)
        p.rows_out = sum(r.rows_out for r in records)
        p.rejected = sum(r.rows_rejected for r in records)
        p.finished = True
        own.remove_stale_journals()
        check_reject_rate(scope.plan.stages[stage_id], p, own)
