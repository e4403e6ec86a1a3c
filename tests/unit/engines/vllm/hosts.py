"""Hosts with a scripted model, and what they left in the folder they were given."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from pipeline.engines.vllm.calls import Calls
from pipeline.engines.vllm.process import HostProcess
from pipeline.engines.vllm.suspects import Counts, Suspects
from pipeline.types import GenRequest, messages_of

SCRIPT = str(Path(__file__).with_name("scripted_host.py"))


def command(state: Path, mode: str = "good") -> tuple[str, ...]:
    """Return what starts a scripted host."""
    return (sys.executable, "-P", SCRIPT, str(state), mode)


async def start(state: Path, mode: str = "good", timeout_s: float = 30, grace_s: float = 10):
    return await HostProcess.start({"name": "m"}, os.environ, timeout_s, command(state, mode), grace_s)


@contextlib.asynccontextmanager
async def opened(
    state: Path, mode: str = "good", *, counts: Counts | None = None, hang_s: float = 30, max_restarts: int = 8
) -> AsyncIterator[Calls]:
    """Yield open calls over a scripted host."""

    async def start_host():
        return await start(state, mode)

    calls = Calls(start_host, Suspects(counts or Counts()), hang_s, max_restarts, (0.05, 0.05))
    await calls.open()
    try:
        yield calls
    finally:
        await calls.close()


def body(text: str) -> dict:
    return GenRequest(messages=messages_of(text), seed=1).to_json()


async def ask(calls: Calls, *texts: str) -> list:
    """Return answered texts, and errors, of requests made at once."""
    asked = (calls.ask("generate", body(text), text) for text in texts)
    replies = await asyncio.gather(*asked, return_exceptions=True)
    return [r if isinstance(r, BaseException) else r["samples"][0]["text"] for r in replies]


def told(state: Path, file: str) -> list:
    """Return what the hosts noted in a file, in order."""
    path = state / file
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid: int) -> bool:
    """Return whether a process runs; one that is dead and waits for burial does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def all_gone(state: Path, within_s: float = 5) -> bool:
    """Return whether every host that was started and its child are gone, or will be soon."""
    pids = [pid for entry in told(state, "starts") for pid in (entry["pid"], entry["child"])]
    assert pids, "no host was started"
    deadline = time.monotonic() + within_s
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))
