"""Read the records of a labelled file, whatever its kind, one at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from pipeline.api import Reject
from stages.sources.arrowfiles import InputFile, Kind, arrow_batches, arrow_schema, invalid_rows, readable_row
from stages.sources.csvfiles import csv_columns, csv_has_rows, read_csv
from stages.sources.inputs import has_rows
from stages.sources.jsonfiles import Broken, read_records
from stages.sources.records import readable

ENDINGS: Mapping[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
}
_SAMPLE = 100


def records(file: InputFile, wanted: Sequence[str] | None = None) -> Generator[dict[str, Any] | Reject, None, None]:
    """Yield the records of a file in order, and a reject for each that cannot be read.

    Args:
        file: which.
        wanted: columns to read of a Parquet or Arrow file, those of them that it has; all unless given.
    """
    if file.kind in ("parquet", "arrow"):
        yield from _arrow_records(file, wanted)
        return
    for record in read_csv(file.path, None) if file.kind == "csv" else read_records(file.path):
        if isinstance(record, Broken):
            where = {"file": file.name, "line": record.line, "raw": record.raw}
            yield Reject(readable(where), "source.bad_record", record.message)
        else:
            yield dict(record)


def _arrow_records(file: InputFile, wanted: Sequence[str] | None) -> Iterator[dict[str, Any] | Reject]:
    present = arrow_schema(file).names
    for batch in arrow_batches(file, [n for n in present if wanted is None or n in wanted]):
        bad = invalid_rows(batch)
        for i in range(batch.num_rows):
            if i in bad:
                message = "the record holds bytes that are not UTF-8; shown as U+FFFD"
                yield Reject(readable_row(batch, i), "source.bad_text", message)
            else:
                yield {name: batch.column(name)[i].as_py() for name in batch.schema.names}


def sample(file: InputFile) -> list[dict[str, Any]]:
    """Return the first hundred records that can be read."""
    with closing(records(file)) as found:
        return [r for r in islice(found, _SAMPLE) if not isinstance(r, Reject)]


def column_names(file: InputFile) -> list[str]:
    """Return the columns: of the header where there is one, else those of the first hundred records."""
    if file.kind == "csv":
        return csv_columns(file.path, None)
    if file.kind in ("parquet", "arrow"):
        return list(arrow_schema(file).names)
    return sorted({name for record in sample(file) for name in record})


def holds_records(file: InputFile) -> bool:
    """Return whether a file has any record."""
    return csv_has_rows(file.path, None) if file.kind == "csv" else has_rows(file)
