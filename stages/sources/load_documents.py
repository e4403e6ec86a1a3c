"""Bring documents of users into a run: posts, reviews, articles from Parquet, JSON, CSV or extracted web text.

Paper: PUGC, arXiv:2506.04463 (user-generated content as the start of instructions); the intake is ours. How files are
found and read is in `inputs`, `arrowfiles`, `jsonfiles`, `csvfiles` and `wetfiles`, what makes a record usable in
`documents`. The stage does not judge what a text says: see `filter_documents`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field as Option
from pydantic import model_validator

from pipeline.api import ExecutionOnly, Json, PrerequisiteError, Reject, RowError, Source, StageConfig, columns
from stages.sources.arrowcolumns import holds, plain_type, require_column
from stages.sources.arrowfiles import InputFile, Kind, arrow_batches, arrow_schema, invalid_rows, readable_row
from stages.sources.csvfiles import csv_columns, csv_has_rows, read_csv
from stages.sources.documents import DOCUMENT, FIELDS, MIN_KEY, Field, Reading, document_row
from stages.sources.inputs import file_digest, find_files, has_rows
from stages.sources.jsonfiles import Broken, read_records
from stages.sources.records import readable
from stages.sources.wetfiles import WET_FIELDS, read_wet, wet_has_rows

_ENDINGS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
    ".wet": "wet",
    ".wet.gz": "wet",
}
_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 1 << 26
_SAMPLE = 100
_SHOWN = 1000


class LoadDocumentsConfig(StageConfig):
    """Options of `load_documents`."""

    path: str = Option(min_length=1)
    """File, or folder of files of one kind; a relative path is taken from the recipe's folder. Endings: .parquet,
    .jsonl, .ndjson, .json, .csv, .tsv, .wet, .wet.gz, or a folder that `datasets.save_to_disk` wrote."""
    split: str | None = None
    """Split of a folder with splits."""
    columns: dict[Field, str | None] = {}
    """The input's names for text, title, source, url, created, author, license, score, language, as in `{text: body}`.
    A field that is not named is taken from the column of its own name, if there is one; null leaves a field out. Only
    text is required."""
    id_column: str | None = None
    """Column with ids; without one, ids are made from the content."""
    source: str | None = Option(None, min_length=1)
    """Source of all documents, in place of a column."""
    author_key_file: str | None = Option(None, min_length=1)
    """File with a secret of at least 32 characters; with it `author_hash` is filled, without it null."""
    delimiter: str | None = Option(None, min_length=1, max_length=1)
    """Delimiter of CSV files; by default a tab for .tsv and a comma else."""
    max_characters: int = Option(1_000_000, ge=1, le=100_000_000)
    """Longest text that is taken; a longer one is rejected, not cut."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.columns.get("text", "text") is None:
            raise ValueError("columns.text is null; without text there are no documents")
        if self.source is not None and self.columns.get("source"):
            raise ValueError("'source' and 'columns.source' both say where the documents are from; give one of them")
        if self.columns.get("author") and self.author_key_file is None:
            raise ValueError(
                "columns.author needs author_key_file, a file with a secret of at least 32 characters: names are only "
                "kept as keyed hashes"
            )
        return self


