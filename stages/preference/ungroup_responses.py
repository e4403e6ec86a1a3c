"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class UngroupResponsesConfig(StageConfig):
    """Options of `ungroup_responses`."""


class UngroupResponses(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "ungroup_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = UngroupResponsesConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
