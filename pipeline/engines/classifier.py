"""Not built yet."""

from __future__ import annotations

from typing import ClassVar

from pipeline.engines.base import Engine
from pipeline.errors import PrerequisiteError
from pipeline.types import EngineConfig, Json


class ClassifierConfig(EngineConfig):
    """Options of the classifier engine."""

    model: str
    revision: str | None = None


class ClassifierEngine(Engine):
    """Not built yet."""

    kind: ClassVar[str] = "classifier"
    config_type: ClassVar[type[EngineConfig]] = ClassifierConfig
    resident: ClassVar[bool] = True

    config: ClassifierConfig

    def capabilities(self) -> frozenset[str]:
        """Offer nothing."""
        return frozenset()

    def check(self) -> None:
        """Refuse."""
        raise PrerequisiteError("not built yet")

    def identity(self) -> dict[str, Json]:
        """Return kind and model."""
        return {"kind": self.kind, "model": self.config.model, "revision": self.config.revision}

    async def open(self) -> None:
        """Refuse."""
        raise PrerequisiteError("not built yet")

    async def close(self) -> None:
        """Do nothing."""
