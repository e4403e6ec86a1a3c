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
from collections.abc import Mapping, Sequence

from pipeline.engines.vllm.link import Link
from pipeline.engines.vllm.process_log import ProcessLog
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import Json

log = logging.getLogger("prefmill.engine.vllm")

MODULE = "pipeline.engines.vllm.host"
HOST_COMMAND = (sys.executable, "-P", "-m", MODULE)
"""Starts a host; the number of the file descriptor of its line comes behind it."""


class HostProcess:
    """One start of a host."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link, grace_s: float) -> None:
        """Take a running process, the line to it (`start` makes both), and how long it may take to end."""
        self._process, self._link, self._grace_s = process, link, grace_s
        assert process.stdout is not None
        self._output = ProcessLog(log, f"host {process.pid}")
        self._reading = asyncio.create_task(self._output.read(process.stdout))

    @staticmethod
    async def start(
        settings: Mapping[str, Json],
        environment: Mapping[str, str],
        timeout_s: float,
        command: Sequence[str] = HOST_COMMAND,
        grace_s: float = 10.0,
    ) -> tuple[HostProcess, dict[str, Json]]:
        """Start a host and wait until its model is loaded; return it and what it says of itself.

        Args:
            settings: the first message it gets.
            environment: all of its environment.
            timeout_s: how long loading may take.
            command: what to run.
            grace_s: how long it may take to end when `stop` asks it to.

        Raises:
            PrerequisiteError: the host found something that the user must change.
            EngineError: it could not be started, ended, or was silent for `timeout_s`; the text has its last lines.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            link = await Link.over(ours)
            try:
                process = await _spawn(command, theirs.fileno(), environment)
            except BaseException:
                link.close()
                raise
        host = HostProcess(process, link, grace_s)
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
            await self.kill()  # what it started holds its output open; the rest of it is its last words
            raise EngineError(f"the host of the model ended while it started; {self.last_words()}")
        if "failed" in message:
            await asyncio.wait({self._reading}, timeout=1.0)  # it ends now: let its last words arrive
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
        """Return what it said of errors, or its last lines, fit for an error text."""
        return self._output.last_words()

    async def stop(self) -> None:
        """Ask it to end, then kill what is left of its group."""
        self.send({"op": "stop"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s):
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


async def _spawn(command: Sequence[str], end: int, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            str(end),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(environment),
            pass_fds=(end,),
            start_new_session=True,
        )
    except OSError as error:
        raise EngineError(f"the host of the model cannot be started: {error}") from error
