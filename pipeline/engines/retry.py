"""The one place that classifies provider errors, and the loop that tries again.

Follows the table in `specs/reliability.md`, section 1.4:

    no connection, reset, time-out, truncated body, 408 409 425 429 5xx   transient: again, with full jitter
    reply with status 2xx that is not what was asked for                  transient twice, then `engine.bad_response`
    400, 413, 422 and the other 4xx                                       `RowError`, after one request
    401, 403, 404, 405, 407, 410, 3xx, bad certificate                    `EngineError`, at once
    402, 429 for want of quota, Retry-After above the limit               `Stopped`, at once

Knows no engine and opens no connection; exceptions of `aiohttp` and of the official client are told apart by class
name, so that neither package is imported here. No text made here quotes an exception's `repr`, which may hold headers.
"""

from __future__ import annotations

import email.utils
import errno
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from pipeline.engines.http.wire import Reply
from pipeline.errors import EngineError, PipelineError, RowError, Stopped

T = TypeVar("T")

FailureKind = Literal["unreachable", "dropped", "timeout", "status", "bad_reply"]

Scrub = Callable[[str], str]
"""Makes a server's words fit to print: key removed, one line, bounded length."""

RETRIED_STATUS: Final = frozenset({408, 409, 425, 429})
FATAL_STATUS: Final = frozenset({401, 403, 404, 405, 407, 410})
_QUOTA = re.compile(r"insufficient_quota|billing|exceeded your current quota|credit balance|payment required", re.I)
_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context (length|window|size)|max_model_len"
    r"|maximum model length|prompt is too long|too many (input )?tokens|string_above_max_length",
    re.I,
)
_FILTER = re.compile(
    r"content_filter|content filter|content_policy|content management policy|safety system"
    r"|responsibleaipolicy|moderation",
    re.I,
)
_LOCAL_LIMITS = frozenset({errno.EMFILE, errno.ENFILE})
_HINTS = {
    401: "check the key",
    403: "the key may not use this model or endpoint",
    404: "check the model name and the base URL",
}


