"""Not built yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from pipeline.api import Json, PrerequisiteError, Reject, Source, StageConfig


class LoadPreferencesConfig(StageConfig):
    """Options of `load_preferences`."""


class LoadPreferences(Source):
    """Not built yet."""

    name: ClassVar[str] = "load_preferences"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadPreferencesConfig

    def partitions(self) -> Sequence[str]:
        """Return no part."""
        return ()

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Read nothing."""
        raise PrerequisiteError("not built yet")

    def digest(self) -> Mapping[str, Json]:
        """Return nothing."""
        return {}
