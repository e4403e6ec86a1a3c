"""Keep at most so many pairs of each domain, or of each value of any column.

Source: quotas are ours; that more pairs are not always better is Olmo 3's finding (arXiv:2512.13961: for chat a peak at
about 75,000 to 100,000 pairs). The quota is over the whole data set, so this stage waits for all rows; which pairs are
kept depends on their ids and margins alone. It does not know how pairs were chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    columns,
)

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Quota = Annotated[int, Field(ge=0)]


class LimitPairsConfig(StageConfig):
    """Options of `limit_pairs`."""

    column: ColumnName = "domain"
    """Whose values have quotas; `select_pairs` keeps it with `prompt_columns: {domain: string}`."""
    max_pairs: Quota | None = None
    """The quota of every value that `quotas` does not name; null for none."""
    quotas: Mapping[str, Quota] = {}
    """Quotas of single values."""
    keep: Literal["random", "widest"] = "random"
    """Which pairs are kept: a draw by the pair's id, or those with the widest margin (equal ones by that draw)."""
    margin_column: ColumnName = "margin"

    @model_validator(mode="after")
    def _something_is_limited(self) -> LimitPairsConfig:
        if self.max_pairs is None and not self.quotas:
            raise ValueError("nothing is limited; give 'max_pairs' or 'quotas'")
        return self


class LimitPairs(TableStage):
    """Sets the pairs aside that are over the quota of their value; the order of rows stays.

    Reject codes:
        quota.full: the quota of the value is filled; `place` tells which place the pair had, from 1.
        quota.no_value: the column is null.
        quota.no_margin: the margin is null, but the widest are to be kept.
    """

    name: ClassVar[str] = "limit_pairs"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LimitPairsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    filters: ClassVar[bool] = True
    max_rows: ClassVar[int] = 2_000_000

    config: LimitPairsConfig

    def __init__(self, config: LimitPairsConfig) -> None:
        """Read the column with quotas, and margins where they decide."""
        super().__init__(config)
        named: dict[str, Any] = {config.column: str}
        if config.keep == "widest":
            named[config.margin_column] = float
        self.inputs = columns(**named)

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Order the pairs of each value and keep the first ones."""
        ids, values = (table.column(name).to_pylist() for name in ("id", self.config.column))
        margins = self._margins(table)
        rejects, ordered = self._refused(ids, values, margins), []
        refused = {reject.row["id"] for reject in rejects}
        for row_id, value, margin in zip(ids, values, margins, strict=True):
            if row_id not in refused:
                ordered.append((-margin if margin is not None else 0.0, ctx.seed(row_id), row_id, value))
        places: Counter[str] = Counter()
        for _, _, row_id, value in sorted(ordered):
            places[value] += 1
            quota = self.config.quotas.get(value, self.config.max_pairs)
            if quota is not None and places[value] > quota:
                text = f"'{self.config.column}' is '{value}', of which {quota} are kept"
                rejects.append(Reject({"id": row_id, "place": places[value]}, "quota.full", text))
                refused.add(row_id)
        kept = pa.array([row_id not in refused for row_id in ids], pa.bool_())
        return TableResult(table.filter(kept), rejects)

    def _margins(self, table: pa.Table) -> list[float | None]:
        if self.config.keep == "random":
            return [None] * table.num_rows
        margins: list[float | None] = table.column(self.config.margin_column).to_pylist()
        return [None if m is None or m != m else m for m in margins]

    def _refused(self, ids: list[str], values: list[str | None], margins: list[float | None]) -> list[Reject]:
        column, by_margin = self.config.column, self.config.keep == "widest"
        out = []
        for row_id, value, margin in zip(ids, values, margins, strict=True):
            if value is None:
                out.append(Reject({"id": row_id}, "quota.no_value", f"'{column}' is null"))
            elif by_margin and margin is None:
                out.append(Reject({"id": row_id}, "quota.no_margin", f"'{self.config.margin_column}' is no number"))
        return out

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count pairs given and kept by value."""
        given, kept = (self._counted(batches) for batches in (books.input_rows, books.rows))
        rows = tuple(
            (value, count, kept[value], self.config.quotas.get(value, self.config.max_pairs))
            for value, count in sorted(given.items())
        )
        return [ReportTable("Pairs by " + self.config.column, ("value", "given", "kept", "quota"), rows)]

    def _counted(self, batches: Any) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in batches([self.config.column]):
            counts.update(v for v in batch.column(0).to_pylist() if v is not None)
        return counts
