"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import StageConfig, TableStage


class FilterResponses(TableStage):
    """Under way."""

    name: ClassVar[str] = "filter_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
