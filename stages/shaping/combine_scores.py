"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class CombineScoresConfig(StageConfig):
    """Options of `combine_scores`."""


class CombineScores(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "combine_scores"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = CombineScoresConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
