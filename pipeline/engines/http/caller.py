"""Sends requests until they are answered: slots, deadline, retries, circuit breaker, clean stop.

The first attempt runs without any of the retry machinery; it is entered on failure only, to keep the cost of a good
request near that of the transport. Knows no bodies: the caller gives a parser.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.engines.http.breaker import Breaker, Halt
from pipeline.engines.http.endpoint import Endpoint
from pipeline.engines.http.wire import Reply, Transport
from pipeline.engines.retry import RetryPolicy, Surroundings, Transient, classify_reply, retry
from pipeline.errors import PipelineError, Stopped
from pipeline.types import Json

T = TypeVar("T")

Parse = Callable[[bytes], T]
"""Reads the body of a reply with status 200; raises `Transient` of kind `bad_reply` if it is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts that bound one request."""

    max_connections: int
    timeout_s: float
    deadline_s: float
    max_retry_after_s: float


class Caller:
    """Requests to one endpoint; made in a running loop and closed once.

    Args:
        endpoint: for texts and their cleaning.
        transport: sends single requests.
        limits: bounds of one request.
        policy: budgets and waits of the retry loop.
        breaker: judges the server as a whole.
        rng: jitter of the waits; results do not depend on it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        limits: Limits,
        policy: RetryPolicy,
        breaker: Breaker,
        rng: random.Random,
    ) -> None:
        self._endpoint, self._transport, self._limits, self._policy = endpoint, transport, limits, policy
        self._breaker = breaker
        self._halt = Halt()
        self._slots = asyncio.Semaphore(limits.max_connections)
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._clock = asyncio.get_running_loop().time
        self._world = Surroundings(
            self._clock, self._halt.sleep, self._halt.error, lambda failure: breaker.suspects(failure.kind), rng
        )

    async def call(self, url: str, body: Mapping[str, Json], parse: Parse[T]) -> T:
        """Post until answered.

        Raises:
            RowError: the server refuses this request, or a budget is spent.
            EngineError: no request can succeed.
            Stopped: the server is given up, or `close` was called.
        """
        async with self._slots:
            deadline = self._clock() + self._limits.deadline_s
            try:
                return await self._attempt(url, body, parse, deadline)
            except Transient as failure:
                first = failure
        return await self._again(url, body, parse, first, deadline)

    async def _again(self, url: str, body: Mapping[str, Json], parse: Parse[T], first: Transient, deadline: float) -> T:
        async def attempt() -> T:
            async with self._slots:
                return await self._attempt(url, body, parse, deadline)

        return await retry(attempt, first, self._policy, deadline, self._world)

    async def _attempt(self, url: str, body: Mapping[str, Json], parse: Parse[T], deadline: float) -> T:
        self._halt.check()
        timeout_s = min(self._limits.timeout_s, max(deadline - self._clock(), 0.001))
        try:
            reply = await self._exchange(url, body, timeout_s)
            if reply.status != 200:
                raise classify_reply(reply, url, self._endpoint.scrub, self._limits.max_retry_after_s)
            value = parse(reply.body)
        except Transient as failure:
            self._count(failure)
            raise
        except PipelineError as error:
            self._halt.set(error)
            raise
        self._breaker.success()
        return value

    async def _exchange(self, url: str, body: Mapping[str, Json], timeout_s: float) -> Reply:
        """Post once; a cancellation by `close` becomes `Stopped`, one by anybody else passes through."""
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        self._in_flight.add(task)
        try:
            return await self._transport.post(url, body, timeout_s)
        except asyncio.CancelledError:
            if task in self._in_flight or task.uncancel() > cancelling:
                raise
        finally:
            self._in_flight.discard(task)
        raise self._halt.error() or Stopped("the engine is closed")

    def _count(self, failure: Transient) -> None:
        if failure.raw:
            failure.reason += f"; it begins: {self._endpoint.scrub(failure.raw.decode('utf-8', 'replace'))}"
            failure.raw = b""
        if self._breaker.failure(failure.kind):
            self._halt.set(
                Stopped(
                    f"{self._endpoint.base} keeps refusing: {self._breaker.summary}; "
                    f"last: {failure.reason}. Run again once the server answers"
                )
            )

    async def close(self) -> None:
        """End waits and requests in flight with `Stopped`, then drop the connections; safe to call twice."""
        self._halt.set(Stopped("the engine is closed"))
        tasks, self._in_flight = self._in_flight, set()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
        await self._transport.close()
