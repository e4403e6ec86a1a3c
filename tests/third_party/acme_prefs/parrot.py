"""An engine that repeats what it is told."""

from __future__ import annotations

from typing import ClassVar

from pipeline.api import CHAT, Engine, EngineConfig, GenRequest, GenResult, Json, Sample


class AcmeParrotConfig(EngineConfig):
    """Options of the parrot."""

    times: int = 1


class AcmeParrot(Engine):
    """Repeats the last turn."""

    kind: ClassVar[str] = "acme_parrot"
    config_type: ClassVar[type[EngineConfig]] = AcmeParrotConfig
    resident: ClassVar[bool] = False

    config: AcmeParrotConfig

    def capabilities(self) -> frozenset[str]:
        """Chat."""
        return frozenset({CHAT})

    def check(self) -> None:
        """Need nothing."""

    def identity(self) -> dict[str, Json]:
        """Return how often it repeats."""
        return {"kind": self.kind, "model": "parrot", "revision": None, "times": self.config.times}

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def generate(self, request: GenRequest) -> GenResult:
        """Repeat."""
        assert request.messages is not None
        text = " ".join([request.messages[-1]["content"]] * self.config.times)
        return GenResult((Sample(text, "stop", len(text.split()), None),), None, "parrot")
