"""Write the committed rows of one stage to a file: JSON Lines, or Parquet by the file's name.

For rows that another recipe reads (rule sets, prompts of the next round) and for looking at them with other tools. The
file appears whole or not at all. Datasets for training are the business of `export.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PrerequisiteError
from pipeline.store.manifest import StageView


def write_rows(stage: StageView, to: Path, limit: int | None = None) -> int:
    """Write a stage's rows, in order, and return how many.

    Args:
        stage: the stage, finished or not.
        to: file to make or replace; `.parquet` decides the format, anything else is JSON Lines.
        limit: most rows.

    Raises:
        PrerequisiteError: if the file cannot be written.
    """
    partial = to.with_name(f"{to.name}.partial-{os.getpid()}")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        written = _parquet(stage, partial, limit) if to.suffix == ".parquet" else _json_lines(stage, partial, limit)
        os.replace(partial, to)
    except OSError as e:
        partial.unlink(missing_ok=True)
        raise PrerequisiteError(f"'{to}' cannot be written: {e.strerror or e}; name another file with --to") from e
    return written


def first_rows(stage: StageView, limit: int) -> list[dict[str, object]]:
    """Return the first rows of a stage."""
    return [row for table in _limited(stage, limit) for row in table.to_pylist()]


def _limited(stage: StageView, limit: int | None) -> Iterator[pa.Table]:
    left = limit
    for table in stage.tables():
        if left is not None and left <= 0:
            return
        part = table if left is None else table.slice(0, left)
        left = None if left is None else left - part.num_rows
        yield part


def _json_lines(stage: StageView, path: Path, limit: int | None) -> int:
    written = 0
    with path.open("w", encoding="utf-8") as out:
        for table in _limited(stage, limit):
            for row in table.to_pylist():
                out.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            written += table.num_rows
    return written


def _parquet(stage: StageView, path: Path, limit: int | None) -> int:
    written = 0
    writer: pq.ParquetWriter | None = None
    try:
        for table in _limited(stage, limit):
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            written += table.num_rows
        if writer is None:
            raise PrerequisiteError(f"stage '{stage.id}' has no rows; a Parquet file without columns is of no use")
    finally:
        if writer is not None:
            writer.close()
    return written
