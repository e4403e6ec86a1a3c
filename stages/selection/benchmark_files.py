"""Read the items of benchmarks from files: question, answer and passage as texts of their own.

Parquet, JSON Lines, JSON, CSV and TSV, and folders of one of them. An item that cannot be read ends the run before it
starts: to leave it out silently would leave it unprotected. Knows nothing of n-grams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.api import Json, PrerequisiteError
from stages.sources.arrowfiles import InputFile, Kind, arrow_batches, arrow_schema
from stages.sources.csvfiles import read_csv
from stages.sources.inputs import file_digest, find_files
from stages.sources.jsonfiles import Broken, read_records

_KINDS: Mapping[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
}


class Benchmark(BaseModel):
    """One benchmark of a recipe: its name, where its items lie, and which columns are to be kept out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    path: str = Field(min_length=1)
    """File or folder; a relative path is taken from the recipe's folder."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns of text, numbers, lists of them or messages; each is compared by itself."""
    id_column: str | None = None
    """Names the items in rejects; without it they are named by file and number of the record."""
    split: str | None = None
    """Split of a folder that has several."""


@dataclass(frozen=True, slots=True)
class BenchmarkText:
    """A text of an item: `field` is the column that it stands in."""

    benchmark: str
    item: str
    field: str
    text: str


def benchmark_texts(benchmark: Benchmark, folder: Path) -> Iterator[BenchmarkText]:
    """Yield the texts of all items, in order.

    Raises:
        PrerequisiteError: if a file is missing, a record cannot be read, or a column is in no record.
    """
    seen: set[str] = set()
    for file in find_files(folder / benchmark.path, benchmark.split, _KINDS):
        with closing(_records(file)) as records:
            for number, record in enumerate(records, 1):
                where = f"record {number} of '{file.path}' (benchmark '{benchmark.name}')"
                if isinstance(record, Broken):
                    raise PrerequisiteError(f"{where} cannot be read: {record.message}; mend or remove it")
                seen |= record.keys()
                item = _item(benchmark, record, f"{file.name}#{number}", where)
                for column in benchmark.columns:
                    for text in _texts(record.get(column), f"column '{column}' of {where}"):
                        yield BenchmarkText(benchmark.name, item, column, text)
    absent = [c for c in benchmark.columns if c not in seen]
    if absent:
        raise PrerequisiteError(
            f"benchmark '{benchmark.name}' has no column '{absent[0]}' in any record; found "
            f"{', '.join(sorted(seen)) or 'none'}"
        )


def benchmark_digest(benchmark: Benchmark, folder: Path) -> Json:
    """Return names and hashes of its files.

    Raises:
        PrerequisiteError: if they are missing or cannot be read.
    """
    return [file_digest(f) for f in find_files(folder / benchmark.path, benchmark.split, _KINDS)]


def _records(file: InputFile) -> Any:
    if file.kind == "json":
        return read_records(file.path)
    if file.kind == "csv":
        return read_csv(file.path, None)
    return (row for batch in arrow_batches(file, arrow_schema(file).names) for row in batch.to_pylist())


def _item(benchmark: Benchmark, record: Mapping[str, Any], otherwise: str, where: str) -> str:
    if benchmark.id_column is None:
        return otherwise
    value = record.get(benchmark.id_column)
    if value is None:
        raise PrerequisiteError(f"{where} has no '{benchmark.id_column}', which 'id_column' names")
    return str(value)


def _texts(value: Any, where: str) -> Sequence[str]:
    """Return the texts of a value: text, number, message, or a list of them; none for null."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, int | float):
        return (str(value),)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return (value["content"],)
    if isinstance(value, list | tuple):
        return [text for part in value for text in _texts(part, where)]
    raise PrerequisiteError(f"{where} holds {type(value).__name__}; expected text, a number, or a list of them")
