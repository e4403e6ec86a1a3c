"""Bring labelled responses into a run: pairs or sets of responses to one prompt, with the label of people.

For audits of annotators, and for rules that are learnt from preferences. The formats are those of public files (their
papers are named in `preference_formats/`) and a plain one of ours. Knows nothing about annotators, and judges no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    ExecutionOnly,
    Json,
    PrerequisiteError,
    Reject,
    RowError,
    Source,
    StageConfig,
    derive_seed,
)
from stages.sources.arrowfiles import InputFile
from stages.sources.inputs import file_digest, find_files
from stages.sources.preference_formats.comparison import Comparison, joined_id
from stages.sources.preference_formats.formats import FORMATS, Format, FormatName, check_columns, recognised
from stages.sources.preference_formats.reading import ENDINGS, column_names, holds_records, records, sample
from stages.sources.preference_formats.rows import PAIR_ROW, RESPONSE_ROW, pair_rows, response_rows
from stages.sources.records import readable

_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 1 << 26
_NAMELESS = ("dataset", "data")
_FOLD = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


class LoadPreferencesConfig(StageConfig):
    """Options of `load_preferences`."""

    path: str = Field(min_length=1)
    """File or folder (JSON Lines, JSON, Parquet, Arrow, CSV, TSV), relative to the recipe's folder."""
    format: Literal["auto"] | FormatName = "auto"
    """How the records are written; `auto` knows a format by its columns."""
    rows: Literal["responses", "pairs"] = "responses"
    """One row for each response, or one for each two responses to compare."""
    subsets: tuple[str, ...] = ()
    """Subsets to take; all unless given. Records that name none belong to the subset of their file's name."""
    half: Literal["all", "first", "second"] = "all"
    """One half of the prompts, drawn by `seed` from the text of the first user turn, so that no prompt lies in both."""
    fold: str | None = None
    """One of n parts of the prompts, drawn likewise, as `2/5`; in place of `half`."""
    id_column: str | None = Field(None, min_length=1)
    """Column that holds a record's id, in place of what the format takes."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Of the draws: the parts, and which response of a pair is "a" where the file's order tells the better one."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @model_validator(mode="after")
    def _one_part(self) -> Self:
        if self.fold is None:
            return self
        if self.half != "all":
            raise ValueError("both 'half' and 'fold' choose a part of the prompts; give one of them")
        found = _FOLD.fullmatch(self.fold)
        if found is None or int(found[1]) > int(found[2]):
            raise ValueError(f"fold '{self.fold}': expected a part and how many there are, such as 1/5 or 5/5")
        return self

    def part(self) -> tuple[int, int]:
        """Return which part is taken, from 0, and how many there are."""
        if self.fold is not None:
            place, count = self.fold.split("/")
            return int(place) - 1, int(count)
        return {"all": (0, 1), "first": (0, 2), "second": (1, 2)}[self.half]


class LoadPreferences(Source):
    """Gives response rows or pair rows with labels; `prompt_id` is the record's id, shared by all its responses.

    Response rows: label 1.0 for a right or better response, 0.0 for the other, 0.5 for both of a tie, null where the
    file says nothing; `response_count` is that of the record, so that one cut by a limit on rows is known. Pair rows:
    label `a`, `b`, `tie` or null; `swapped` where "a" is the later of the two in the file. A record of
    more than two responses gives one pair row for each two with unlike labels.

    Reject codes:
        source.bad_record: the record cannot be read or a field has a wrong type.
        source.empty_prompt: the prompt is missing, null, empty or white space.
        source.bad_messages: a prompt or dialogue is not well formed.
        source.bad_text: text that is not valid Unicode (lone surrogates, bytes that are not UTF-8).
        source.bad_id: the id holds no text or whole number of 1 to 200 characters.
        preferences.bad_response: a response is missing or no text.
        preferences.bad_label: the label is none of the format's, or contradicts the record.
        preferences.unlike_prompts: pair rows are wanted, but the responses answer different conversations.
    """

    name: ClassVar[str] = "load_preferences"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadPreferencesConfig

    config: LoadPreferencesConfig

    def __init__(self, config: LoadPreferencesConfig) -> None:
        """Say the columns of the rows asked for."""
        super().__init__(config)
        self.outputs = RESPONSE_ROW if config.rows == "responses" else PAIR_ROW

    def partitions(self) -> Sequence[str]:
        """Return the names of the files."""
        return [f.name for f in self._files()]

    def digest(self) -> Mapping[str, Json]:
        """Return names and hashes of the files; also checks that they are of the format and hold the subsets.

        Raises:
            PrerequisiteError: if the input is missing, unreadable, empty, of another format, or lacks a subset.
        """
        files = self._files()
        digests: Json = [file_digest(f) for f in files]
        filled = [f for f in files if holds_records(f)]
        if not filled:
            raise PrerequisiteError(f"input '{self._path()}' has no records")
        for file in filled:
            self._check(file)
        if self.config.subsets:
            self._check_subsets(filled)
        return {"files": digests}

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield batches of about a thousand rows, each followed by the rejects among them."""
        file = next(f for f in self._files() if f.name == partition)
        if not holds_records(file):
            return
        rows: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        held, form = 0, self._format(file)[1]
        for record in self._records(file, form):
            made = (
                record
                if isinstance(record, Reject)
                else self._made(record, form, subset_of(file.name, self.config.path))
            )
            if isinstance(made, Reject):
                rejects.append(made)
            else:
                rows += made
                held += sum(len(str(row)) for row in made)
            if len(rows) + len(rejects) >= _BATCH_ROWS or held >= _BATCH_CHARACTERS:
                yield from self._flush(rows, rejects)
                rows, rejects, held = [], [], 0
        yield from self._flush(rows, rejects)

    def _made(self, record: dict[str, Any], form: Format, file_subset: str) -> list[dict[str, Any]] | Reject:
        """Return the rows of one record, none if it lies in another subset or part."""
        config = self.config
        try:
            comparison = self._comparison(record, form)
            subset = comparison.subset or file_subset
            if (config.subsets and subset not in config.subsets) or not in_part(comparison, config):
                return []
            if config.rows == "pairs":
                return pair_rows(comparison, subset, config.seed)
            return response_rows(comparison, subset)
        except RowError as e:
            return Reject(readable(record), e.code, e.message)

    def _comparison(self, record: dict[str, Any], form: Format) -> Comparison:
        comparison = form.read(record)
        if self.config.id_column is None:
            return comparison
        own = joined_id(record.get(self.config.id_column))
        if own is None:
            raise RowError("source.bad_id", f"'{self.config.id_column}' is missing or null")
        return replace(comparison, own_id=own)

    def _flush(self, rows: list[dict[str, Any]], rejects: list[Reject]) -> Iterator[pa.RecordBatch | Reject]:
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=self.outputs)
        yield from rejects

    def _path(self) -> Path:
        return Path(self.config.base_folder) / self.config.path

    def _files(self) -> list[InputFile]:
        return find_files(self._path(), None, ENDINGS)

    def _format(self, file: InputFile) -> tuple[FormatName, Format]:
        name = self.config.format
        if name == "auto":
            name = recognised(sample(file), f"input '{file.path}'")
        return name, FORMATS[name]

    def _records(self, file: InputFile, form: Format) -> Iterator[dict[str, Any] | Reject]:
        own = [self.config.id_column] if self.config.id_column else []
        return records(file, [*form.required, *form.optional, *own])

    def _check(self, file: InputFile) -> None:
        where = f"input '{file.path}'"
        name, form = self._format(file)
        if form.nested and file.kind == "csv":
            raise PrerequisiteError(f"{where} is CSV, but format '{name}' holds lists; give it as JSON or Parquet")
        found = column_names(file)
        check_columns(form, name, found, where)
        if self.config.id_column is not None and self.config.id_column not in found:
            raise PrerequisiteError(f"{where} has no column '{self.config.id_column}'; found {', '.join(found)}")

    def _check_subsets(self, files: Sequence[InputFile]) -> None:
        found = {subset for file in files for subset in self._subsets(file)}
        missing = [subset for subset in self.config.subsets if subset not in found]
        if missing:
            raise PrerequisiteError(
                f"input '{self._path()}' has no subset {', '.join(map(repr, missing))}; it has "
                f"{', '.join(sorted(found)) or 'none'}"
            )

    def _subsets(self, file: InputFile) -> Iterator[str]:
        form = self._format(file)[1]
        for record in self._records(file, form):
            try:
                if not isinstance(record, Reject):
                    yield form.read(record).subset or subset_of(file.name, self.config.path)
            except RowError:
                continue


def subset_of(name: str, path: str) -> str:
    """Return the subset of records that name none, from their file's name.

    Args:
        name: of the file, below the input folder.
        path: of the input as the recipe gives it.

    Returns:
        The name without its ending; where a file is called `dataset`, as LLMBar's are, the folder that it lies in.
    """
    parts = PurePosixPath(name).with_suffix("").parts
    if parts[-1] not in _NAMELESS:
        return "/".join(parts)
    return "/".join(parts[:-1]) or PurePosixPath(path).parent.name or parts[-1]


def in_part(comparison: Comparison, config: LoadPreferencesConfig) -> bool:
    """Return whether a comparison lies in the part that is taken, drawn from the text of its first user turn."""
    place, count = config.part()
    first = next(m["content"] for m in comparison.prompts[0] if m["role"] == "user")
    return derive_seed(config.seed, "part", first) % count == place
