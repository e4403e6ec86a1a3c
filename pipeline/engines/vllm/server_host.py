"""A started server in the shape of a host: it takes the messages that `calls.py` sends and answers in its words.

Requests go through the client of the kind `openai`, which retries what is worth retrying while the server lives. When
the server ends, is dead by its own health check, or keeps refusing, `calls.py` starts the next one and asks again
what was in flight. Once a second it tells how far the server is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from pipeline.engines.http.endpoint import Endpoint
from pipeline.engines.openai import OpenAIEngine
from pipeline.engines.vllm.host import read_generation, read_scoring
from pipeline.engines.vllm.server_probe import Probe
from pipeline.engines.vllm.server_process import ServerProcess, reserve_port
from pipeline.errors import EngineError, PipelineError, PrerequisiteError, RowError, Stopped
from pipeline.types import Json

_BEAT_S = 1.0
_ASK_AGAIN_S = 0.5
_DEAD = 503

MakeClient = Callable[[Endpoint], OpenAIEngine]
"""Returns a client, not yet opened."""


class ServerHost:
    """A healthy server with its client; `start` makes it."""

    def __init__(self, process: ServerProcess, probe: Probe, client: OpenAIEngine, name: str) -> None:
        """Take a healthy server and an open client; `name` is what results carry as `model`."""
        self._process, self._probe, self._client, self._name = process, probe, client, name
        self._said: asyncio.Queue[Json | None] = asyncio.Queue()
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._watching = [asyncio.create_task(self._tell_end()), asyncio.create_task(self._beat())]

    @staticmethod
    async def start(
        command: Sequence[str], environment: Mapping[str, str], client: MakeClient, name: str, timeout_s: float
    ) -> tuple[ServerHost, dict[str, Json]]:
        """Start a server on a free port with a key of its own and wait until it is healthy.

        Args:
            command: to which host and port are added.
            environment: of the server, to which the key is added.
            client: makes the client of an endpoint.
            name: what results carry as `model`.
            timeout_s: most seconds until it is healthy.

        Returns:
            The host, and what the server says of itself.

        Raises:
            PrerequisiteError: it ended, and said something that the user must change.
            EngineError: it ended otherwise, was not healthy in time, or another program has its port.
        """
        key = secrets.token_urlsafe(32)
        with reserve_port() as kept:
            port = kept.getsockname()[1]
            words = [*command, "--host", "127.0.0.1", "--port", str(port)]
            process = await ServerProcess.start(words, {**environment, "VLLM_API_KEY": key})
            endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", SecretStr(key))
            probe, asking = Probe(endpoint), client(endpoint)
            try:
                await _healthy(process, probe, timeout_s)
                facts: dict[str, Json] = {"vllm": await probe.version()}
                await asking.open()
            except BaseException:
                await process.kill()
                await probe.close()
                raise
        return ServerHost(process, probe, asking, name), facts

    @property
    def pid(self) -> int:
        """Return the process group in which the server and all it started are."""
        return self._process.pid

    def send(self, message: Json) -> None:
        """Begin or abort a request."""
        if message["op"] == "abort":
            task = self._asked.get(message["id"])
            if task is not None:
                task.cancel()
        else:
            self._asked[message["id"]] = asyncio.create_task(self._answer(message))

    async def receive(self) -> Json | None:
        """Return the next message, None when the server is gone."""
        return await self._said.get()

    def last_words(self) -> str:
        """Return the last lines of its log, fit for an error text."""
        return self._process.last_words()

    async def stop(self) -> None:
        """End requests, then the server, with a grace."""
        await self._leave()
        await self._process.stop()

    async def kill(self) -> None:
        """End requests and kill the server with all it started; safe to call twice."""
        await self._leave()
        await self._process.kill()

    async def _leave(self) -> None:
        tasks = [*self._watching, *self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()
        await self._probe.close()
        self._said.put_nowait(None)

    async def _answer(self, message: Mapping[str, Json]) -> None:
        number = message["id"]
        try:
            self._said.put_nowait({"id": number, "ok": await self._do(message["op"], message["body"])})
        except RowError as error:
            if error.code == "engine.exhausted" and await self._probe.health() != 200:
                self._said.put_nowait({"dead": f"a request failed: {error.message}"})
            else:
                self._said.put_nowait({"id": number, "reject": [error.code, error.message]})
        except Stopped as error:
            self._said.put_nowait({"dead": str(error)})
        except PipelineError as error:
            self._said.put_nowait({"id": number, "error": str(error)})
        finally:
            self._asked.pop(number, None)

    async def _do(self, op: str, body: Mapping[str, Json]) -> Json:
        if op == "generate":
            drawn = await self._client.generate(read_generation(body))
            return dataclasses.replace(drawn, model=self._name).to_json()
        scored = await self._client.score_tokens(read_scoring(body))
        return dataclasses.replace(scored, model=self._name).to_json()

    async def _tell_end(self) -> None:
        await self._process.ended()
        self._said.put_nowait(None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            if counters := await self._probe.counters():
                self._said.put_nowait({"beat": counters})
            if await self._probe.health() == _DEAD:
                self._said.put_nowait({"dead": "its health check says that the engine behind it is dead"})
                return


async def _healthy(process: ServerProcess, probe: Probe, timeout_s: float) -> None:
    """Wait until the server is healthy and knows our key, which no other program on that port does."""
    ended = asyncio.create_task(process.ended())
    try:
        async with asyncio.timeout(timeout_s):
            while await probe.health() != 200:
                await asyncio.wait({ended}, timeout=_ASK_AGAIN_S)
                if ended.done():
                    raise process.why_it_ended()
    except TimeoutError:
        raise EngineError(
            f"the server was not healthy after {timeout_s:g} s (start_timeout_s); {process.last_words()}"
        ) from None
    finally:
        ended.cancel()
    try:
        await probe.served()
    except PrerequisiteError as error:
        raise EngineError(f"the server does not answer as the one that was started: {error}") from error
