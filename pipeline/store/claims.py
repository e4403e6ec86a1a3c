"""Claims: which worker is at work on which shard of a unit, and how often its worker has died.

    claims/<stage>-<fingerprint>/part-00003.a1.json    put-if-absent; the number after `a` counts attempts

A claim is alive while its file is touched; its age is judged by the file system's own clock, so that the clocks of
two machines need not agree. Whoever finds a dead one puts the next attempt beside it, so attempts are counted across
restarts. Claims save double work and count deaths; safety does not rest on them, commits are put-if-absent.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.canonical import canonical_json
from pipeline.errors import EngineError
from pipeline.store.files import make_folder, put_if_absent, write_failed
from pipeline.types import Json

_CLAIM = re.compile(r"part-(\d{5,})\.a(\d+)\.json")
BEAT_SECONDS = 15.0
STALE_SECONDS = 120.0
"""Longer than a network file system may keep old attributes (60 s), with room for a few missed beats."""
MOST_ATTEMPTS = 3


class ShardGivenUp(EngineError):
    """Too many workers have died while they had a shard."""


class Claims:
    """The claims of one unit, as one worker sees them."""

    def __init__(self, folder: Path, owner: str, stale_s: float = STALE_SECONDS) -> None:
        """Take the unit's folder of claims and a name that no other living worker has.

        A worker that starts again under a name it had before takes over what it then held.
        """
        self._folder, self._owner, self._stale_s = folder, owner, stale_s
        self._clock = folder / f".clock-{owner}"
        self._held: dict[int, Path] = {}

    @property
    def held(self) -> list[int]:
        """Return the shards this worker has claimed and neither finished nor released."""
        return list(self._held)

    def free(self, shards: Iterable[int], done: Callable[[int], bool]) -> Iterable[int]:
        """Yield those of some shards that nobody is at work on and that are not done, one listing for all."""
        make_folder(self._folder)
        there, now = self._listing(), self._now()
        for shard in shards:
            attempt = there.get(shard, 0)
            alive = attempt and self._alive(self._path(shard, attempt), now)
            if not alive and shard not in self._held and not done(shard):
                yield shard

    def take(self, shard: int) -> bool:
        """Claim a shard; return False if another worker has it.

        Raises:
            ShardGivenUp: if too many workers have died while they had it.
        """
        make_folder(self._folder)
        last = self._listing().get(shard, 0)
        if last and self._alive(self._path(shard, last), self._now()):
            return False
        if last >= MOST_ATTEMPTS:
            raise ShardGivenUp(
                f"shard {shard} of unit '{self._folder.name}': {last} workers died while they had it. A row of it may "
                f"kill the engine; see the workers' logs. To try again remove '{self._path(shard, 1).parent}'"
            )
        path = self._path(shard, last + 1)
        if not put_if_absent(path, self._body(last + 1)):
            return False
        self._held[shard] = path
        return True

    def finish(self, shard: int) -> None:
        """Remove all claims of a shard that is committed."""
        self._held.pop(shard, None)
        for path in self._folder.glob(f"part-{shard:05d}.a*.json"):
            path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give back what is held, without counting an attempt."""
        for path in self._held.values():
            path.unlink(missing_ok=True)
        self._held.clear()

    def close(self) -> None:
        """Take away this worker's clock; its claims stay as they are."""
        self._clock.unlink(missing_ok=True)

    def count_death(self, shard: int) -> None:
        """Give a shard back with its attempt counted: whoever worked on it for us has died."""
        path = self._held.pop(shard, None)
        if path is not None:
            _stop_beating(path)

    def beat(self) -> None:
        """Say that this worker lives."""
        for path in list(self._held.values()):
            try:
                os.utime(path)
            except FileNotFoundError:
                continue  # taken for dead and finished by another; commits settle it

    def count_deaths_of(self, owner: str | None) -> None:
        """Free at once what a dead worker held; None stands for all of them, when no other run can be at work."""
        for shard, attempt in self._listing().items():
            path = self._path(shard, attempt)
            if owner is None or _read(path).get("owner") == owner:
                _stop_beating(path)

    def _listing(self) -> dict[int, int]:
        """Return the last attempt of each claimed shard."""
        found: dict[int, int] = {}
        for name in os.listdir(self._folder) if self._folder.is_dir() else ():
            match = _CLAIM.fullmatch(name)
            if match:
                shard, attempt = int(match[1]), int(match[2])
                found[shard] = max(attempt, found.get(shard, 0))
        return found

    def _now(self) -> float:
        try:
            self._clock.touch()
            return self._clock.stat().st_mtime
        except OSError as e:
            raise write_failed(self._clock, e) from e

    def _alive(self, path: Path, now: float) -> bool:
        try:
            beat = path.stat().st_mtime
        except FileNotFoundError:
            return False
        if now - beat > self._stale_s:
            return False
        body = _read(path)
        if body.get("owner") == self._owner:
            return path in self._held.values()
        here = body.get("host") == socket.gethostname()
        return not here or body.get("process") == process_mark(int(body["pid"]))

    def _path(self, shard: int, attempt: int) -> Path:
        return self._folder / f"part-{shard:05d}.a{attempt}.json"

    def _body(self, attempt: int) -> bytes:
        pid = os.getpid()
        body: dict[str, Json] = {
            "attempt": attempt,
            "owner": self._owner,
            "host": socket.gethostname(),
            "pid": pid,
            "process": process_mark(pid),
        }
        return canonical_json(body) + b"\n"


def _stop_beating(path: Path) -> None:
    try:
        os.utime(path, (0, 0))
    except FileNotFoundError:
        return


def _read(path: Path) -> dict[str, Json]:
    """Return what a claim says; nothing if it has just been removed."""
    try:
        value: dict[str, Json] = json.loads(path.read_bytes())
        return value
    except (OSError, ValueError):
        return {"pid": 0}


def process_mark(pid: int) -> str | None:
    """Return what tells a living process of this machine from a later one with its number; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
