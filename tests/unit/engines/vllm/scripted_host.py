"""A host with a scripted model: `python scripted_host.py STATE MODE [N]`; the real protocol, no vLLM.

It writes its pid and that of a child of its own into the folder STATE at each start. Modes: `good`; `mute` (never
ready); `blocked` (loading never gives the loop back); `leaves` (ends while it loads); `refuses` (what the user must
change); `fails` (a fault of its own); `full` and `once` (these two from the second start on); `brief` (dies when it has
been ready for a moment); `stubborn` (does not end when asked). Prompts with `poison`, `die once`, `hang once`, `freeze
once`, `dead`, `emptied once` (a signal to end, then the engine is gone), `reject`, `error`, `slow`, `loud` do what they
say.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.engines.vllm.host import main
from pipeline.errors import PrerequisiteError, RowError
from pipeline.types import GenResult, PoolResult, Sample, ScoreResult

STATE, MODE = Path(sys.argv[1]), sys.argv[2]
del sys.argv[1:3]


def first_time(what: str) -> bool:
    try:
        (STATE / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note(file: str, value: object) -> None:
    with (STATE / file).open("a") as out:
        out.write(json.dumps(value) + "\n")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DeadEngine(Exception):
    pass


class ScriptedWorker:
    """Answers a prompt with itself, in capitals."""

    def __init__(self) -> None:
        self._steps = 0
        self._numbers = itertools.count()

    @staticmethod
    async def start(settings: dict) -> ScriptedWorker:
        child = subprocess.Popen(["sleep", "600"])
        note("starts", {"pid": os.getpid(), "child": child.pid, "settings": settings})
        print("INFO loading", flush=True)
        print("the device is on fire", flush=True)
        if MODE == "mute":
            await asyncio.sleep(600)
        if MODE == "blocked":
            note("blocked", os.getpid())
            time.sleep(600)
        if MODE == "leaves":
            die()
        if MODE == "refuses" or (MODE == "full" and not first_time("started")):
            raise PrerequisiteError("no such argument")
        if MODE == "fails" or (MODE == "once" and not first_time("started")):
            raise RuntimeError("out of memory")
        if MODE == "brief":
            asyncio.get_running_loop().call_later(0.05, die)
        return ScriptedWorker()

    def facts(self) -> dict:
        return {"vllm": "scripted", "context": 512}

    def counters(self) -> dict:
        return {"steps": self._steps, "drafts": 2, "draft_tokens": 10, "accepted_tokens": 6}

    def is_dead(self, error: BaseException) -> bool:
        return isinstance(error, DeadEngine)

    def shutdown(self) -> None:
        if MODE == "stubborn":
            time.sleep(600)
        note("ends", os.getpid())

    async def obey(self, text: str) -> None:
        note("asked", text)
        try:
            await self._obey(text)
        except asyncio.CancelledError:
            note("aborted", text)
            raise
        self._steps += 1

    async def _obey(self, text: str) -> None:
        if "poison" in text or ("die once" in text and first_time("died")):
            await asyncio.sleep(0.02)
            die()
        if "hang once" in text and first_time("hung"):
            await asyncio.sleep(600)
        if "freeze once" in text and first_time("frozen"):
            time.sleep(600)
        if "slow" in text:
            await asyncio.sleep(0.3)
        if "loud" in text:
            print("x" * 300_000, flush=True)
        if "emptied once" in text and first_time("emptied"):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
            raise DeadEngine("the core got the signal too")
        if "dead" in text:
            raise DeadEngine("the core is gone")
        if "reject" in text:
            raise RowError("engine.refused", "not this one")
        if "error" in text:
            raise RuntimeError("a broken kernel")

    async def generate(self, request) -> GenResult:
        text = request.messages[-1]["content"]
        await self.obey(text)
        return GenResult((Sample(text.upper(), "stop", 1),) * request.n, 3, "scripted")

    async def score(self, request) -> ScoreResult:
        await self.obey(request.response)
        return ScoreResult(-1.5, 2, 3, "scripted")

    async def pool(self, request) -> PoolResult:
        await self.obey(request.text)
        return PoolResult((0.5, 0.25), 2, "scripted")


if __name__ == "__main__":
    main(ScriptedWorker.start)
