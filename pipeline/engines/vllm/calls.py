"""Requests on their way to a host, across its deaths: started, answered, asked again, or found to be poison.

Follows reliability.md, section 1.4: a dead or hung host is started again, what was in flight is asked again, a request
that kills it alone becomes a reject (`engine.poison`). It knows no vLLM: a host is whatever `start` returns.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.engines.vllm.suspects import Suspects
from pipeline.errors import EngineError, PipelineError, PrerequisiteError, RowError, Stopped
from pipeline.types import Json

log = logging.getLogger("prefmill.engine.vllm")


class Host(Protocol):
    """One start of a host: takes messages, answers with messages, and ends."""

    def send(self, message: Json) -> None:
        """Send a request, or `abort` for one."""

    async def receive(self) -> Json | None:
        """Return the next message, None when the host is gone."""

    def last_words(self) -> str:
        """Return the last lines it wrote, fit for an error text."""

    async def stop(self) -> None:
        """End it with a grace."""

    async def kill(self) -> None:
        """End it at once; safe to call twice."""


Start = Callable[[], Awaitable[tuple[Host, dict[str, Json]]]]

_START_PAUSES_S = (1.0, 5.0, 20.0)
"""Waits between the starts of a host after a death; when all are over the engine has failed."""
_MOST_POISON_IN_A_ROW = 3
_WATCH_S = 0.5


@dataclass(slots=True)
class Call:
    """One request of the run."""

    number: int
    key: str
    op: str
    body: Json
    future: asyncio.Future[Json]


@dataclass(slots=True)
class Figures:
    """What happened since the engine was opened."""

    starts: int = 0
    deaths: int = 0
    hangs: int = 0
    poison: int = 0
    asked_again: int = 0
    first_start: float | None = None
    last_answer: float | None = None
    """On the event loop's clock, seconds."""
    totals: dict[str, int] = field(default_factory=dict)
    """Counters of hosts that are gone, added up."""
    latest: dict[str, int] = field(default_factory=dict)
    """Counters of the host that runs."""

    @property
    def busy_s(self) -> float:
        """Return the seconds from the first request to the last answer."""
        if self.first_start is None or self.last_answer is None:
            return 0.0
        return self.last_answer - self.first_start

    def all_counters(self) -> dict[str, int]:
        """Return the counters of all hosts together."""
        names = self.totals.keys() | self.latest.keys()
        return {n: self.totals.get(n, 0) + self.latest.get(n, 0) for n in sorted(names)}

    def next_host(self) -> None:
        """Put the counters of a host that is gone away."""
        self.totals, self.latest = self.all_counters(), {}


