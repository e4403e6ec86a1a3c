"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import RowStage, StageConfig


class FilterQueries(RowStage):
    """Under way."""

    name: ClassVar[str] = "filter_queries"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
