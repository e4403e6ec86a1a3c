"""The books of a table stage: no row may be lost, doubled or made up, whatever the stage returns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageBug
from pipeline.stage import TableResult, TableStage


def check_table(stage_id: str, stage: TableStage, given: pa.Table, result: TableResult) -> int:
    """Check a table stage's result against its declared accounting; return how many rows were grouped.

    Raises:
        StageBug: naming the rule that does not hold.
    """
    ids = result.table.column("id")
    if pc.count_distinct(ids).as_py() != result.table.num_rows or ids.null_count:
        raise StageBug(f"stage '{stage_id}' ({stage.name}) returned rows whose 'id' is null or not unique")
    rejected = pa.chunked_array([[r.row["id"] for r in result.rejects]], pa.string())
    if stage.accounting == "derived":
        _check_cover(stage_id, stage, given, rejected, exact=False)
        return int(given.num_rows - len(rejected))
    kept = ids if stage.accounting == "rows" else _named(stage, result.table)
    accounted = pa.chunked_array([*kept.chunks, *rejected.chunks], pa.string())
    _check_cover(stage_id, stage, given, accounted, exact=True)
    return 0 if stage.accounting == "rows" else int(len(kept))


def _named(stage: TableStage, table: pa.Table) -> pa.ChunkedArray:
    flat = [pc.list_flatten(table.column(name)) for name in stage.lineage]
    return pa.chunked_array([c for column in flat for c in column.chunks], pa.string())


def _check_cover(stage_id: str, stage: TableStage, given: pa.Table, accounted: pa.ChunkedArray, *, exact: bool) -> None:
    known = accounted.filter(pc.is_in(accounted, value_set=given.column("id")))
    foreign = len(accounted) - len(known)
    distinct = pc.count_distinct(known).as_py()
    twice = len(known) - distinct
    lost = given.num_rows - distinct if exact else 0
    if foreign or twice or lost:
        raise StageBug(
            f"stage '{stage_id}' ({stage.name}) was given {given.num_rows} rows and must account for each exactly once "
            f"(accounting '{stage.accounting}'): {lost} not accounted for, {twice} more than once, {foreign} unknown"
        )
