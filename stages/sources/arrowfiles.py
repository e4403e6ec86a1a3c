"""Read Parquet and Arrow files batch by batch, and what is wrong with a row's bytes.

Knows no columns and no rules about prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.api import PrerequisiteError
from stages.sources.records import readable

Kind = Literal["parquet", "json", "arrow", "csv", "wet"]

_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of an input; `name` is its path below the input folder, or its own name."""

    name: str
    path: Path
    kind: Kind


def arrow_schema(file: InputFile) -> pa.Schema:
    """Return the columns of a Parquet or Arrow file from its header.

    Raises:
        PrerequisiteError: if it is no such file.
    """
    try:
        if file.kind == "parquet":
            return pq.read_schema(file.path)
        with pa.memory_map(str(file.path)) as source, pa.ipc.open_stream(source) as reader:
            return reader.schema
    except (OSError, pa.ArrowInvalid) as e:
        raise PrerequisiteError(f"input '{file.path}' cannot be read as {file.kind}: {e}") from None


def arrow_batches(file: InputFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield batches of about a thousand rows with the given columns.

    Raises:
        PrerequisiteError: if the file is damaged.
    """
    try:
        if file.kind == "parquet":
            with pq.ParquetFile(file.path) as parquet:
                yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns))
        else:
            with pa.memory_map(str(file.path)) as source, pa.ipc.open_stream(source) as reader:
                yield from (batch.select(list(columns)) for batch in reader)
    except (OSError, pa.ArrowInvalid) as e:
        raise PrerequisiteError(f"input '{file.path}' is damaged: {e}") from None


def invalid_rows(batch: pa.RecordBatch) -> frozenset[int]:
    """Return the rows whose text is not UTF-8; a file may hold such bytes although its type says text."""
    if _valid(batch):
        return frozenset()
    return frozenset(i for i in range(batch.num_rows) if not all(_decodes(c[i]) for c in batch.columns))


def _valid(batch: pa.RecordBatch) -> bool:
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _decodes(scalar: pa.Scalar) -> bool:
    try:
        scalar.as_py()
    except UnicodeDecodeError:
        return False
    return True


def readable_row(batch: pa.RecordBatch, i: int) -> dict[str, Any]:
    """Return one row as Python values for a reject, bytes that are not UTF-8 replaced."""
    return {name: readable(_value(batch.column(name)[i])) for name in batch.schema.names}


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes() if hasattr(scalar, "as_buffer") else None
