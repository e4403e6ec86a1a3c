"""A read-only view of a run folder, assembled from its plan log and commit records.

It is what status, export, trace and verify read. Nothing here writes or decides what is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.errors import PrerequisiteError
from pipeline.plan.fingerprint import Fingerprint
from pipeline.store.commits import CommitRecord
from pipeline.store.run_store import PlanRecord, RunStore, StageStore
from pipeline.store.usage import Usage, total
from pipeline.types import Json


@dataclass(frozen=True)
class StageView:
    """What is committed of one stage under the fingerprint that counts."""

    id: str
    fingerprint: Fingerprint
    store: StageStore

    @property
    def document(self) -> Mapping[str, Json]:
        """Return what the fingerprint was made from."""
        return self.fingerprint.document

    @property
    def upstream(self) -> str | None:
        """Return the id of the stage whose rows it took."""
        value: str | None = self.document["from"]
        return value

    @property
    def columns(self) -> list[str]:
        """Return the names of its rows' columns."""
        return [name for name, _ in self.document["outputs"]]

    @property
    def sealed(self) -> int | None:
        """Return the number of shards once known."""
        return self.store.sealed

    @property
    def records(self) -> list[CommitRecord]:
        """Return the counting records, ordered; shards beyond a later seal no longer count."""
        sealed = self.sealed
        return [r for s, r in sorted(self.store.records.items()) if sealed is None or s < sealed]

    @property
    def rows_in(self) -> int:
        """Return how many rows the committed shards were made from."""
        return sum(r.rows_in for r in self.records)

    @property
    def rows_out(self) -> int:
        """Return how many rows are committed."""
        return sum(r.rows_out for r in self.records)

    @property
    def rejects_by_code(self) -> Counter[str]:
        """Return the number of rejects by code."""
        counts: Counter[str] = Counter()
        for record in self.records:
            counts.update(record.rejected_by_code)
        return counts

    @property
    def usage(self) -> Usage | None:
        """Return what its requests cost; None if it asks no engine, or an earlier version did not keep it."""
        kept = [r.usage for r in self.records if r.usage is not None]
        return total(kept) if kept else None

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows shard by shard, in order; shards without rows are left out."""
        for record in self.records:
            table = self.store.read(record, columns)
            if table is not None:
                yield table

    def reject_tables(self) -> Iterator[pa.Table]:
        """Yield the rejects shard by shard, in order."""
        for record in self.records:
            table = self.store.read_rejects(record)
            if table is not None:
                yield table


@dataclass(frozen=True)
class RunView:
    """A run as its folder shows it."""

    folder: Path
    plan: PlanRecord
    stages: Mapping[str, StageView]

    @property
    def name(self) -> str:
        """Return the recipe's name."""
        return str(self.plan.run["name"])

    @property
    def finished(self) -> bool:
        """Return whether every stage is sealed with all its shards."""
        return all(v.sealed is not None and len(v.records) == v.sealed for v in self.stages.values())

    def expected_shards(self, stage_id: str) -> int | None:
        """Return how many shards a stage has or will have, as far as is known: as many as its input, shard by shard."""
        stage = self.stages[stage_id]
        if stage.sealed is not None or stage.upstream is None or stage.document["barrier"]:
            return stage.sealed
        return self.expected_shards(stage.upstream)

    @property
    def rejected(self) -> int:
        """Return the number of rejects of all stages."""
        return sum(sum(v.rejects_by_code.values()) for v in self.stages.values())


def open_run(run: str | Path, runs_folder: Path = Path("runs")) -> RunView:
    """Open a run by path, or by name under `runs/`.

    Raises:
        PrerequisiteError: if there is no run; the text lists those under `runs/`.
        CorruptStore: if its plan log cannot be read.
    """
    for folder in (Path(run), runs_folder / run):
        store = RunStore(folder)
        plan = store.latest_plan() if store.exists() else None
        if plan is not None:
            stages = {i: StageView(i, f, store.stage(i, f)) for i, f in plan.stages.items()}
            return RunView(folder, plan, stages)
    there = sorted(p.name for p in runs_folder.iterdir() if RunStore(p).exists()) if runs_folder.is_dir() else []
    known = ", ".join(there) or "none"
    raise PrerequisiteError(f"no run at '{run}' nor at '{runs_folder / run}'; runs under '{runs_folder}': {known}")
