"""Which requests may have killed an engine, and how to find the one that did (reliability.md, section 1.4).

A death implicates all requests in flight. The first time they are simply asked again: most deaths have another cause. A
request implicated twice is a suspect: suspects run by halves, alone in the engine, until the half that kills it is one
request. That one is poison. Counts outlive a restart of the run, so a poison row never gets a fresh budget. Pure: no
engine, no clock; the file of counts is `Counts`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

TWICE = 2
"""Implications that make a suspect."""


class Suspects:
    """Decides which of the waiting requests may start; requests go by key, equal requests share one.

    Args:
        counts: implications known from earlier processes.
    """

    def __init__(self, counts: Counts) -> None:
        """Start without a suspicion of its own."""
        self._counts = counts
        self._groups: deque[list[str]] = deque()
        self._alone: set[str] = set()

    @property
    def isolating(self) -> bool:
        """Return whether suspects have to run apart from the others."""
        return bool(self._alone or self._groups)

    def startable(self, waiting: Collection[str], busy: bool) -> set[str]:
        """Return the keys that may start now.

        Args:
            waiting: keys of requests that have not started.
            busy: whether the engine has requests.
        """
        if self._alone:
            return self._alone & set(waiting)
        self._queue_known(waiting)
        if not self._groups:
            return set(waiting)
        if busy:  # let the others end first, so that the next death says something
            return set()
        while self._groups:
            self._alone = set(self._groups.popleft()) & set(waiting)
            if self._alone:
                return set(self._alone)
        return set(waiting)

    def _queue_known(self, waiting: Collection[str]) -> None:
        queued = {key for group in self._groups for key in group}
        known = [key for key in waiting if key not in queued and self._counts.of(key) >= TWICE]
        if known:  # known from earlier processes: together, so that a few innocent ones cost one turn
            self._groups.append(known)

    def gone(self, key: str) -> None:
        """Note that a request ended: answered, refused or given up by who asked."""
        self._alone.discard(key)

    def died(self, running: Sequence[str]) -> str | None:
        """Note a death; return the key of the request that is poison, if that is now known.

        Args:
            running: keys of the requests that were in the engine, in order of start.
        """
        keys = list(dict.fromkeys(running))
        self._counts.implicate(keys)
        self._alone = set()
        suspects = [key for key in keys if self._counts.of(key) >= TWICE]
        if len(keys) == 1 and suspects:
            return keys[0]
        if suspects:
            half = (len(suspects) + 1) // 2
            self._groups.extendleft(group for group in (suspects[half:], suspects[:half]) if group)
        return None


class Counts:
    """How often each request was in flight when an engine died; kept in a file of the run once it is given one.

    One line of JSON for each death, written at once; a torn last line is ignored.
    """

    def __init__(self) -> None:
        """Start empty, in memory only."""
        self._counts: dict[str, int] = {}
        self._path: Path | None = None

    def keep_in(self, folder: Path) -> None:
        """Read what earlier processes wrote in a folder, which need not exist, and write there from now on.

        Safe to call again with the same folder: nothing is counted twice.
        """
        path = folder / "deaths.jsonl"
        if path == self._path:
            return
        self._path = path
        if path.exists():
            for line in path.read_text("utf-8", errors="replace").splitlines():
                self._add(_keys(line))

    def of(self, key: str) -> int:
        """Return how often a request was implicated."""
        return self._counts.get(key, 0)

    def implicate(self, keys: Sequence[str]) -> None:
        """Count a death against requests."""
        self._add(keys)
        if self._path is not None and keys:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A line that a dying process left unfinished must not swallow this one.
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._is_torn() + json.dumps({"in_flight": list(keys)}) + "\n")

    def _is_torn(self) -> bool:
        assert self._path is not None
        written = self._path.read_bytes() if self._path.exists() else b""
        return bool(written) and not written.endswith(b"\n")

    def _add(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._counts[key] = self._counts.get(key, 0) + 1


def _keys(line: str) -> list[str]:
    try:
        return [str(key) for key in json.loads(line)["in_flight"]]
    except (ValueError, KeyError, TypeError):
        return []
