"""One run at a time: a lock on the run folder, held by the operating system and freed when the process dies.

Array tasks of one run hold it together (shared), never beside a run that holds it alone. The lease saves double
work; correctness does not rest on it, commits are put-if-absent (`commits.py`).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Stopped
from pipeline.store.files import write_failed

_READINGS = 20
_BETWEEN_READINGS = 0.05


@contextmanager
def run_lease(folder: Path, started: str, *, shared: bool = False) -> Iterator[None]:
    """Hold `run.lock` of a run folder.

    Args:
        folder: the run folder, which exists.
        started: the time of start as text, for the message that another run prints.
        shared: beside others that share it too.

    Raises:
        Stopped: if another process holds it; names that process.
    """
    path = folder / "run.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as e:
        raise write_failed(path, e) from e
    try:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stopped(
                f"run folder '{folder}' is being written by {_owner(fd)}. This run stops here and has changed nothing; "
                "wait for the other one, then run the same command again"
            ) from None
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": started}
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(owner).encode() + b"\n", 0)
        except OSError as e:
            raise write_failed(path, e) from e
        yield
    finally:
        os.close(fd)


def _owner(fd: int) -> str:
    """Name the holder; it writes its name right after it took the lock, so a file without one is read again."""
    for _ in range(_READINGS):
        try:
            owner = json.loads(os.pread(fd, 4096, 0))
            return f"process {owner['pid']} on {owner['host']}, started {owner['started']}"
        except (ValueError, KeyError, TypeError):
            time.sleep(_BETWEEN_READINGS)
    return "another process"