class LoadDocuments(Source):
    """Gives one row per record: the text, what is known about it, and `id` if `id_column` is set.

    `created` is text as the input writes it, `score` whatever the input calls so, `language` what the input states.
    Rejects carry the record as read, of an oversized one the first 1,000 characters of its text.

    Reject codes:
        source.empty_text: the text is missing, null, empty or white space.
        source.oversized: the text is longer than `max_characters`.
        source.bad_record: the record cannot be read, has too many or too few fields, or a value of a wrong type.
        source.bad_text: text that is not valid Unicode (lone surrogates, bytes that are not UTF-8).
        source.bad_id: `id_column` holds no text or whole number of 1 to 200 characters.
    """

    name: ClassVar[str] = "load_documents"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadDocumentsConfig

    config: LoadDocumentsConfig

    def __init__(self, config: LoadDocumentsConfig) -> None:
        """Say the columns: those of a document, and `id` if the input has ids."""
        super().__init__(config)
        self.outputs = pa.schema([*columns(id=str), *DOCUMENT]) if config.id_column else DOCUMENT

    def partitions(self) -> Sequence[str]:
        """Return the names of the files."""
        return [f.name for f in self._files()]

    def digest(self) -> Mapping[str, Json]:
        """Return names and hashes of the files, and of the key; also checks that the columns are there.

        Raises:
            PrerequisiteError: if the input or the key is missing, unreadable, empty, or lacks a column.
        """
        files = self._files()
        digests: dict[str, Json] = {"files": [file_digest(f) for f in files]}
        for file in files:
            self._check(file)
        if not any(self._has_rows(f) for f in files):
            raise PrerequisiteError(f"input '{self._path(self.config.path)}' has no documents")
        key = self._key()
        return digests if key is None else digests | {"author_key": hashlib.sha256(b"author\0" + key).hexdigest()}

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield batches of at most a thousand documents, each followed by the rejects among them."""
        file = next(f for f in self._files() if f.name == partition)
        config = self.config
        how = Reading(self._named(), config.id_column, config.source, self._key(), config.max_characters)
        rows: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        held = 0
        for record in self._records(file):
            if isinstance(record, Reject):
                rejects.append(record)
            else:
                try:
                    rows.append(document_row(record, how))
                    held += len(rows[-1]["text"])
                except RowError as e:
                    rejects.append(Reject(self._shown(record), e.code, e.message))
            if len(rows) + len(rejects) >= _BATCH_ROWS or held >= _BATCH_CHARACTERS:
                yield from self._flush(rows, rejects)
                rows, rejects, held = [], [], 0
        yield from self._flush(rows, rejects)

    def _flush(self, rows: list[dict[str, Any]], rejects: list[Reject]) -> Iterator[pa.RecordBatch | Reject]:
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=self.outputs)
        yield from rejects

    def _shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record for a reject: without the author's name, and with no more text than can be taken."""
        kept = {k: v for k, v in record.items() if k != (self.config.columns.get("author") or "author")}
        name = self._named()["text"]
        if isinstance(kept.get(name), str) and len(kept[name]) > self.config.max_characters:
            kept[name] = kept[name][:_SHOWN]
        shown: dict[str, Any] = readable(kept)
        return shown

    def _records(self, file: InputFile) -> Iterator[dict[str, Any] | Reject]:
        """Yield the records of a file, and a reject for each that cannot be read."""
        if file.kind in ("parquet", "arrow"):
            yield from self._arrow_records(file)
            return
        for record in self._plain_records(file):
            if isinstance(record, Broken):
                where = {"file": file.name, "line": record.line, "raw": record.raw}
                yield Reject(readable(where), "source.bad_record", record.message)
            else:
                yield record

    def _plain_records(self, file: InputFile) -> Iterator[dict[str, Any] | Broken]:
        if file.kind == "csv":
            return read_csv(file.path, self.config.delimiter)
        return read_wet(file.path) if file.kind == "wet" else read_records(file.path)

    def _arrow_records(self, file: InputFile) -> Iterator[dict[str, Any] | Reject]:
        present = arrow_schema(file).names
        wanted = dict.fromkeys([*self._named().values(), *self._id_columns()])
        for batch in arrow_batches(file, [n for n in wanted if n in present]):
            bad = invalid_rows(batch)
            for i in range(batch.num_rows):
                if i in bad:
                    message = "the record holds bytes that are not UTF-8; shown as U+FFFD"
                    yield Reject(self._shown(readable_row(batch, i)), "source.bad_text", message)
                else:
                    yield {name: batch.column(name)[i].as_py() for name in batch.schema.names}

    def _path(self, path: str) -> Path:
        return Path(self.config.base_folder) / path

    def _files(self) -> list[InputFile]:
        return find_files(self._path(self.config.path), self.config.split, _ENDINGS)

    def _named(self) -> dict[Field, str]:
        """Return the input's name of each field that is read."""
        config = self.config
        unread = {"source"} if config.source else set()
        unread |= set() if config.author_key_file else {"author"}
        names = {field: config.columns.get(field, field) for field in FIELDS if field not in unread}
        return {field: name for field, name in names.items() if name is not None}

    def _id_columns(self) -> list[str]:
        return [self.config.id_column] if self.config.id_column else []

    def _key(self) -> bytes | None:
        if self.config.author_key_file is None:
            return None
        path = self._path(self.config.author_key_file)
        try:
            key = path.read_bytes().strip()
        except OSError as e:
            raise PrerequisiteError(f"author_key_file '{path}' cannot be read: {e.strerror}") from None
        if len(key) < MIN_KEY:
            raise PrerequisiteError(f"author_key_file '{path}' holds {len(key)} characters; at least {MIN_KEY} needed")
        return key

    def _has_rows(self, file: InputFile) -> bool:
        if file.kind == "csv":
            return csv_has_rows(file.path, self.config.delimiter)
        return wet_has_rows(file.path) if file.kind == "wet" else has_rows(file)

    def _check(self, file: InputFile) -> None:
        """Look for the columns that the config names, and for the text.

        Raises:
            PrerequisiteError: if one is missing, or has a type that cannot be read.
        """
        where = f"input '{file.path}'"
        if file.kind in ("parquet", "arrow"):
            schema = arrow_schema(file)
        elif file.kind == "json":
            schema = _text_columns(_first_names(file))
            if not schema.names:
                return
        else:
            schema = _text_columns(csv_columns(file.path, self.config.delimiter) if file.kind == "csv" else WET_FIELDS)
        named = self._named()
        stated = [name for field, name in named.items() if field == "text" or field in self.config.columns]
        for name in (*stated, *self._id_columns()):
            require_column(schema, name, where)
        for field, name in named.items():
            if name in schema.names and not _can_be(field, schema.field(name).type):
                raise PrerequisiteError(
                    f"column '{name}' of {where} has type {schema.field(name).type}, which is no {field}; name another "
                    f"column under columns.{field}" + ("" if field == "text" else ", or null to leave it out")
                )


def _text_columns(names: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field(n, pa.string()) for n in names])


def _first_names(file: InputFile) -> list[str]:
    """Return the columns that the first hundred records of a JSON file have between them."""
    with closing(read_records(file.path)) as records:
        sample = [r for r in islice(records, _SAMPLE) if not isinstance(r, Broken)]
    return sorted({name for record in sample for name in record})


def _can_be(field: Field, kind: pa.DataType) -> bool:
    """Return whether a column's values can be read as a field; a column of nulls can be anything."""
    is_text = plain_type(kind) == pa.string() or pa.types.is_null(kind)
    is_number = pa.types.is_integer(kind) or holds(kind, pa.float64())
    if field == "created":
        return bool(is_text or is_number or pa.types.is_timestamp(kind) or pa.types.is_date(kind))
    return bool(is_text or (field == "score" and is_number) or (field == "author" and pa.types.is_integer(kind)))
