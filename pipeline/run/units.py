"""Cuts a plan into units of spreading: what one process does by itself, and what workers share shard by shard.

Within a segment, stages that need an engine, and stages that follow those shard by shard, form one *spread unit*.
All else (sources, stages over the whole data set, table stages before the first engine) is done by the coordinator
alone, so that a stretch without engines never holds a device. Pure: no file is read here except through the stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.canonical import digest_of
from pipeline.errors import CorruptStore
from pipeline.plan.plan import Plan
from pipeline.stage import Source
from pipeline.store.run_store import StageStore


@dataclass(frozen=True)
class Unit:
    """Stages that one process, or one set of workers, does from beginning to end."""

    index: int
    stages: tuple[str, ...]
    spread: bool
    """Whether workers share its shards."""


def cut_units(plan: Plan) -> tuple[Unit, ...]:
    """Return the units of a plan in order of execution; the same plan always gives the same units."""
    groups: list[tuple[tuple[str, ...], bool]] = []
    for segment in plan.segments:
        shared = _shared_stages(plan, segment)
        alone = tuple(i for i in segment if i not in shared)
        # what is done alone takes no rows of a shared stage of this segment: a data-set stage begins its segment
        groups += [(part, spread) for part, spread in ((alone, False), (shared, True)) if part]
    return tuple(Unit(index, stages, spread) for index, (stages, spread) in enumerate(groups))


def _shared_stages(plan: Plan, segment: Sequence[str]) -> tuple[str, ...]:
    shared: list[str] = []
    for stage_id in segment:
        planned = plan.stages[stage_id]
        local = not (planned.is_barrier or isinstance(planned.stage, Source))
        if local and (planned.roles or planned.upstream in shared):
            shared.append(stage_id)
    return tuple(shared)


def devices_of(plan: Plan, unit: Unit) -> int:
    """Return how many devices one replica of a unit's engines needs.

    Engines that are resident together share the visible devices, so the largest need counts.
    """
    names = {name for stage_id in unit.stages for name in plan.stages[stage_id].roles.values()}
    return max((plan.engines[name].devices for name in names), default=0)


def roots_of(plan: Plan, unit: Unit) -> list[str]:
    """Return the stages of a unit that take their rows from outside it."""
    return [i for i in unit.stages if plan.stages[i].upstream not in unit.stages]


def shard_counts(plan: Plan, stores: Mapping[str, StageStore], unit: Unit) -> dict[str, int]:
    """Return how many shards each stage of a spread unit will have: as many as the input of its root has.

    Raises:
        CorruptStore: if an input is not complete; whoever calls this has checked that it is.
    """
    counts: dict[str, int] = {}
    for stage_id in unit.stages:
        upstream = plan.stages[stage_id].upstream
        assert upstream is not None
        known = counts.get(upstream, stores[upstream].sealed)
        if known is None:
            raise CorruptStore(f"stage '{stage_id}' was begun before its input '{upstream}' had all its shards")
        counts[stage_id] = known
    return counts


def shard_done(plan: Plan, stores: Mapping[str, StageStore], counts: Mapping[str, int], shard: int) -> bool:
    """Return whether every stage that has this shard has committed it from the input that counts."""
    for stage_id, count in counts.items():
        if shard < count:
            upstream = plan.stages[stage_id].upstream
            record = stores[stage_id].records.get(shard)
            assert upstream is not None
            given = stores[upstream].records.get(shard)
            if record is None or given is None or record.input != given.content:
                return False
    return True


def seal_if_done(plan: Plan, stores: Mapping[str, StageStore], unit: Unit) -> bool:
    """Look at all records of a spread unit; if every shard is committed, seal its stages and return True.

    Anyone may do this at any time: records only ever grow, and a seal is put-if-absent.
    """
    if any(stores[i].sealed is None for i in _inputs(plan, unit)):
        return False
    counts = shard_counts(plan, stores, unit)
    for stage_id in unit.stages:
        stores[stage_id].refresh()
    if not all(shard_done(plan, stores, counts, shard) for shard in range(max(counts.values(), default=0))):
        return False
    for stage_id, count in counts.items():
        stores[stage_id].prepare()
        stores[stage_id].seal(count)
    return True


def _inputs(plan: Plan, unit: Unit) -> list[str]:
    return [upstream for i in roots_of(plan, unit) if (upstream := plan.stages[i].upstream) is not None]


def stage_complete(plan: Plan, stores: Mapping[str, StageStore], stage_id: str) -> bool:
    """Return whether every shard of a stage is committed and was made from the input that counts now."""
    planned, own = plan.stages[stage_id], stores[stage_id]
    sealed = own.sealed
    if sealed is None or any(shard not in own.records for shard in range(sealed)):
        return False
    if isinstance(planned.stage, Source):
        return True
    assert planned.upstream is not None
    upstream = stores[planned.upstream]
    if not stage_complete(plan, stores, planned.upstream):
        return False
    given = [upstream.records[s].content for s in range(upstream.sealed or 0)]
    if planned.is_barrier:
        return all(own.records[s].input == digest_of(given) for s in range(sealed))
    return [own.records[s].input for s in range(sealed)] == given


def unit_complete(plan: Plan, stores: Mapping[str, StageStore], unit: Unit) -> bool:
    """Return whether every stage of a unit is complete."""
    return all(stage_complete(plan, stores, i) for i in unit.stages)
