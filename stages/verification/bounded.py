"""Run a check in a process of its own that is ended when it takes too long, and started again for the next one.

One request at a time, in a thread of its own; the process ends with its owner. What is run, and how time is measured,
is said in `bounded_worker.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.api import EngineError
from stages.verification.verdicts import Verdict, judged

LOADING_S = 300.0
"""Longest wait for a process to start and load its libraries, in seconds."""
WALL_FACTOR = 20.0
"""A check that waits instead of computing is ended after this many times its limit."""


class BoundedWorker:
    """A process for checks, started when it is first needed."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[str] | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._thread = ThreadPoolExecutor(1, "prefmill-checks")

    async def ask(self, function: str, arguments: dict[str, Any], cpu_s: float) -> Verdict:
        """Return the verdict of a function of `bounded_worker.FUNCTIONS`; one without an answer if time runs out.

        Raises:
            EngineError: the process cannot be started.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._ask, function, arguments, cpu_s)

    def close(self) -> None:
        """End the process; safe to call twice."""
        end, self._end, self._process = self._end, None, None
        if end is not None:
            end()

    def _ask(self, function: str, arguments: dict[str, Any], cpu_s: float) -> Verdict:
        process = self._running() or self._start()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended this instant; the line that does not come tells
            process.stdin.write(json.dumps({"function": function, "arguments": arguments, "cpu_s": cpu_s}) + "\n")
            process.stdin.flush()
        if self._line(process, LOADING_S) != "loaded\n":
            self.close()
            raise EngineError(f"the process for checks of kind '{function}' did not start; is its package installed?")
        reply = self._line(process, cpu_s * WALL_FACTOR)
        if not reply.endswith("\n"):
            self.close()
            return judged(None, self._why_none(process.returncode, cpu_s))
        found = json.loads(reply)
        return judged(found["passed"], found["note"])

    @staticmethod
    def _why_none(status: int, cpu_s: float) -> str:
        """Return why there is no answer: the limit, or whatever else ended the process with a status."""
        in_time = -status not in (signal.SIGPROF, signal.SIGKILL)
        return f"not decided: its process ended with {status}" if in_time else f"not decided within {cpu_s:g} s"

    def _running(self) -> subprocess.Popen[str] | None:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        return self._process

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "stages.verification.bounded_worker"]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8")
        self._process, self._end = process, weakref.finalize(self, _finish, process)
        return process

    def _line(self, process: subprocess.Popen[str], seconds: float) -> str:
        assert process.stdout is not None
        alarm = threading.Timer(seconds, process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            return process.stdout.readline()
        finally:
            alarm.cancel()


def _finish(process: subprocess.Popen[str], patience_s: float = 5.0) -> None:
    """Let the process end by itself, or end it, and give its pipes back."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone, and had not read all
        process.stdin.close()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
