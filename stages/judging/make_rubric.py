"""Not built yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pipeline.api import PrerequisiteError, Reject, Row, RowStage, StageConfig, StageContext


class MakeRubricConfig(StageConfig):
    """Options of `make_rubric`."""


class MakeRubric(RowStage):
    """Not built yet."""

    name: ClassVar[str] = "make_rubric"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = MakeRubricConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Refuse."""
        raise PrerequisiteError("not built yet")
