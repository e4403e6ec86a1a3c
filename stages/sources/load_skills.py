"""Start a run from lists of skills, query types or personas, such as those that others released.

Papers: Instruct-SkillMix, arXiv:2408.14774 (skills and query types); Persona Hub, arXiv:2406.20094 (personas as a
further axis). Merges nothing: equal names stay rows of their own until `merge_skills`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.api import (
    ExecutionOnly,
    Json,
    PrerequisiteError,
    Reject,
    RowError,
    Source,
    StageConfig,
    columns,
)
from stages.sources.arrowcolumns import holds, require_column
from stages.sources.arrowfiles import InputFile, Kind, arrow_batches, arrow_schema, invalid_rows, readable_row
from stages.sources.inputs import check_json_column, file_digest, find_files
from stages.sources.jsonfiles import Broken, read_records
from stages.sources.records import readable
from stages.sources.skill_records import SkillKind, read_names, skill_row

_ENDINGS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".txt": "json",
}
_BATCH_ROWS = 1000


class SkillFile(BaseModel):
    """One list: a file, and the kind of its records that name none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(min_length=1)
    """File or folder; a relative path is taken from the recipe's folder."""
    kind: SkillKind = "skill"


class LoadSkillsConfig(StageConfig):
    """Options of `load_skills`."""

    files: tuple[SkillFile, ...] = Field(min_length=1)
    """A path, or several, each a path or `{path, kind}`. JSON Lines, JSON and Parquet hold `name` and, as they like,
    `kind`, `topic`, `raw`, `definition`, `examples`; a .txt file holds one name a line."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @field_validator("files", mode="before")
    @classmethod
    def _paths_are_files(cls, value: Any) -> Any:
        given = [value] if isinstance(value, str | dict) else value
        return [{"path": f} if isinstance(f, str) else f for f in given] if isinstance(given, list | tuple) else given

    @field_validator("files")
    @classmethod
    def _distinct(cls, value: tuple[SkillFile, ...]) -> tuple[SkillFile, ...]:
        paths = [f.path for f in value]
        twice = sorted({p for p in paths if paths.count(p) > 1})
        if twice:
            raise ValueError(f"files named more than once: {', '.join(twice)}; name each once, with the kind it holds")
        return value


class LoadSkills(Source):
    """Gives one row per record: `name` normalised to `[a-z0-9_]+`, and `raw` as it was.

    Reject codes:
        source.bad_record: the record is no JSON object, its kind is unknown, or a value has a wrong type.
        source.bad_name: the name is missing, too long, or without a letter a to z or a digit.
        source.bad_text: text that is not valid Unicode (lone surrogates, bytes that are not UTF-8).
    """

    name: ClassVar[str] = "load_skills"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadSkillsConfig

    outputs = columns(kind=str, topic=str, name=str, raw=str, definition=str, examples=list[str])

    config: LoadSkillsConfig

    def partitions(self) -> Sequence[str]:
        """Return the names of the files."""
        return list(self._files())

    def digest(self) -> Mapping[str, Json]:
        """Return names and hashes of the files; also checks that names are there.

        Raises:
            PrerequisiteError: if a file is missing, unreadable, lacks the names, or holds no record.
        """
        files = self._files()
        digests: list[Json] = [[part, file_digest(file)[1]] for part, (file, _) in files.items()]
        for part, (file, _) in files.items():
            self._check(file)
            if next(self._records(file, part), None) is None:
                raise PrerequisiteError(f"input '{file.path}' holds no names")
        return {"files": digests}

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield batches of at most a thousand rows, each followed by the rejects among them."""
        file, kind = self._files()[partition]
        rows: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        for record in self._records(file, partition):
            if isinstance(record, Reject):
                rejects.append(record)
            else:
                try:
                    rows.append(skill_row(record, kind))
                except RowError as e:
                    rejects.append(Reject(readable(record), e.code, e.message))
            if len(rows) + len(rejects) >= _BATCH_ROWS:
                yield from self._flush(rows, rejects)
                rows, rejects = [], []
        yield from self._flush(rows, rejects)

    def _flush(self, rows: list[dict[str, Any]], rejects: list[Reject]) -> Iterator[pa.RecordBatch | Reject]:
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=self.outputs)
        yield from rejects

    def _files(self) -> dict[str, tuple[InputFile, SkillKind]]:
        """Return the files by the name of their part: the path as the recipe writes it, in a folder with its name."""
        found: dict[str, tuple[InputFile, SkillKind]] = {}
        for entry in self.config.files:
            path = Path(self.config.base_folder) / entry.path
            for file in find_files(path, None, _ENDINGS):
                found[entry.path if path.is_file() else f"{entry.path}/{file.name}"] = (file, entry.kind)
        return found

    def _check(self, file: InputFile) -> None:
        if file.kind == "json":
            if file.path.suffix != ".txt":
                check_json_column(file, "name")
            return
        schema = arrow_schema(file)
        require_column(schema, "name", f"input '{file.path}'")
        for field in self.outputs:
            if field.name in schema.names and not holds(schema.field(field.name).type, field.type):
                raise PrerequisiteError(
                    f"column '{field.name}' of input '{file.path}' has type {schema.field(field.name).type}; "
                    f"expected {field.type}"
                )

    def _records(self, file: InputFile, part: str) -> Iterator[dict[str, Any] | Reject]:
        """Yield the records of a file, and a reject for each that cannot be read."""
        if file.kind == "parquet":
            yield from self._arrow_records(file)
            return
        text = file.path.suffix == ".txt"
        for record in read_names(file.path) if text else read_records(file.path):
            if isinstance(record, Broken):
                where = readable({"file": part, "line": record.line, "raw": record.raw})
                yield Reject(where, "source.bad_text" if text else "source.bad_record", record.message)
            else:
                yield record

    def _arrow_records(self, file: InputFile) -> Iterator[dict[str, Any] | Reject]:
        present = arrow_schema(file).names
        for batch in arrow_batches(file, [n for n in self.outputs.names if n in present]):
            bad = invalid_rows(batch)
            for i in range(batch.num_rows):
                if i in bad:
                    message = "the record holds bytes that are not UTF-8; shown as U+FFFD"
                    yield Reject(readable_row(batch, i), "source.bad_text", message)
                else:
                    yield {name: batch.column(name)[i].as_py() for name in batch.schema.names}
