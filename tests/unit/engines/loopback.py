"""Servers on 127.0.0.1 with scripted replies, for tests of HTTP engines: real sockets, nothing patched."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from pipeline.engines.openai import OpenAIConfig, OpenAIEngine
from pipeline.errors import PipelineError, RowError
from pipeline.types import GenRequest

HELLO = GenRequest(messages=({"role": "user", "content": "hello"},), max_tokens=16, seed=7)
FAST = {"backoff_s": 0.002, "backoff_max_s": 0.01, "timeout_s": 5.0, "deadline_s": 20.0}


@dataclass
class Answer:
    """One scripted reply; `body` is JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    json: Any


Script = Sequence[Answer] | Callable[[Seen], Answer]


class Loopback:
    """An aiohttp server; takes answers in order, the last one for ever, or from a function of the request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.url = self.origin + "/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        seen = Seen(request.path, dict(request.headers), json.loads(await request.read() or b"null"))
        self.seen.append(seen)
        script = self.script
        answer = script(seen) if callable(script) else script[min(len(self.seen), len(script)) - 1]
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(status=answer.status, body=raw, headers=headers)


class RawLoopback:
    """A socket server that reads one request a connection and then lets `reply` write what it likes."""

    def __init__(self, reply: Callable[[asyncio.StreamWriter, int], Awaitable[None]]) -> None:
        self.reply = reply
        self.connections = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._answer(reader, writer, self.connections))
        self._tasks.add(task)
        await asyncio.wait([task])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            await self.reply(writer, number)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


def chat(*texts: str | None, finish: str = "stop", usage: Any = None, **extra: Any) -> dict[str, Any]:
    """Return the body of a chat completion with one choice a text."""
    choices = [
        {"index": i, "finish_reason": finish, "message": {"role": "assistant", "content": t}, **extra}
        for i, t in enumerate(texts)
    ]
    return {
        "id": "x",
        "object": "chat.completion",
        "model": "m",
        "choices": choices,
        "usage": usage or {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def refusal(message: str = "no", code: Any = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    """Return an error body in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


GOOD = Answer(chat("fine"))


def engine(url: str, **options: Any) -> OpenAIEngine:
    """Return an engine with tiny waits, not yet opened."""
    return OpenAIEngine(OpenAIConfig(**{"model": "m", "base_url": url, **FAST, **options}), random.Random(0))


def talk(server: Loopback | RawLoopback, job: Callable[[OpenAIEngine], Awaitable[Any]], **options: Any) -> Any:
    """Run `job` with an open engine on a running server; an exception is returned, not raised."""

    async def main() -> Any:
        async with server:
            asking = engine(server.url, **options)
            await asking.open()
            try:
                return await job(asking)
            except (PipelineError, RowError, TypeError) as error:
                return error
            finally:
                await asking.close()

    return asyncio.run(main())


def ask(script: Script, request: GenRequest = HELLO, **options: Any) -> tuple[Any, list[Seen]]:
    """Return the result (or exception) of one request to a scripted server, and what the server saw."""
    server = Loopback(script)
    return talk(server, lambda e: e.generate(request), **options), server.seen


def dead_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
