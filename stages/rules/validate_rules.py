"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from pipeline.api import PrerequisiteError, StageConfig, StageContext, TableResult, TableStage


class ValidateRulesConfig(StageConfig):
    """Options of `validate_rules`."""


class ValidateRules(TableStage):
    """Not built yet."""

    name: ClassVar[str] = "validate_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ValidateRulesConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Refuse."""
        raise PrerequisiteError("not built yet")
