"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import StageConfig, TableStage


class MergeSkills(TableStage):
    """Under way."""

    name: ClassVar[str] = "merge_skills"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
