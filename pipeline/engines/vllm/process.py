"""The host process as the run sees it: started, listened to, and ended together with everything it started.

It leads a process group of its own, which is killed as a whole; and it holds one end of a socket pair, so that it
notices when the run is gone, however that happened. Its output goes to the log, the last lines into error texts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence

from pipeline.engines.vllm.link import Link
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import Json

log = logging.getLogger("prefmill.engine.vllm")

_LINES_KEPT = 200
_LINES_QUOTED = 12
_GRACE_S = 10.0
_NOISE = ("INFO ", "DEBUG ", "WARNING ")

MODULE = "pipeline.engines.vllm.host"


class HostProcess:
    """One start of a host."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link) -> None:
        """Take a running process and the line to it; `start` makes both."""
        self._process, self._link = process, link
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._reading = asyncio.create_task(self._read_output())

    @staticmethod
    async def start(
        settings: Mapping[str, Json],
        environment: Mapping[str, str],
        timeout_s: float,
        command: Sequence[str] = (sys.executable, "-P", "-m", MODULE),
    ) -> tuple[HostProcess, dict[str, Json]]:
        """Start a host and wait until its model is loaded; return it and what it says of itself.

        Raises:
            PrerequisiteError: the host found something that the user must change.
            EngineError: it ended or was silent for `timeout_s`; the text has its last lines.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        host = HostProcess(process, await Link.over(ours))
        try:
            host.send(settings)
            return host, await host._ready(timeout_s)
        except BaseException:
            await host.kill()
            raise

    async def _ready(self, timeout_s: float) -> dict[str, Json]:
        try:
            async with asyncio.timeout(timeout_s):
                message = await self.receive()
        except TimeoutError:
            raise EngineError(
                f"the host of the model was not ready after {timeout_s:.0f} s; {self.last_words()}"
            ) from None
        if message is None:
            await asyncio.wait({self._reading}, timeout=1.0)
            raise EngineError(f"the host of the model ended while it started; {self.last_words()}")
        if "failed" in message:
            kind = PrerequisiteError if message["user"] else EngineError
            raise kind(f"the model was not loaded: {message['failed']}; {self.last_words()}")
        facts: dict[str, Json] = message["ready"]
        return facts

    @property
    def pid(self) -> int:
        """Return the process id, which is also that of its group."""
        return self._process.pid

    def send(self, message: Json) -> None:
        """Send a message."""
        self._link.send(message)

    async def receive(self) -> Json | None:
        """Return the next message, None when the host is gone."""
        return await self._link.receive()

    def last_words(self) -> str:
        """Return the last lines it wrote, those of plain information left out, fit for an error text."""
        told = [line for line in self._lines if line and not any(mark in line[:60] for mark in _NOISE)]
        lines = (told or list(self._lines))[-_LINES_QUOTED:]
        return "its last words: " + " | ".join(lines) if lines else "it said nothing"

    async def stop(self) -> None:
        """Ask it to end, then kill what is left of its group."""
        self.send({"op": "stop"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """Kill the whole group and wait for the host; safe to call twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._link.close()
        await asyncio.wait({self._reading}, timeout=1.0)
        self._reading.cancel()

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, ConnectionError):
            while raw := await self._process.stdout.readline():
                line = raw.decode("utf-8", "replace").rstrip()
                self._lines.append(line)
                log.debug("host %d: %s", self._process.pid, line)
