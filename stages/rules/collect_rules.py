"""Bring the rules of all pairs into one row, equal ones joined, so that `merge_rules` can read them together.

Paper: AutoRule, arXiv:2506.15651, removes exact duplicates with a set before it merges. Here a rule keeps the ids of
the pairs that gave it, and rules that differ only in case, white space or the full stop are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import pyarrow as pa

from pipeline.api import (
    Factor,
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
    lineage_id,
)
from stages.rules.rule_texts import folded

COLLECTED = pa.list_(pa.struct([pa.field("rule", pa.string()), pa.field("sources", pa.list_(pa.string()))]))
"""Type of the collected rules: a text, and the ids of the pairs that gave it."""


class CollectRulesConfig(StageConfig):
    """Options of `collect_rules`."""


class CollectRules(TableStage):
    """Makes one row of all rows: `rules` with their `sources`, and `pair_ids`, the rows that were read.

    A rule that more pairs gave comes first, of equal ones the one that was found first; its text is the first found.
    A pair without a rule is among `pair_ids` and nowhere else. No row comes of no row.

    Reject codes:
        rules.bad_row: `rules` is null or holds a null.
    """

    name: ClassVar[str] = "collect_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = CollectRulesConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "groups"
    lineage: ClassVar[tuple[str, ...]] = ("pair_ids",)

    inputs = columns(id=str, rules=list[str])
    outputs = columns(id=str, rules=COLLECTED, pair_ids=list[str])

    def yields(self) -> Yield:
        """One row, however many come in."""
        return Yield(total=Factor("1", 1))

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Join equal rules of all rows."""
        rejects: list[Reject] = []
        read: list[str] = []
        texts: dict[str, str] = {}
        sources: dict[str, list[str]] = {}
        ids, lists = table.column("id").to_pylist(), table.column("rules").to_pylist()
        for row_id, rules in zip(ids, lists, strict=True):
            if rules is None or None in rules:
                rejects.append(Reject({"id": row_id}, "rules.bad_row", "'rules' is null or holds a null"))
                continue
            read.append(row_id)
            for key, rule in ((folded(r), r) for r in rules):
                texts.setdefault(key, rule)
                of_rule = sources.setdefault(key, [])
                of_rule += [row_id] if row_id not in of_rule[-1:] else []
        ordered = sorted(texts, key=lambda k: -len(sources[k]))
        collected = [{"rule": texts[k], "sources": sources[k]} for k in ordered]
        made = [{"id": lineage_id("rules", *read), "rules": collected, "pair_ids": read}] if read else []
        return TableResult(pa.Table.from_pylist(made, self.outputs), rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how many different rules there are, and how many pairs gave each."""
        collected = [r for batch in books.rows(["rules"]) for row in batch.to_pylist() for r in row["rules"]]
        given = sum(len(r["sources"]) for r in collected)
        several = sum(len(r["sources"]) > 1 for r in collected)
        counts = (("rules found", given), ("different ones", len(collected)), ("found in several pairs", several))
        return [ReportTable("Rules of all pairs", ("what", "number"), counts)]
