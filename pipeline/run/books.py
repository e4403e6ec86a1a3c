"""Rejects as stored rows, and the books: no row may be lost, doubled or made up, whatever a stage returns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StageBug
from pipeline.schema import columns
from pipeline.stage import TableResult, TableStage
from pipeline.types import Reject, Row

REJECTS = columns(id=str, input_id=str, stage=str, code=str, message=str, row=str)
"""Schema of a rejects file: the rejected row's id, the id of the input row it came from, where and why, and the row
itself as JSON text (ASCII, so that text no Parquet file can hold is kept too)."""


def rejects_table(stage_id: str, rejects: Sequence[tuple[str, Reject]]) -> pa.Table:
    """Return (input id, reject) pairs as a table."""
    rows = [
        {
            "id": storable(str(r.row.get("id", input_id))),
            "input_id": storable(input_id),
            "stage": stage_id,
            "code": r.code,
            "message": storable(r.message),
            "row": row_json(r.row),
        }
        for input_id, r in rejects
    ]
    return pa.Table.from_pylist(rows, schema=REJECTS)


def row_json(row: Row) -> str:
    """Return a row as JSON text."""
    return json.dumps(row, ensure_ascii=True, default=str)


def storable(text: str) -> str:
    """Return text with lone surrogates written out, which UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def count_codes(rejects: Sequence[tuple[str, Reject]]) -> Mapping[str, int]:
    """Count rejects by code."""
    return dict(sorted(Counter(r.code for _, r in rejects).items()))


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
    known = pc.sum(pc.is_in(accounted, value_set=given.column("id"))).as_py() or 0
    foreign = len(accounted) - known
    twice = len(accounted) - pc.count_distinct(accounted).as_py()
    lost = given.num_rows - (len(accounted) - twice - foreign) if exact else 0
    if foreign or twice or lost:
        raise StageBug(
            f"stage '{stage_id}' ({stage.name}) was given {given.num_rows} rows and must account for each exactly once "
            f"(accounting '{stage.accounting}'): {lost} not accounted for, {twice} more than once, {foreign} unknown"
        )