class Transient(Exception):
    """One attempt failed in a way that another attempt may cure.

    Args:
        kind: what sort of failure, for the circuit breaker and the budgets.
        reason: fit to print; holds no key.
        retry_after_s: seconds that the server asked to wait.
        raw: first bytes of a reply that could not be understood, not yet fit to print.
    """

    def __init__(self, kind: FailureKind, reason: str, retry_after_s: float | None = None, raw: bytes = b"") -> None:
        super().__init__(reason)
        self.kind: FailureKind = kind
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.raw = raw


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often to try; seconds."""

    max_attempts: int = 6
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    unreachable_backoff_max_s: float = 2.5
    bad_reply_retries: int = 2


# ------------------------------------------------------------------------------------------ classification


def classify_reply(reply: Reply, where: str, scrub: Scrub, max_retry_after_s: float) -> Exception:
    """Return the exception that a reply with a status other than 200 stands for.

    Args:
        reply: the answer.
        where: origin for texts, without user name, password or query.
        scrub: applied to all words of the server.
        max_retry_after_s: a longer wish of the server ends the run.

    Returns:
        `Transient`, `RowError`, `EngineError` or `Stopped`.
    """
    status = reply.status
    code, message = error_of(reply.body)
    said = f"{where} answered {status}" + (f": {scrub(message)}" if message else "")
    if status < 300:
        return Transient("bad_reply", said, raw=reply.body[:4096])
    if status < 400:
        target = re.match(r"https?://[^/@?#]+", reply.headers.get("Location", ""))
        return EngineError(
            f"{said} (redirect{' to ' + scrub(target[0]) if target else ''}); redirects are not "
            "followed, give the final base URL"
        )
    if status == 402 or (status == 429 and _QUOTA.search(f"{code} {message}")):
        return Stopped(f"{said}. The account has no quota left; run again once that is settled")
    if status in FATAL_STATUS:
        return EngineError(f"{said}. No request can succeed: {_HINTS.get(status, 'check the base URL')}")
    if status >= 500 or status in RETRIED_STATUS:
        return _transient_status(reply.headers, said, max_retry_after_s)
    return RowError(_refusal_code(f"{code} {message}"), said)


def _transient_status(headers: Mapping[str, str], said: str, max_retry_after_s: float) -> Exception:
    wait = retry_after_s(headers)
    if wait is not None and wait > max_retry_after_s:
        return Stopped(
            f"{said}, and asks to wait {wait:,.0f} s, more than max_retry_after_s ({max_retry_after_s:g}); "
            "run again later"
        )
    return Transient("status", said, wait)


def _refusal_code(words: str) -> str:
    if _FILTER.search(words):
        return "engine.filtered"
    if _CONTEXT.search(words):
        return "engine.context_exceeded"
    return "engine.refused"


def error_of(body: bytes) -> tuple[str, str]:
    """Return code (with type) and message of an error body; the text itself if it is no known shape."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "", body[:4096].decode("utf-8", "replace")
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    if not isinstance(value, dict):
        return "", str(value)[:4096]
    message = value.get("message") or value.get("detail") or value.get("error") or ""
    inner = value.get("innererror")
    codes = [value.get("code"), value.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    code = " ".join(str(c) for c in codes if c is not None)
    return code, message if isinstance(message, str) else json.dumps(message)


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the wait that a server asks for in seconds, never negative; None without a readable wish.

    Reads `retry-after-ms`, then `Retry-After` as seconds or as an HTTP date.
    """
    try:
        return _nonnegative(float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        return _nonnegative(float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now())
    except (ValueError, TypeError, OverflowError):
        return None


def _nonnegative(seconds: float) -> float | None:
    return seconds if 0 <= seconds < float("inf") else None


def classify_exception(error: Exception) -> Exception:
    """Return `Transient` or `EngineError` for what an HTTP library or the socket raised."""
    names = [type(e).__name__ for e in _chain(error)]
    if any(getattr(e, "errno", None) in _LOCAL_LIMITS for e in _chain(error)):
        return EngineError("too many open files: lower max_connections or raise the limit (ulimit -n)")
    if any("Certificate" in n or n == "SSLCertVerificationError" for n in names):
        return EngineError("the server's TLS certificate is not valid for this host")
    detail = _detail(error)
    if any(n in _UNREACHABLE or n.startswith("ClientConnector") for n in names):
        return Transient("unreachable", f"no connection: {detail}")
    if any(n.endswith("Timeout") or n.endswith("TimeoutError") for n in names):
        return Transient("timeout", "no complete answer in time")
    return Transient("dropped", f"the connection broke: {detail}")


_UNREACHABLE = frozenset(
    {"ConnectionRefusedError", "ConnectionTimeoutError", "ConnectError", "ConnectTimeout", "gaierror"}
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or getattr(error, "os_error", None)


def _detail(error: BaseException) -> str:
    """Name the innermost exception, with the system's words for an error number and nothing else of its text."""
    last = list(_chain(error))[-1]
    number = getattr(last, "errno", None)
    words = getattr(last, "strerror", None)
    if isinstance(number, int) and isinstance(words, str):
        return f"{type(last).__name__} ({words})"
    return type(last).__name__


# ------------------------------------------------------------------------------------------ trying again


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a retry loop must know of the world around it."""

    clock: Callable[[], float]
    """Monotonic seconds."""
    sleep: Callable[[float], Awaitable[None]]
    """Waits; ends early by raising when nothing more may be sent."""
    stopped: Callable[[], PipelineError | None]
    """The error with which all requests end, once there is one."""
    blameless: Callable[[Transient], bool]
    """True while a failure says more about the server than about the request: it then costs no attempt."""
    rng: random.Random


async def retry(
    attempt: Callable[[], Awaitable[T]], first: Transient, policy: RetryPolicy, deadline: float, world: Surroundings
) -> T:
    """Try again after `first`, which counts as the first attempt.

    Args:
        attempt: makes one attempt; raises `Transient` to be tried again.
        first: the failure that happened already.
        policy: budgets and waits.
        deadline: on the clock of `world`; no wait goes beyond it.
        world: clock, sleep, stop signal, breaker and randomness.

    Raises:
        RowError: `engine.exhausted` or `engine.bad_response` when a budget is spent.
        PipelineError: what `world.stopped` returns, as soon as it returns something.
    """
    session = _Session(attempt, first, policy, deadline, world)
    retrying = AsyncRetrying(
        sleep=world.sleep, wait=session.wait, stop=session.stop, retry=retry_if_exception_type(Transient), reraise=True
    )
    try:
        return await retrying(session.step)
    except Transient as failure:
        last = failure
    if error := world.stopped():
        raise error
    code = "engine.bad_response" if last.kind == "bad_reply" else "engine.exhausted"
    raise RowError(code, f"gave up after {session.attempts} attempts; last: {last.reason}")


class _Session:
    """State of one retry loop, in the shape of tenacity's callbacks."""

    def __init__(
        self,
        attempt: Callable[[], Awaitable[Any]],
        first: Transient,
        policy: RetryPolicy,
        deadline: float,
        world: Surroundings,
    ) -> None:
        self._attempt, self._policy, self._deadline, self._world = attempt, policy, deadline, world
        self._pending: Transient | None = first
        self.attempts = 0
        self._blamed = 0
        self._bad_replies = 0

    async def step(self) -> Any:
        self.attempts += 1
        if self._pending is not None:
            first, self._pending = self._pending, None
            raise first
        return await self._attempt()

    def wait(self, state: RetryCallState) -> float:
        failure = _failure(state)
        ceiling = min(self._policy.backoff_max_s, self._policy.backoff_s * 2.0 ** min(state.attempt_number - 1, 60))
        if failure.kind == "unreachable":
            ceiling = min(ceiling, self._policy.unreachable_backoff_max_s)
        return max(self._world.rng.uniform(0.0, ceiling), failure.retry_after_s or 0.0)

    def stop(self, state: RetryCallState) -> bool:
        """Stop at the first of: engine stopped or closed, deadline before the next attempt, budget spent."""
        late = self._world.clock() + state.upcoming_sleep >= self._deadline
        return self._world.stopped() is not None or late or self._budget_spent(_failure(state))

    def _budget_spent(self, failure: Transient) -> bool:
        if self._world.blameless(failure):
            return False
        self._blamed += 1
        self._bad_replies += failure.kind == "bad_reply"
        return self._blamed >= self._policy.max_attempts or self._bad_replies > self._policy.bad_reply_retries


def _failure(state: RetryCallState) -> Transient:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Transient)
    return error
