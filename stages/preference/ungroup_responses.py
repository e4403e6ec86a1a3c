"""Take the rows of `group_responses` apart again: one row per response, with what was found out about it.

What an annotator added as a list, one value per response (`win_rates`), becomes a column of the responses. The stage
joins by nothing but the place in the list, and refuses lists of another length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import model_validator

from pipeline.api import (
    MESSAGES,
    Factor,
    Reject,
    Row,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
)
from stages.preference.list_columns import ColumnName, flat_types, list_types, read_with, refuse_taken
from stages.sources.records import ColumnType

_RESPONSE_COLUMNS = columns(id=str, prompt_id=str, prompt=MESSAGES, response=str)
_GROUP_COLUMNS = columns(id=str, prompt_id=str, prompt=MESSAGES, response_ids=list[str], responses=list[str])


class UngroupResponsesConfig(StageConfig):
    """Options of `ungroup_responses`."""

    lists: Mapping[ColumnName, ColumnType] = {}
    """List columns to spread over the responses, with the type of one value; the name stays."""
    prompt_columns: Mapping[ColumnName, ColumnType] = {}
    """Columns of the prompt to repeat at each response, with their types."""

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        refuse_taken({"lists": self.lists, "prompt_columns": self.prompt_columns}, set(_RESPONSE_COLUMNS.names))
        self.read_columns()
        return self

    def read_columns(self) -> pa.Schema:
        """Return the columns that are read; raises `ValueError` if one would be read as two types."""
        return read_with(_GROUP_COLUMNS, list_types(self.lists), flat_types(self.prompt_columns))


class UngroupResponses(TableStage):
    """Makes one row per response, prompts and responses in their order; `id` is the response's own again.

    Responses that were merged when grouping do not come back.

    Reject codes (the whole prompt):
        groups.no_responses: `response_ids` is null or empty.
        groups.unequal_lists: a list is null or not as long as `response_ids`.
        groups.repeated_id: a response id is null, or stands twice in the row, or in an earlier row.
        groups.foreign: the row's `id` is not its prompt_id, so it was not made by `group_responses`.
    """

    name: ClassVar[str] = "ungroup_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = UngroupResponsesConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "derived"
    lineage: ClassVar[tuple[str, ...]] = ("prompt_id",)

    outputs = _RESPONSE_COLUMNS

    config: UngroupResponsesConfig

    def __init__(self, config: UngroupResponsesConfig) -> None:
        """Read the lists and columns that the config names."""
        super().__init__(config)
        made: dict[str, Any] = {**flat_types(config.lists), **flat_types(config.prompt_columns)}
        self.inputs = config.read_columns()
        self.outputs = pa.schema([*_RESPONSE_COLUMNS, *columns(**made)])

    def yields(self) -> Yield:
        """Say that a prompt becomes its n responses."""
        return Yield((Factor("n"),))

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Take each row apart."""
        rows: list[Row] = []
        rejects: list[Reject] = []
        seen: set[str] = set()
        for group in table.select(self.inputs.names).to_pylist():
            problem = self._problem(group, seen)
            if problem:
                rejects.append(Reject({"id": group["id"]}, *problem))
                continue
            seen.update(group["response_ids"])
            rows += self._responses(group)
        return TableResult(pa.Table.from_pylist(rows, schema=self.outputs), rejects)

    def _problem(self, group: Row, seen: set[str]) -> tuple[str, str] | None:
        if group["id"] != group["prompt_id"]:
            return "groups.foreign", f"id is '{group['id']}' and prompt_id '{group['prompt_id']}'; expected the same"
        ids = group["response_ids"]
        if not ids:
            return "groups.no_responses", f"response_ids is {ids}; expected at least one"
        for name in ("responses", *self.config.lists):
            values = group[name]
            if values is None or len(values) != len(ids):
                held = "null" if values is None else f"a list of {len(values)}"
                return "groups.unequal_lists", f"'{name}' is {held}; expected {len(ids)} values"
        if None in ids or len(set(ids)) < len(ids) or seen.intersection(ids):
            return "groups.repeated_id", "a response id is null, or stands twice in this row or in an earlier one"
        return None

    def _responses(self, group: Row) -> list[Row]:
        shared = {name: group[name] for name in ("prompt_id", "prompt", *self.config.prompt_columns)}
        return [
            {"id": response_id, "response": group["responses"][i]}
            | shared
            | {name: group[name][i] for name in self.config.lists}
            for i, response_id in enumerate(group["response_ids"])
        ]
