"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class ShapeRewardsConfig(StageConfig):
    """Options of `shape_rewards`."""


class ShapeRewards(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "shape_rewards"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ShapeRewardsConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
