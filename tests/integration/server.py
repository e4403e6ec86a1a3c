"""A deterministic OpenAI-compatible server in a thread, on 127.0.0.1 and a free port.

A reply is a pure function of the request; whether a request meets a fault is a function of the request and of how
often it came. The server counts, per request body, how often it arrived and how often a complete good answer was
written, and remembers for each broken connection what the client may have asked without having read the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")


def fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the parts only."""
    h = hashlib.blake2b(digest_size=6)
    for part in parts:
        h.update(str(part).encode("utf-8", "surrogatepass") + b"\0")
    return int.from_bytes(h.digest(), "big") / 2**48


@dataclass(frozen=True)
class Ask:
    """One request as it arrived."""

    route: str
    body: dict[str, Any]
    text: str
    """The last turn, or the raw prompt."""
    attempt: int
    """1 for the first time this very body came."""
    headers: Mapping[str, str]

    @property
    def scores(self) -> bool:
        """Return whether this asks for log-probabilities of a given text."""
        return self.route == "completions" and bool(self.body.get("echo"))


@dataclass(frozen=True)
class Fault:
    """What happens in place of a good answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    """Never answer."""


def error(status: int, message: str, code: str = "") -> Fault:
    """Return a fault in the protocol's own words."""
    text = json.dumps({"error": {"message": message, "type": "test", "param": None, "code": code or None}})
    return Fault(status, text.encode())


Reply = Callable[[Ask, int], "str | None"]
"""Text of choice `i` of a request."""


def echo_reply(ask: Ask, index: int) -> str:
    """Return a text that names its request, so that swapped or repeated answers show."""
    return f"Answer {fraction(ask.text, ask.body.get('seed'), index):.9f} to: {ask.text[:60]}"


class Server:
    """The server; a context manager that may be entered again, on the same port, after it was left."""

    def __init__(
        self,
        reply: Reply = echo_reply,
        fault: Callable[[Ask], Fault | None] | None = None,
        latency: Callable[[Ask], float] | float = 0.0,
        logprob: Callable[[str, int], Any] | None = None,
    ) -> None:
        """Take what to answer, when to fail, how long to wait, and optionally the log-probability of a token."""
        self.reply, self.fault, self.latency, self.logprob = reply, fault, latency, logprob
        self.port = 0
        self.received: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()
        """Requests by text and route."""
        self.lost: list[str] = []
        """For each connection that broke, the last two requests that came over it."""
        self.statuses: Counter[int] = Counter()
        self.seen: list[Ask] = []
        self.connections = self.in_flight = self.peak = 0
        self.last_arrival = 0.0

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(20), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    @property
    def url(self) -> str:
        """Return the base URL for a recipe."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> int:
        """Return how many requests came."""
        return sum(self.received.values())

    def settle(self) -> None:
        """Wait until every client has left."""
        wait_until(lambda: not self._open)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._open: set[_Connection] = set()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)

    def arrived(self, path: str, headers: Mapping[str, str], raw: bytes) -> tuple[str, Fault, float, bool]:
        """Decide about one request: its key, what to write, after how long, and whether that is a good answer."""
        key = hashlib.blake2b(path.encode() + raw, digest_size=12).hexdigest()
        self.received[key] += 1
        self.last_arrival = time.monotonic()
        body = json.loads(raw)
        route = path.partition("/v1/")[2]
        text = body["messages"][-1]["content"] if "messages" in body else str(body.get("prompt"))
        ask = Ask(route, body, text, self.received[key], headers)
        self.seen.append(ask)
        self.texts[f"{route}:{text}"] += 1
        fault = self.fault(ask) if self.fault else None
        delay = self.latency(ask) if callable(self.latency) else self.latency
        if fault is not None:
            return key, fault, 0.0, False
        return key, Fault(200, json.dumps(self._answer(ask)).encode()), delay, True

    def _answer(self, ask: Ask) -> dict[str, Any]:
        if ask.route == "chat/completions":
            choices = [self._chat(ask, i) for i in range(ask.body.get("n") or 1)]
        elif ask.scores:
            choices = [{"index": 0, "text": ask.text, "finish_reason": "stop", "logprobs": self._echo(ask)}]
        else:
            choices = [{"index": 0, "text": self.reply(ask, 0), "finish_reason": "stop", "logprobs": None}]
        usage = {"prompt_tokens": len(ask.text.split()), "completion_tokens": 5, "total_tokens": 5}
        return {"id": "x", "object": ask.route, "model": ask.body["model"], "choices": choices, "usage": usage}

    def _chat(self, ask: Ask, index: int) -> dict[str, Any]:
        text = self.reply(ask, index)
        choice: dict[str, Any] = {"index": index, "message": {"role": "assistant", "content": text}}
        choice["finish_reason"] = "stop"
        if ask.body.get("logprobs"):
            tokens = TOKEN.findall(text or "")
            choice["logprobs"] = {"content": [{"token": t, "logprob": -fraction(t)} for t in tokens]}
        return choice

    def _echo(self, ask: Ask) -> dict[str, Any]:
        """Tokenise so that marks like `<|im_end|>`, line ends and spaces are tokens, as templates need."""
        tokens = re.findall(r"<\|\w+\|>|\n|[^\s<]+|[^\S\n]+|<", ask.text)
        offsets = [0]
        for token in tokens:
            offsets.append(offsets[-1] + len(token))
        give = self.logprob or (lambda token, _: -8.0 * fraction(ask.body["model"], token))
        values = [None, *(give(t, i) for i, t in enumerate(tokens[1:], 1))]
        return {"tokens": tokens, "token_logprobs": values, "text_offset": offsets[:-1]}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, server: Server) -> None:
        self.server, self.buffer, self.busy = server, b"", False
        self.keys: list[str] = []
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.connections += 1
        self.server._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._open.discard(self)
        self.server.lost += self.keys[-2:]
        self._idle()

    def abort(self) -> None:
        self.transport.abort()  # type: ignore[attr-defined]

    def _idle(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.server.in_flight -= self.busy
        self.busy = False

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end or self.busy:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.busy = True
        self.server.in_flight += 1
        self.server.peak = max(self.server.peak, self.server.in_flight)
        try:
            key, what, delay, good = self.server.arrived(first.split(" ")[1], headers, rest[:length])
        except Exception as e:  # noqa: BLE001  a fault of the test itself must reach the client, not hang it
            key, what, delay, good = "", error(418, f"the test server failed: {type(e).__name__}: {e}"), 0.0, False
        self.keys.append(key)
        if not what.hang:
            loop = asyncio.get_running_loop()
            self.timer = loop.call_later(delay, self._write, key, what, good)

    def _write(self, key: str, what: Fault, good: bool) -> None:
        server = self.server
        server.statuses[what.status] += 1
        if good:
            server.answered[key] += 1
        extra = "".join(f"{k}: {v}\r\n" for k, v in what.headers.items())
        head = f"HTTP/1.1 {what.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(what.body)}\r\n"
        self._idle()
        self.transport.write(f"{head}{extra}\r\n".encode() + what.body)  # type: ignore[attr-defined]
        if self.buffer:
            self.data_received(b"")


def wait_until(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is true; fail the test if it never is."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
