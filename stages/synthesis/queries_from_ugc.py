"""Under way in this branch: not usable yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import RowStage, StageConfig


class QueriesFromUgc(RowStage):
    """Under way."""

    name: ClassVar[str] = "queries_from_ugc"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = StageConfig
