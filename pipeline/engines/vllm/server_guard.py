"""Runs a server and ends it with the run: `python -m pipeline.engines.vllm.server_guard FD COMMAND...`.

It leads a process group in which the server and all its children stay. FD is the reading end of a pipe that the run
holds open: when it closes, because the run wants so or is gone in whatever way, the server is asked to end and the
group is killed after a grace. The server is a stranger's program, so this cannot be left to it. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

GRACE_S = 10.0
"""Seconds from asking the server to end to killing it."""


def main(arguments: Sequence[str]) -> None:
    """Run the command, say how it ended, and end the group, this process included, so that no child of it stays."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # a handler, not SIG_IGN: the server must not inherit it
    server = subprocess.Popen(arguments[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_run, args=(int(arguments[0]), server), daemon=True).start()
    try:
        status = server.wait()
        print(f"(server ended with status {status})", flush=True)  # fails where the run, which reads it, is gone
    finally:
        os.killpg(0, signal.SIGKILL)


def _end_with_run(lifeline: int, server: subprocess.Popen[bytes]) -> None:
    while os.read(lifeline, 1):
        pass
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
