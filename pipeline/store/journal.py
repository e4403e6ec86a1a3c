"""The journal of an unfinished shard: each finished request, appended at once, so a kill loses only what was in flight.

A record is one line: payload length and CRC-32 in hex, then JSON `[key, value]`. It is written with one `write`
before the row goes on, which survives the death of the process; flushing to disk against power loss happens every
half second (`sync`). A torn or damaged line is dropped on reading, which costs one repeated request. When the shard is
committed the journal is removed. Each process appends to a file of its own, so two can never tear each other's lines.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from pipeline.store.files import write_failed
from pipeline.types import Json


class Journal:
    """Finished requests of one shard: reads what earlier processes left, appends its own."""

    def __init__(self, folder: Path, stem: str, attempt: str) -> None:
        """Load all journals of the shard; the file to append to is created with the first record."""
        self._path = folder / f"{stem}-{attempt}.journal"
        self._found = {}
        for path in _journals(folder, stem):
            self._found.update(read_journal(path))
        self._fd: int | None = None
        self._dirty = False
        self._folder, self._stem = folder, stem

    def __len__(self) -> int:
        """Return how many finished requests were found at start."""
        return len(self._found)

    def get(self, key: str) -> Json | None:
        """Return the value recorded for a request by an earlier process."""
        raw = self._found.get(key)
        return None if raw is None else json.loads(raw)[1]

    def append(self, key: str, value: Json) -> None:
        """Record a finished request.

        Raises:
            Stopped: if the disk is full.
        """
        payload = json.dumps([key, value], separators=(",", ":")).encode("ascii")
        line = b"%08x %08x %s\n" % (len(payload), zlib.crc32(payload), payload)
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            written = os.write(self._fd, line)
            while written < len(line):  # a full disk may take a part first; the next write then says why
                written += os.write(self._fd, line[written:])
        except OSError as e:
            raise write_failed(self._path, e) from e
        self._dirty = True

    def sync(self) -> None:
        """Flush to disk what was appended since the last call."""
        if self._dirty and self._fd is not None:
            self._dirty = False
            try:
                os.fdatasync(self._fd)
            except OSError as e:
                raise write_failed(self._path, e) from e

    def close(self) -> None:
        """Flush and close; the files stay for the next start."""
        if self._fd is not None:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd = None

    def remove(self) -> None:
        """Close and delete all journals of the shard, after its commit."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        for path in _journals(self._folder, self._stem):
            path.unlink(missing_ok=True)


def _journals(folder: Path, stem: str) -> list[Path]:
    return sorted(folder.glob(f"{stem}-*.journal")) if folder.is_dir() else []


def read_journal(path: Path) -> dict[str, bytes]:
    """Return key to raw payload of every intact record; damaged lines are skipped.

    A file that is gone held the requests of a shard that another process has committed since it was listed.
    """
    out: dict[str, bytes] = {}
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return out
    for line in raw.split(b"\n"):
        payload = _intact(line)
        if payload is not None:
            out[json.loads(payload)[0]] = payload
    return out


def _intact(line: bytes) -> bytes | None:
    if len(line) < 18 or line[8:9] != b" " or line[17:18] != b" ":
        return None
    payload = line[18:]
    try:
        length, crc = int(line[:8], 16), int(line[9:17], 16)
    except ValueError:
        return None
    return payload if len(payload) == length and zlib.crc32(payload) == crc else None
