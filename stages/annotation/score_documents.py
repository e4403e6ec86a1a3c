"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import RowStage, StageConfig


class ScoreDocuments(RowStage):
    """Under way."""

    name: ClassVar[str] = "score_documents"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
