"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class PreferencePairsConfig(StageConfig):
    """Options of `preference_pairs`."""


class PreferencePairs(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "preference_pairs"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = PreferencePairsConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
