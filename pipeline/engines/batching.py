"""Gather concurrent awaits of one event loop into batches that a worker thread runs.

Offline engines want many requests at once, stages await one each. `BatchWorker` keeps the requests that wait,
lets an engine choose which of them go together, and runs that batch in one thread so that the event loop stays
responsive. It knows neither models nor tokens: preparing, choosing and running are functions of the engine.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from pipeline.errors import EngineError, PipelineError, RowError, Stopped

Request = TypeVar("Request")
Prepared = TypeVar("Prepared")
Reply = TypeVar("Reply")

GATHER_QUIET_S = 0.02
"""A batch starts when no request arrived for this long, in seconds ..."""

GATHER_MOST_S = 0.25
"""... or this long after its first request."""

JOIN_S = 30.0
"""Longest wait for the worker to notice a stop, in seconds."""


class Ticket(Generic[Request, Prepared, Reply]):
    """One waiting request: what was asked, what preparing made of it, and where the reply goes.

    Attributes:
        prepared: set by the worker before the ticket can be part of a batch.
    """

    prepared: Prepared

    def __init__(self, request: Request) -> None:
        """Wrap a request."""
        self.request = request
        self.future: Future[Reply] = Future()

    def resolve(self, reply: Reply) -> None:
        """Hand the reply to whoever awaits it; does nothing if it has one already."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: BaseException) -> None:
        """Hand an error to whoever awaits the reply; does nothing if it has one already."""
        if not self.future.done():
            self.future.set_exception(error)


class BatchWorker(Generic[Request, Prepared, Reply]):
    """A queue and the one thread that serves it.

    Args:
        name: what error texts call the engine.
        prepare: makes a request ready (tokens, limits); runs in the worker; a `RowError` fails this request only.
        choose: given all prepared requests, oldest first, returns positions that form the next batch; at least
            one, and the oldest among them, so that nothing starves.
        run: does a batch; resolves or fails tickets as they finish, and returns early when `stopping` is set.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[[Request], Prepared],
        choose: Callable[[Sequence[Prepared]], Sequence[int]],
        run: Callable[[Sequence[Ticket[Request, Prepared, Reply]]], None],
    ) -> None:
        """Start the thread; it waits for requests."""
        self._name = name
        self._prepare = prepare
        self._choose = choose
        self._run = run
        self._wake = threading.Condition()
        self._inbox: list[Ticket[Request, Prepared, Reply]] = []
        self._ready: list[Ticket[Request, Prepared, Reply]] = []
        self._last_arrival = 0.0
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"prefmill-{name}", daemon=True)
        self._thread.start()

    async def ask(self, request: Request) -> Reply:
        """Queue a request and await its reply; cancelling the await takes a waiting request out of the queue.

        Raises:
            RowError: this request cannot be done.
            EngineError: the engine failed; the text has the reason.
            Stopped: the engine is being closed.
        """
        ticket: Ticket[Request, Prepared, Reply] = Ticket(request)
        with self._wake:
            if self.stopping.is_set():
                raise self._stopped()
            self._inbox.append(ticket)
            self._last_arrival = time.monotonic()
            self._wake.notify()
        return await asyncio.wrap_future(ticket.future)

    def stop(self) -> None:
        """Refuse new requests, fail the waiting ones with `Stopped`, tell a running batch; safe to call twice."""
        with self._wake:
            self.stopping.set()
            self._wake.notify()

    def join(self) -> None:
        """Wait until the thread has ended.

        Raises:
            EngineError: if it does not end in time.
        """
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            raise EngineError(f"engine '{self._name}': the worker thread did not stop within {JOIN_S:.0f} s")

    def _serve(self) -> None:
        while self._gather():
            try:
                batch = self._next_batch()
            except Exception as error:  # noqa: BLE001 - any failure must reach the awaits, else they hang
                self._fail(self._ready, error)
                self._ready = []
                continue
            self._do(batch)
        self._drain()
        self._fail(self._ready, self._stopped())
        self._ready = []

    def _gather(self) -> bool:
        """Wait for requests, then for a quiet moment; False when stopping."""
        with self._wake:
            while not (self._inbox or self._ready or self.stopping.is_set()):
                self._wake.wait()
            began = time.monotonic()
            while not self.stopping.is_set():
                now = time.monotonic()
                left = min(self._last_arrival + GATHER_QUIET_S, began + GATHER_MOST_S) - now
                if left <= 0:
                    break
                self._wake.wait(left)
        return not self.stopping.is_set()

    def _drain(self) -> None:
        with self._wake:
            arrived, self._inbox = self._inbox, []
        self._ready.extend(arrived)

    def _next_batch(self) -> list[Ticket[Request, Prepared, Reply]]:
        known = len(self._ready)
        self._drain()
        fresh, self._ready = self._ready[known:], self._ready[:known]
        self._ready += [t for t in fresh if self._is_prepared(t)]
        self._ready = [t for t in self._ready if not t.future.cancelled()]
        if not self._ready:
            return []
        chosen = set(self._choose([t.prepared for t in self._ready]))
        batch = [t for i, t in enumerate(self._ready) if i in chosen]
        self._ready = [t for i, t in enumerate(self._ready) if i not in chosen]
        return [t for t in batch if t.future.set_running_or_notify_cancel()]

    def _is_prepared(self, ticket: Ticket[Request, Prepared, Reply]) -> bool:
        try:
            ticket.prepared = self._prepare(ticket.request)
        except Exception as error:  # noqa: BLE001 - any failure must reach the await, else it hangs
            self._fail([ticket], error)
            return False
        return True

    def _do(self, batch: Sequence[Ticket[Request, Prepared, Reply]]) -> None:
        if not batch:
            return
        try:
            self._run(batch)
        except Exception as error:  # noqa: BLE001 - any failure must reach the awaits, else they hang
            self._fail(batch, error)
        missing: PipelineError = EngineError(f"engine '{self._name}': a batch ended without a reply to this request")
        self._fail(batch, self._stopped() if self.stopping.is_set() else missing)

    def _fail(self, tickets: Sequence[Ticket[Request, Prepared, Reply]], error: Exception) -> None:
        if not isinstance(error, PipelineError | RowError):
            wrapped = EngineError(f"engine '{self._name}' failed: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            error = wrapped
        for ticket in tickets:
            ticket.fail(error)

    def _stopped(self) -> Stopped:
        return Stopped(f"engine '{self._name}' is being closed; the request was not done")
