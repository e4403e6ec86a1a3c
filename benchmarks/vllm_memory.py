"""Memory of the run before, during and after a segment that holds a vLLM engine; after over before is the ratio.

    python -m benchmarks.vllm_memory --rounds 3

The baseline is this process before the engine is opened, after one opening and closing (modules that asyncio and the
link need are loaded then). `tree` is the proportional memory of this process and everything the engine started.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from statistics import median

from benchmarks.vllm_setup import MODEL
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.types import GenRequest, messages_of


def _field(pid: int, file: str, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith(name)), 0.0)


def _parents() -> dict[int, int]:
    out = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                out[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
    return out


def tree_mb() -> float:
    """Return the proportional set size of this process and its descendants, in MB."""
    parents, family = _parents(), {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(_field(pid, "smaps_rollup", "Pss:") for pid in family)


async def segment() -> float:
    """Open an engine, sample from it, close it; return the memory of the tree while it was open."""
    engine = VllmEngine(VllmConfig(model=MODEL, eager=True, max_context=2048))
    await engine.open()
    try:
        requests = [GenRequest(messages=messages_of(f"Tell story {i}."), max_tokens=32, seed=i) for i in range(16)]
        await asyncio.gather(*(engine.generate(r) for r in requests))
        return tree_mb()
    finally:
        await engine.close()


async def measure(rounds: int) -> None:
    """Print each round and the median."""
    await segment()
    ratios = []
    for number in range(rounds):
        before = _field(os.getpid(), "status", "VmRSS:")
        open_mb = await segment()
        after, left = _field(os.getpid(), "status", "VmRSS:"), tree_mb()
        ratios.append(after / before)
        print(
            f"round {number + 1}: before {before:.0f} MB resident, tree while open {open_mb:.0f}, after {after:.0f} "
            f"(tree {left:.0f}): {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"resident after / before: median {median(ratios):.3f}, worst {max(ratios):.3f}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    asyncio.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
