"""Says how far a run is: a progress file for programs, plain lines for logs (`cli/live.py` draws on a terminal)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pipeline.run.control import Progress, StageProgress
from pipeline.store.files import replace_file
from pipeline.types import Json


def write_progress_file(path: Path, progress: Progress, state: str, seconds: float, **facts: Json) -> None:
    """Replace a progress file in one step; a full disk is left to the code that must write."""
    stages = [asdict(p) for p in progress.stages.values()]
    body = {"state": state, "seconds": round(seconds, 1), **facts, "stages": stages}
    try:
        replace_file(path, json.dumps(body, indent=1).encode() + b"\n")
    except OSError:
        return


def describe(p: StageProgress, rate: float) -> str:
    """Return one line about a stage: rows, rate, time left, rejects."""
    of = f" of {p.total:,}" if p.total else ""
    parts = [f"{p.stage_id}: {p.done:,}{of} rows"]
    if p.reused:
        parts.append(f"{p.reused:,} from before")
    if rate > 0 and not p.finished:
        parts.append(f"{rate:,.1f} rows/s")
        if p.total:
            parts.append(f"{duration((p.total - p.done) / rate)} left")
    if p.replayed:
        parts.append(f"{p.replayed:,} answers from the journal")
    if p.rejected:
        parts.append(f"{p.rejected:,} rejected")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return seconds as `42 s`, `3 min 10 s` or `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Rates:
    """Rows per second of each stage over the time since it began its own work."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the clock."""
        self._clock = clock
        self._began: dict[str, tuple[float, int]] = {}

    def of(self, p: StageProgress) -> float:
        """Return the stage's mean rate so far; 0 before there is one."""
        now, fresh = self._clock(), p.done - p.reused
        if fresh == 0:
            self._began[p.stage_id] = (now, 0)
            return 0.0
        began, rows = self._began.setdefault(p.stage_id, (now, fresh))
        return (fresh - rows) / (now - began) if now > began else 0.0


class LineDisplay:
    """Prints a line for each stage that moved, at most every few seconds, and one when it ends."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float], every: float = 10.0) -> None:
        """Take where to write and how often."""
        self._write, self._clock, self._every = write, clock, every
        self._rates = Rates(clock)
        self._last = clock()
        self._shown: dict[str, tuple[int, bool]] = {}

    def __call__(self, progress: Progress) -> None:
        """Show the counters if it is time."""
        due = self._clock() - self._last >= self._every
        for p in progress.stages.values():
            rate = self._rates.of(p)
            before = self._shown.get(p.stage_id, (0, False))
            if (p.finished and not before[1]) or (due and p.done != before[0]):
                self._write(("done  " if p.finished else "      ") + describe(p, rate))
                self._shown[p.stage_id] = (p.done, p.finished)
        if due:
            self._last = self._clock()