class Calls:
    """The requests of one engine.

    Args:
        start: starts a host; called again after each death.
        suspects: remembers who was in flight at deaths.
        hang_s: seconds without progress after which a host with requests is killed.
        max_restarts: deaths in a row, without a finished request and without a narrowed suspicion, that are survived.
        start_pauses_s: waits between attempts to start a host after a death.
    """

    def __init__(
        self,
        start: Start,
        suspects: Suspects,
        hang_s: float,
        max_restarts: int,
        start_pauses_s: Sequence[float] = _START_PAUSES_S,
    ) -> None:
        """Start nothing yet."""
        self._pauses = tuple(start_pauses_s)
        self._start, self._suspects = start, suspects
        self._hang_s, self._max_restarts = hang_s, max_restarts
        self._host: Host | None = None
        self._ready = False
        self._numbers = itertools.count()
        self._waiting: dict[int, Call] = {}
        self._running: dict[int, Call] = {}
        self._failure: PipelineError | None = None
        self._fruitless = self._poison_in_a_row = 0
        self._moved_at = 0.0
        self._hung = self._told_to_end = False
        self._tasks: list[asyncio.Task[None]] = []
        self.figures = Figures()

    async def open(self) -> dict[str, Json]:
        """Start the first host; its failure is final. Return what it says of itself."""
        host, facts = await self._start()
        self._begin(host)
        self._tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._watch())]
        return facts

    async def close(self) -> None:
        """Fail what is left, and what is asked from now on, with `Stopped`; end the host."""
        self._failure = self._failure or Stopped("the engine was closed; the request was not done")
        self._fail_all(self._failure)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        host, self._host = self._host, None
        if host is not None:
            await host.stop()
        self.figures.next_host()

    async def ask(self, op: str, body: Json, key: str) -> Json:
        """Have a request done, however many hosts that takes.

        Raises:
            RowError: as the host says, or `engine.poison`.
            EngineError: no host can be started any more, or the request failed in a way that is not its own fault.
            Stopped: the engine was closed.
        """
        if self._failure is not None:
            raise self._failure
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        call = Call(next(self._numbers), key, op, body, future)
        self._waiting[call.number] = call
        self._pump()
        try:
            return await future
        except asyncio.CancelledError:
            self._drop(call)
            raise

    def _drop(self, call: Call) -> None:
        if self._running.pop(call.number, None) is not None and self._host is not None:
            self._host.send({"op": "abort", "id": call.number})
        self._waiting.pop(call.number, None)
        self._suspects.gone(call.key)
        self._pump()

    def _begin(self, host: Host) -> None:
        self._host, self._ready = host, True
        self.figures.starts += 1
        self._moved_at = asyncio.get_running_loop().time()
        self._pump()

    def _pump(self) -> None:
        """Start what may start."""
        if not self._ready or self._host is None or not self._waiting:
            return
        may = self._suspects.startable([c.key for c in self._waiting.values()], bool(self._running))
        now = asyncio.get_running_loop().time()
        if not self._running:
            self._moved_at = now
        if self.figures.first_start is None:
            self.figures.first_start = now
        for call in [c for c in self._waiting.values() if c.key in may]:
            del self._waiting[call.number]
            self._running[call.number] = call
            self._host.send({"op": call.op, "id": call.number, "body": call.body})

    async def _serve(self) -> None:
        """Read what hosts say, and start the next one when one is gone."""
        try:
            while True:
                assert self._host is not None
                reason = await self._listen(self._host)
                await self._bury(reason)
                if self._told_to_end:  # the run is probably ending too: no model is loaded meanwhile
                    await asyncio.sleep(max(self._pauses, default=0.0))
                await self._start_again()
        except PipelineError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001  whoever waits for an answer must not wait for ever
            log.exception("the line to the engine failed")
            self._failure = EngineError(f"the line to the engine failed: {type(error).__name__}: {error}")
        self._fail_all(self._failure)

    async def _listen(self, host: Host) -> str:
        """Handle messages until the host is gone; return why it went."""
        self._hung = self._told_to_end = False
        while (message := await host.receive()) is not None:
            if "beat" in message:
                self._beat(message["beat"])
            elif "dead" in message:
                self._told_to_end = bool(message.get("told_to_end"))
                return str(message["dead"])
            else:
                self._answer(message)
        return f"no progress for {self._hang_s:g} s" if self._hung else "its process ended"

    def _beat(self, counters: dict[str, int]) -> None:
        if counters != self.figures.latest:
            self.figures.latest = counters
            self._moved_at = asyncio.get_running_loop().time()

    def _answer(self, message: dict[str, Json]) -> None:
        call = self._running.pop(message["id"], None)
        if call is None:
            return
        self._fruitless = self._poison_in_a_row = 0
        self._moved_at = self.figures.last_answer = asyncio.get_running_loop().time()
        self._suspects.gone(call.key)
        if not call.future.done():
            if "ok" in message:
                call.future.set_result(message["ok"])
            elif "reject" in message:
                call.future.set_exception(RowError(*message["reject"]))
            else:
                call.future.set_exception(
                    EngineError(f"the engine failed on a request: {message.get('error', message)}")
                )
        self._pump()

    async def _bury(self, reason: str) -> None:
        """Count a death against the requests in flight and put them back in front of those that wait.

        An engine whose host was told by a signal to end (a node being emptied) did not die of a request.
        """
        assert self._host is not None
        host, self._host, self._ready = self._host, None, False
        await host.kill()
        self.figures.deaths += 1
        self.figures.next_host()
        calls = [c for c in self._running.values() if not c.future.done()]
        self._running.clear()
        poison = None if self._told_to_end else self._suspects.died([c.key for c in calls])
        again = [c for c in calls if c.key != poison]
        log.warning("engine died (%s) with %d requests in flight; %s", reason, len(calls), host.last_words())
        verdict = RowError("engine.poison", f"the engine died each time it had this request, at last alone: {reason}")
        for call in (c for c in calls if c.key == poison):
            call.future.set_exception(verdict)
        self._waiting = {c.number: c for c in again} | self._waiting
        self.figures.asked_again += len(again)
        self._judge(poison, bool(calls), reason, host)

    def _judge(self, poison: str | None, had_requests: bool, reason: str, host: Host) -> None:
        """End the engine if deaths go on without anything gained."""
        if poison is not None:
            self.figures.poison += 1
            self._poison_in_a_row += 1
        elif not had_requests or not self._suspects.isolating:
            self._fruitless += 1
        if self._fruitless > self._max_restarts or self._poison_in_a_row >= _MOST_POISON_IN_A_ROW:
            raise EngineError(
                f"the engine died {self.figures.deaths} times and finished no request between the last of them "
                f"({reason}); {host.last_words()}. What was finished is kept; mend the cause and run the same command "
                "again"
            )

    async def _start_again(self) -> None:
        for pause in (*self._pauses, None):
            try:
                host, _ = await self._start()
            except (EngineError, PrerequisiteError) as error:  # it ran before: memory that is not free yet, often
                if pause is None:
                    raise EngineError(f"the engine died and cannot be started again: {error}") from error
                await asyncio.sleep(pause)
            else:
                self._begin(host)
                return

    async def _watch(self) -> None:
        """Kill a host that has requests and shows no progress; `_serve` then takes it for dead."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_WATCH_S, self._hang_s / 4))
            silent = loop.time() - self._moved_at
            if self._host is not None and self._ready and self._running and silent > self._hang_s:
                log.warning("engine shows no progress for %.0f s with %d requests", silent, len(self._running))
                self.figures.hangs += 1
                self._ready, self._hung = False, True
                await self._host.kill()

    def _fail_all(self, error: PipelineError) -> None:
        self._ready = False
        for call in [*self._running.values(), *self._waiting.values()]:
            if not call.future.done():
                call.future.set_exception(error)
        self._running.clear()
        self._waiting.clear()
