"""Bring the responses of a prompt together in one row, as annotators that compare them with each other want them.

The official SPPO and SimPO scripts keep the candidates of a prompt in one row too (`all_generated_responses`; 2.1 and
1.3 of our training notes). `ungroup_responses` undoes it. The stage knows no scores: what a response carries besides
its text goes along as a list, where `lists` names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.api import (
    MESSAGES,
    Reject,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
)
from stages.preference.list_columns import (
    ColumnName,
    as_lists,
    flat_types,
    list_types,
    numbered,
    one_array,
    read_with,
    refuse_taken,
)
from stages.selection.pairing import BoolArray, Groups, IntArray, group_rows
from stages.sources.records import ColumnType

_GROUP_COLUMNS = columns(
    id=str, prompt_id=str, prompt=MESSAGES, response_ids=list[str], responses=list[str], merged_ids=list[str]
)
_RESPONSE_COLUMNS = columns(id=str, prompt_id=str, prompt=MESSAGES, response=str)


class GroupResponsesConfig(StageConfig):
    """Options of `group_responses`."""

    lists: Mapping[ColumnName, ColumnType] = {}
    """Columns of the responses to keep, with the type of one value: `reward: float` becomes a list of numbers."""
    prompt_columns: Mapping[ColumnName, ColumnType] = {}
    """Columns that all responses of a prompt share, with their types; a prompt whose responses differ is set aside."""
    min_responses: int = Field(2, ge=1)
    """Least number of responses of a prompt, merged ones counted once."""
    duplicates: Literal["keep", "first"] = "keep"
    """`first` keeps the first of responses that are equal but for white space, and lists the ids of the others."""

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        refuse_taken({"lists": self.lists, "prompt_columns": self.prompt_columns}, set(_GROUP_COLUMNS.names))
        self.read_columns()
        return self

    def read_columns(self) -> pa.Schema:
        """Return the columns that are read; raises `ValueError` if one would be read as two types."""
        return read_with(_RESPONSE_COLUMNS, flat_types(self.lists), flat_types(self.prompt_columns))


class GroupResponses(TableStage):
    """Makes one row per prompt, in order of first appearance, with its responses in table order.

    `id` is the prompt's id; `merged_ids` are the responses that `duplicates: first` folded into an earlier one.
    Responses of a prompt may lie anywhere in a shard, but must lie in one: `sample_responses` keeps the responses of a
    prompt in the shard of the prompt, and stages that work row by row leave them there. Had a prompt responses in two
    shards, each would give a row with the same `id`.

    Reject codes (each response of the prompt, but the first):
        groups.incomplete: the response has no prompt_id, or no text but white space; the others of its prompt go on.
        groups.unlike: the responses have not all the same `prompt`, or differ in one of `prompt_columns`.
        groups.too_few: the prompt has fewer than `min_responses` responses.
    """

    name: ClassVar[str] = "group_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = GroupResponsesConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "groups"
    lineage: ClassVar[tuple[str, ...]] = ("response_ids", "merged_ids")

    outputs = _GROUP_COLUMNS

    config: GroupResponsesConfig

    def __init__(self, config: GroupResponsesConfig) -> None:
        """Read the further columns that the config names."""
        super().__init__(config)
        self.inputs = config.read_columns()
        made: dict[str, Any] = {**list_types(config.lists), **flat_types(config.prompt_columns)}
        self.outputs = pa.schema([*_GROUP_COLUMNS, *columns(**made)])

    def yields(self) -> Yield:
        """Say that the rows of a prompt become one."""
        return Yield(per_prompt=True)

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Group the shard's responses by prompt."""
        prompt_ids, texts = one_array(table.column("prompt_id")), one_array(table.column("response"))
        complete: BoolArray = np.logical_and(_valid(prompt_ids), _has_text(texts))
        rows: IntArray = np.flatnonzero(complete)
        text = "prompt_id is null, or response is null or white space"
        rejects = _rejects(table, np.flatnonzero(~complete), "groups.incomplete", text)
        groups = group_rows(prompt_ids.take(pa.array(rows)), rows)
        if not len(rows):
            return TableResult(self.outputs.empty_table(), rejects)
        found = _found(groups, texts, self.config)
        few = groups.rows[groups.spread(~found.enough)]
        text = f"the prompt has too few different responses; expected at least {self.config.min_responses}"
        rejects += _rejects(table, few, "groups.too_few", text)
        for name in ("prompt", *self.config.prompt_columns):
            unlike = found.enough & _differs(one_array(table.column(name)), groups)
            found = replace(found, enough=found.enough & ~unlike)
            text = f"the responses of the prompt differ in '{name}'; expected the same"
            rejects += _rejects(table, groups.rows[groups.spread(unlike)], "groups.unlike", text)
        return TableResult(self._rows(table, groups, found), rejects)

    def _rows(self, table: pa.Table, groups: Groups, found: _Found) -> pa.Table:
        config = self.config
        in_kept = groups.spread(found.enough)
        kept, merged = groups.rows[in_kept & ~found.merged], groups.rows[in_kept & found.merged]
        sizes, merged_sizes = found.sizes[found.enough], (groups.counts - found.sizes)[found.enough]
        first = pa.array(groups.rows[groups.starts[found.enough]])

        def lists(name: str) -> pa.Array:
            return as_lists(one_array(table.column(name)).take(pa.array(kept)), sizes)

        prompt_ids = one_array(table.column("prompt_id")).take(first)
        merged_ids = as_lists(one_array(table.column("id")).take(pa.array(merged)), merged_sizes)
        return pa.Table.from_arrays(
            [
                prompt_ids,
                prompt_ids,
                one_array(table.column("prompt")).take(first),
                lists("id"),
                lists("response"),
                merged_ids,
                *(lists(name) for name in config.lists),
                *(one_array(table.column(name)).take(first) for name in config.prompt_columns),
            ],
            schema=self.outputs,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """Which responses were merged (grouped order), and per prompt how many are left and whether it becomes a row."""

    merged: BoolArray
    sizes: IntArray
    enough: BoolArray


def _found(groups: Groups, texts: pa.Array, config: GroupResponsesConfig) -> _Found:
    merged = np.zeros(len(groups.rows), dtype=bool)
    if config.duplicates == "first":
        numbers = np.repeat(np.arange(len(groups.counts)), groups.counts)
        seen: set[tuple[int, str]] = set()
        for at, (number, text) in enumerate(zip(numbers, texts.take(pa.array(groups.rows)), strict=True)):
            key = (int(number), " ".join(text.as_py().split()))
            merged[at] = key in seen
            seen.add(key)
    sizes: IntArray = np.add.reduceat(~merged, groups.starts, dtype=np.int64)
    return _Found(merged, sizes, sizes >= config.min_responses)


def _differs(values: pa.Array, groups: Groups) -> BoolArray:
    """Return which prompts have responses with another value than their first, shape (prompts,)."""
    numbers = numbered(values.take(pa.array(groups.rows)))
    unlike: BoolArray = np.logical_or.reduceat(numbers != groups.spread(numbers[groups.starts]), groups.starts)
    return unlike


def _has_text(array: pa.Array) -> BoolArray:
    filled: BoolArray = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(array.fill_null(""))), 0).to_numpy(
        zero_copy_only=False
    )
    return filled


def _valid(array: pa.Array) -> BoolArray:
    valid: BoolArray = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _rejects(table: pa.Table, rows: IntArray, code: str, message: str) -> list[Reject]:
    return [Reject(row, code, message) for row in table.select(["id"]).take(pa.array(rows)).to_pylist()]
