"""Decides when a server is given up as a whole, and tells all requests so.

Counts consecutive failures over all rows, so that thousands of rows do not each spend their own budget on a dead
server. Knows no HTTP. Source of the idea: `specs/reliability.md`, section 1.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipeline.engines.retry import FailureKind
from pipeline.errors import PipelineError

FEWEST_UNREACHABLE = 3
"""Failed connections below which a server is not called dead, however much time they took."""


class Breaker:
    """Opens after many failures without one success between them.

    Args:
        failures: consecutive failures of any kind that open it, once they span `window_s`.
        window_s: seconds from the first of these failures.
        unreachable_s: seconds of nothing but failed connections to a server that never answered; one that did
            answer gets `window_s`, if that is longer.
        clock: monotonic seconds.
    """

    def __init__(self, failures: int, window_s: float, unreachable_s: float, clock: Callable[[], float]) -> None:
        self._limit, self._window_s, self._unreachable_s, self._clock = failures, window_s, unreachable_s, clock
        self._answered = False
        self._count = 0
        self._since = 0.0
        self._never_reached = True

    def success(self) -> None:
        """Forget all failures."""
        self._count = 0
        self._answered = True

    def failure(self, kind: FailureKind) -> bool:
        """Count one failure; return True if the server is to be given up."""
        if not self._count:
            self._since, self._never_reached = self._clock(), True
        self._count += 1
        if kind != "unreachable":
            self._never_reached = False
        span = self._clock() - self._since
        if self._never_reached and self._count >= FEWEST_UNREACHABLE:
            return span >= (max(self._unreachable_s, self._window_s) if self._answered else self._unreachable_s)
        return self._count >= self._limit and span >= self._window_s

    def suspects(self, kind: FailureKind) -> bool:
        """Return True if a failure of this kind, now, says more about the server than about one row."""
        return kind == "unreachable" or self._count >= self._limit

    @property
    def summary(self) -> str:
        """Return how many failures over how long, for a text."""
        return f"{self._count:,} failed attempts in {self._clock() - self._since:.0f} s without a success"


class Halt:
    """Why nothing more may be sent, and the bell that wakes those who wait to try again."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._error: PipelineError | None = None

    def set(self, error: PipelineError) -> None:
        """Let every request end with a copy of `error`; the first call counts."""
        self._error = self._error or error
        self._bell.set()

    def error(self) -> PipelineError | None:
        """Return a fresh copy of the error, or None while requests may be sent."""
        return None if self._error is None else type(self._error)(*self._error.args)

    def check(self) -> None:
        """Raise the error if there is one."""
        if self._error is not None:
            raise type(self._error)(*self._error.args)

    async def sleep(self, seconds: float) -> None:
        """Wait; raises the error as soon as there is one."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return
        self.check()
