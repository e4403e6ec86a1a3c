"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import Source, StageConfig


class LoadSkills(Source):
    """Under way."""

    name: ClassVar[str] = "load_skills"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
