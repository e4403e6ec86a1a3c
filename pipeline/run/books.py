"""Rejects as stored rows: the row as it was, where it was refused and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipeline.schema import columns
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
