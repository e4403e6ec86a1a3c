"""The counters of a unit that workers share: what is committed is read from records, the rest from their own files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline.run.node import RunScope
from pipeline.run.rate import check_reject_rate
from pipeline.run.units import Unit, shard_counts
from pipeline.types import Json

_TICK = 1.0


class Totals:
    """Keeps a coordinator's counters of one unit up to date."""

    def __init__(self, scope: RunScope, unit: Unit) -> None:
        """Count what is there before the workers begin."""
        self._scope, self._unit = scope, unit
        self._counts = shard_counts(scope.plan, scope.stores, unit)
        self._before: dict[str, tuple[int, int]] = {}
        self.committed = 0
        """Committed shards of all stages; grows as long as there is progress."""
        self.update([])
        for stage_id in unit.stages:
            p = scope.progress.of(stage_id)
            p.reused = p.committed

    def update(self, workers: Iterable[Mapping[str, Json]]) -> None:
        """Take what workers say of themselves, and the records; blocking."""
        said = [{s["stage_id"]: s for s in worker.get("stages", ())} for worker in workers]
        self.committed = 0
        for stage_id, count in self._counts.items():
            records = [r for s, r in self._scope.stores[stage_id].refresh().items() if s < count]
            p, own = self._scope.progress.of(stage_id), [w[stage_id] for w in said if stage_id in w]
            p.total = self._total(stage_id)
            p.committed = sum(r.rows_in for r in records)
            open_rows = sum(max(0, w["done"] - w["committed"]) for w in own)
            p.done = p.committed + open_rows if p.total is None else min(p.total, p.committed + open_rows)
            p.rows_out = sum(r.rows_out for r in records)
            p.rejected = sum(r.rows_rejected for r in records)
            p.requests, p.replayed = (sum(w[key] for w in own) for key in ("requests", "replayed"))
            self.committed += len(records)

    def check_reject_rates(self) -> None:
        """Raise `RejectRateError` if a stage whose input is complete has rejected too much already."""
        for stage_id in self._unit.stages:
            planned = self._scope.plan.stages[stage_id]
            if not getattr(planned.stage, "fan_out", False):
                check_reject_rate(planned, self._scope.progress.of(stage_id), self._scope.stores[stage_id])

    def _total(self, stage_id: str) -> int | None:
        upstream = self._scope.plan.stages[stage_id].upstream
        assert upstream is not None
        records = self._scope.stores[upstream].records
        count = self._counts[stage_id]
        if sum(shard < count for shard in records) < count:
            return None
        return sum(r.rows_out for s, r in records.items() if s < count)


async def keep_counting(totals: Totals, scope: RunScope, files: Callable[[], list[Path]]) -> None:
    """Update the counters every second until a stop was asked for; `files` names the workers' progress files.

    Raises:
        RejectRateError: as soon as a stage has rejected too much.
    """
    while not scope.stop.is_set:
        await scope.threads.files(lambda: totals.update([read_progress(p) for p in files()]))
        totals.check_reject_rates()
        stop = asyncio.create_task(scope.stop.wait())
        await asyncio.wait({stop}, timeout=_TICK)
        stop.cancel()


def read_progress(path: Path) -> dict[str, Json]:
    """Return what a worker last said of itself, nothing if it has said nothing yet."""
    try:
        value: dict[str, Json] = json.loads(path.read_bytes())
        return value
    except (OSError, ValueError):
        return {}
