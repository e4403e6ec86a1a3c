"""Not built yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pipeline.api import PrerequisiteError, Reject, Row, RowStage, StageConfig, StageContext


class ExtractRulesConfig(StageConfig):
    """Options of `extract_rules`."""


class ExtractRules(RowStage):
    """Not built yet."""

    name: ClassVar[str] = "extract_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ExtractRulesConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Refuse."""
        raise PrerequisiteError("not built yet")
