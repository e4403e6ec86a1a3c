"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import StageConfig, TableStage


class Decontaminate(TableStage):
    """Under way."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
