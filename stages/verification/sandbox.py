"""Run Python code that nobody has vouched for, with its tests, behind walls that the kernel holds.

What the walls are is said in `sandbox_launcher.py`, which does the work as a process of its own. Where the system
forbids one of them nothing is run. The walls keep the machine safe; they do not make a verdict safe: code and tests
share one process, and code that was written against this very harness, or that answers every comparison with yes, can
report a success.
"""

from __future__ import annotations

import asyncio
import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.api import PrerequisiteError
from stages.verification.sandbox_filter import filter_program
from stages.verification.verdicts import Verdict, judged

_LAUNCHER = Path(__file__).with_name("sandbox_launcher.py")
_COMMAND = (sys.executable, "-I", str(_LAUNCHER))
_TOLD = {"code": "the code", "tests": "the tests"}
_CPU_SIGNAL = 128 + 24


@dataclass(frozen=True, slots=True)
class Limits:
    """What code may use.

    Attributes:
        cpu_s: seconds of processor time of one process.
        wall_s: seconds until everything is ended, also what only waits.
        memory_mb: address space of one process.
        disk_mb: all that it writes, and the largest file.
        processes: processes and threads at once.
    """

    cpu_s: int = 5
    wall_s: float = 30.0
    memory_mb: int = 512
    disk_mb: int = 32
    processes: int = 16


async def run_code(code: str, tests: str, limits: Limits, secret: str) -> Verdict:
    """Return whether code and then tests end without an error.

    Args:
        code: Python; its `__main__` part does not run.
        tests: Python that runs in the same name space afterwards, and raises if the code is wrong.
        limits: what both may use together.
        secret: at most 64 characters; comes back only from a run that got to the end.

    Raises:
        PrerequisiteError: the system forbids the walls.
    """
    given = _given(code, tests, limits, secret)
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=pipe, stdout=pipe, stderr=nothing)
    try:
        out, _ = await process.communicate(given)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return verdict_of(read_answer(out), limits, secret)


@lru_cache
def need_walls(system: str = sys.platform, machine: str = platform.machine()) -> None:
    """Run nothing behind the walls, once in a process.

    Raises:
        PrerequisiteError: the system forbids them.
    """
    if system != "linux" or filter_program(machine) is None:
        raise PrerequisiteError(
            f"checks of kind code need Linux on x86-64 or ARM64, whose kernel holds the code; this is {system} on "
            f"{machine}. Leave the check out, or verify on another machine"
        )
    limits = Limits()
    done = subprocess.run(_COMMAND, input=_given("", "assert 1", limits, "secret"), capture_output=True, check=False)
    need_pass(verdict_of(read_answer(done.stdout), limits, "secret"))


def need_pass(verdict: Verdict) -> None:
    """Raise `PrerequisiteError` if an empty program did not pass."""
    if not verdict.passed:
        raise PrerequisiteError(f"checks of kind code cannot be made here: an empty program: {verdict.note}")


def _given(code: str, tests: str, limits: Limits, secret: str) -> bytes:
    allowed = (filter_program(platform.machine()) or b"").hex()
    return json.dumps({"code": code, "tests": tests, "secret": secret, "filter": allowed, **asdict(limits)}).encode()


def read_answer(out: bytes) -> dict[str, object]:
    """Return what the launcher said; `PrerequisiteError` if it could not build the walls."""
    try:
        told: dict[str, object] = json.loads(out)
    except ValueError:
        told = {"outcome": "refused", "text": "the launcher ended without an answer"}
    if told["outcome"] == "refused":
        raise PrerequisiteError(
            f"checks of kind code: the system forbids the walls: {told['text']}. They need Linux with "
            "namespaces: be root with CAP_SYS_ADMIN, or allow user namespaces (user.max_user_namespaces, and no "
            "AppArmor rule against them); or leave the check out"
        )
    return told


def verdict_of(told: dict[str, object], limits: Limits, secret: str) -> Verdict:
    """Return what the end of a run means: only the secret, and nothing else, is a pass."""
    if told["outcome"] == "time":
        return judged(False, f"did not end within {limits.wall_s:g} s")
    if told["outcome"] == "tests":
        return judged(None, str(told["text"])[:300])
    status, report = told["status"], str(told["report"])
    if status == 0 and report == secret:
        return judged(True, "code and tests ended without an error")
    if status == _CPU_SIGNAL:
        return judged(False, f"used more than {limits.cpu_s} s of processor time")
    try:
        said = json.loads(report)
        return judged(False, f"{_TOLD[said['part']]}: {said['error']}: {said['text']}".rstrip(": ")[:300])
    except (ValueError, KeyError, TypeError):
        return judged(False, f"ended with status {status} before its tests were through")
