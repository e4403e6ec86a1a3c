"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class ControlLengthConfig(StageConfig):
    """Options of `control_length`."""


class ControlLength(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "control_length"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ControlLengthConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
