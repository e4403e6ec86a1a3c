"""Bring prompts into a run from Parquet, JSON Lines, JSON, a `datasets` folder or a hub data set.

No paper: the way in. Knows columns and records; how files are found and read is in `inputs` and `jsonfiles`, what
makes a record usable in `records`. Duplicate ids are the runner's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    MESSAGES,
    ExecutionOnly,
    Json,
    PrerequisiteError,
    Reject,
    RowError,
    Source,
    StageConfig,
    columns,
)
from stages.sources.arrowcolumns import check_arrow_column, holds, plain_type, require_column
from stages.sources.arrowfiles import InputFile, arrow_batches, arrow_schema, invalid_rows, readable_row
from stages.sources.inputs import (
    check_json_column,
    file_digest,
    find_files,
    has_rows,
)
from stages.sources.jsonfiles import Broken, read_records
from stages.sources.records import ARROW_TYPES, ColumnType, prompt_messages, readable, record_id, row_of

_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 1 << 26
_TAKEN = ("id", "parent_id", "prompt")


class LoadPromptsConfig(StageConfig):
    """Options of `load_prompts`: either `path`, or `dataset` with `revision`."""

    path: str | None = Field(None, min_length=1)
    """File or folder; a relative path is taken from the recipe's folder."""
    dataset: str | None = Field(None, min_length=1)
    """Name of a data set on the hub."""
    revision: str | None = Field(None, min_length=1)
    """Commit or tag of the hub data set; branches move and are refused."""
    config_name: str | None = None
    split: str | None = None
    """Split of a hub data set (default 'train') or of a folder with splits."""
    column: str = Field("prompt", min_length=1)
    id_column: str | None = None
    keep_columns: dict[str, ColumnType] | tuple[str, ...] = ()
    """Columns carried through: names for Parquet and Arrow, names with types for JSON and for the hub."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("exactly one of 'path' and 'dataset' must be given")
        if self.dataset is not None and self.revision in (None, "main", "master"):
            raise ValueError(f"dataset '{self.dataset}' needs a 'revision' that does not move: a commit or a tag")
        if self.path is not None and (self.revision or self.config_name):
            raise ValueError("revision and config_name go with 'dataset', not with 'path'")
        taken = sorted(set(self.keep_columns) & set(_TAKEN))
        if taken:
            raise ValueError(f"keep_columns names {', '.join(taken)}, which the stage or the runner fills")
        return self


class LoadPrompts(Source):
    """Gives one row per record: `prompt` as messages, the kept columns, and `id` if `id_column` is set.

    Reject codes:
        source.bad_record: the record is no JSON object, or a kept column has another type than declared.
        source.empty_prompt: the prompt is missing, null, empty or white space.
        source.bad_messages: the prompt is neither text nor well-formed messages that end with a user turn.
        source.bad_text: text that is not valid Unicode (lone surrogates, bytes that are not UTF-8).
        source.bad_id: `id_column` holds no text or whole number of 1 to 200 characters.
    """

    name: ClassVar[str] = "load_prompts"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadPromptsConfig

    config: LoadPromptsConfig

    def __init__(self, config: LoadPromptsConfig) -> None:
        """Find out the types of the kept columns; names without types are looked up in the first file's header.

        Raises:
            PrerequisiteError: if that file is missing or says no types.
        """
        super().__init__(config)
        self._kept = self._kept_fields()
        ids: dict[str, Any] = {} if config.id_column is None else {"id": str}
        self.outputs = pa.schema([*columns(**ids, prompt=MESSAGES), *self._kept])

    @property
    def needs_network(self) -> bool:
        """Return whether the rows come from the hub."""
        return self.config.dataset is not None

    def partitions(self) -> Sequence[str]:
        """Return the names of the files, or of the split."""
        return [self._split] if self.config.dataset else [f.name for f in self._files()]

    def digest(self) -> Mapping[str, Json]:
        """Return file names and hashes, or the data set's revision; also checks that the columns are there.

        Raises:
            PrerequisiteError: if the input is missing, unreadable, empty, or lacks a column.
        """
        if self.config.dataset:
            return {
                "dataset": self.config.dataset,
                "revision": self.config.revision,
                "config_name": self.config.config_name,
                "split": self._split,
            }
        files = self._files()
        digests = [file_digest(f) for f in files]
        for file in files:
            self._check(file)
        if not any(has_rows(f) for f in files):
            raise PrerequisiteError(f"input '{self._path()}' has no rows")
        return {"files": digests}

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield batches of at most a thousand rows, each followed by the rejects among them."""
        if self.config.dataset:
            yield from self._from_arrow(self._hub_batches(), f"data set '{self.config.dataset}'")
            return
        file = next(f for f in self._files() if f.name == partition)
        if file.kind == "json":
            yield from self._from_json(file)
        else:
            yield from self._from_arrow(arrow_batches(file, self._read_columns()), f"input '{file.path}'")

    @property
    def _split(self) -> str:
        return self.config.split or "train"

    def _path(self) -> Path:
        return Path(self.config.base_folder) / (self.config.path or "")

    def _files(self) -> list[InputFile]:
        return find_files(self._path(), self.config.split)

    def _read_columns(self) -> list[str]:
        ids = [self.config.id_column] if self.config.id_column else []
        return list(dict.fromkeys([self.config.column, *ids, *self._kept.names]))

    def _kept_fields(self) -> pa.Schema:
        kept = self.config.keep_columns
        if isinstance(kept, dict):
            return pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in kept.items()])
        if not kept:
            return pa.schema([])
        file = None if self.config.dataset else self._files()[0]
        if file is None or file.kind == "json":
            example = ", ".join(f"{name}: string" for name in kept)
            raise PrerequisiteError(
                "keep_columns needs types for JSON files and hub data sets, as in "
                f"keep_columns: {{{example}}}; types are {', '.join(ARROW_TYPES)}"
            )
        schema = arrow_schema(file)
        for name in kept:
            require_column(schema, name, f"input '{file.path}'")
        return pa.schema([pa.field(name, plain_type(schema.field(name).type)) for name in kept])

    def _check(self, file: InputFile) -> None:
        if file.kind == "json":
            check_json_column(file, self.config.column)
        else:
            self._check_schema(arrow_schema(file), f"input '{file.path}'")

    def _check_schema(self, schema: pa.Schema, where: str) -> None:
        check_arrow_column(schema, self.config.column, where)
        if self.config.id_column:
            require_column(schema, self.config.id_column, where)
        for field in self._kept:
            require_column(schema, field.name, where)
            if not holds(schema.field(field.name).type, field.type):
                raise PrerequisiteError(
                    f"column '{field.name}' of {where} has type {schema.field(field.name).type}; expected {field.type}"
                )

    def _from_json(self, file: InputFile) -> Iterator[pa.RecordBatch | Reject]:
        kept = self.config.keep_columns if isinstance(self.config.keep_columns, dict) else {}
        rows: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        held = 0
        for record in read_records(file.path):
            if isinstance(record, Broken):
                where = {"file": file.name, "line": record.line, "raw": record.raw}
                rejects.append(Reject(readable(where), "source.bad_record", record.message))
                held += len(record.raw)
            else:
                try:
                    rows.append(row_of(record, self.config.column, self.config.id_column, kept))
                    held += sum(len(m["content"]) for m in rows[-1]["prompt"])
                except RowError as e:
                    rejects.append(Reject(readable(record), e.code, e.message))
            if len(rows) + len(rejects) >= _BATCH_ROWS or held >= _BATCH_CHARACTERS:
                yield from self._flush(rows, rejects)
                rows, rejects, held = [], [], 0
        yield from self._flush(rows, rejects)

    def _flush(self, rows: list[dict[str, Any]], rejects: list[Reject]) -> Iterator[pa.RecordBatch | Reject]:
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=self.outputs)
        yield from rejects

    def _from_arrow(self, batches: Iterator[pa.RecordBatch], where: str) -> Iterator[pa.RecordBatch | Reject]:
        for batch in batches:
            self._check_schema(batch.schema, where)
            prompts, ids, good, rejects = [], [], [], []
            bad = invalid_rows(batch)
            for i in range(batch.num_rows):
                try:
                    if i in bad:
                        raise RowError("source.bad_text", "the record holds bytes that are not UTF-8; shown as U+FFFD")
                    prompts.append(prompt_messages(batch.column(self.config.column)[i].as_py()))
                    if self.config.id_column:
                        ids.append(record_id(batch.column(self.config.id_column)[i].as_py()))
                    good.append(i)
                except RowError as e:
                    del prompts[len(good) :]
                    rejects.append(Reject(readable_row(batch, i), e.code, e.message))
            if good:
                kept = [batch.column(f.name).cast(f.type).take(pa.array(good)) for f in self._kept]
                made = [pa.array(ids, pa.string())] if self.config.id_column else []
                yield pa.RecordBatch.from_arrays([*made, pa.array(prompts, MESSAGES), *kept], schema=self.outputs)
            yield from rejects

    def _hub_batches(self) -> Iterator[pa.RecordBatch]:
        from datasets import load_dataset

        config = self.config
        try:
            data = load_dataset(
                config.dataset, name=config.config_name, split=self._split, revision=config.revision, streaming=True
            ).with_format("arrow")
            for table in data.iter(batch_size=_BATCH_ROWS):
                present = [n for n in self._read_columns() if n in table.schema.names]
                yield from table.select(present).combine_chunks().to_batches()
        except (OSError, ValueError) as e:
            raise PrerequisiteError(
                f"data set '{config.dataset}' at revision '{config.revision}', split "
                f"'{self._split}', cannot be read: {e}"
            ) from e
