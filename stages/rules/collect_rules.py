"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class CollectRulesConfig(StageConfig):
    """Options of `collect_rules`."""


class CollectRules(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "collect_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = CollectRulesConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
