"""What the stages of a run report about their own work, computed from what is committed.

A stage is built again from the options that its fingerprint keeps, so a report needs no recipe and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.errors import PipelineError, PrerequisiteError, StageBug
from pipeline.registry import stage_class
from pipeline.stage import ReportTable, Stage
from pipeline.store.manifest import RunView, StageView
from pipeline.types import Reject


@dataclass(frozen=True)
class CommittedBooks:
    """The books of one stage of a run (`StageBooks`)."""

    view: RunView
    stage: StageView

    @property
    def rows_in(self) -> int:
        """Return how many rows the committed shards were made from."""
        return self.stage.rows_in

    @property
    def rows_out(self) -> int:
        """Return how many rows are committed."""
        return self.stage.rows_out

    @property
    def rejects(self) -> Mapping[str, int]:
        """Return the number of rejects by code."""
        return self.stage.rejects_by_code

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the committed rows, shard by shard."""
        for table in self.stage.tables(list(columns)):
            yield from table.to_batches()

    def input_rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows that the committed shards were made from, shard by shard."""
        name = self.stage.upstream
        if name is None or not self.stage.records:
            return
        upstream = self.view.stages[name]
        done = {r.shard for r in self.stage.records}
        for record in upstream.records:
            if self.stage.document["barrier"] or record.shard in done:
                table = upstream.store.read(record, list(columns))
                yield from () if table is None else table.to_batches()

    def rejected(self) -> Iterator[Reject]:
        """Yield the rejects, shard by shard."""
        for table in self.stage.reject_tables():
            for row in table.select(["row", "code", "message"]).to_pylist():
                yield Reject(json.loads(row["row"]), row["code"], row["message"])


def stage_reports(view: RunView, only: str | None = None) -> dict[str, Sequence[ReportTable]]:
    """Return the tables of every stage that has some, by stage id.

    Args:
        view: the run.
        only: one stage's id; all stages unless given.

    Raises:
        PlanError: if a stage is not installed here.
        PrerequisiteError: if there is no such stage, or if another version of a stage is installed than the one that
            ran.
        StageBug: if a stage's report fails on what is committed.
    """
    if only is not None and only not in view.stages:
        raise PrerequisiteError(f"run '{view.name}' has no stage '{only}'; its stages: {', '.join(view.stages)}")
    chosen = [s for s in view.stages.values() if only in (None, s.id)]
    made = {s.id: _report(view, s) for s in chosen}
    return {stage_id: tables for stage_id, tables in made.items() if tables}


def _report(view: RunView, stage: StageView) -> Sequence[ReportTable]:
    document = stage.document
    cls = stage_class(document["stage"], f"stage '{stage.id}' of run '{view.name}'")
    if cls.report is Stage.report:
        return ()
    if cls.version != document["version"]:
        raise PrerequisiteError(
            f"stage '{stage.id}' was run as version {document['version']} of '{cls.name}'; version {cls.version} is "
            "installed and may count differently. Run it again, or install the version that ran"
        )
    made = cls(cls.config_type.model_validate(document["config"]))
    try:
        return made.report(CommittedBooks(view, stage))
    except PipelineError:
        raise
    except Exception as e:
        raise StageBug(f"the report of stage '{stage.id}' ({cls.name}) raised {type(e).__name__}: {e}") from e
