"""The transport on the official `openai` package, for users who need what it does with headers and TLS.

About ten times the CPU of the aiohttp transport (`specs/performance.md`, section 1). Its own retries are off: the
retry loop is in `engines/retry.py`. The package is imported when the transport is made, not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pipeline.engines.http.endpoint import Endpoint
from pipeline.engines.http.wire import Reply
from pipeline.engines.retry import Transient, classify_exception
from pipeline.types import Json


class OfficialTransport:
    """An `openai.AsyncOpenAI` that follows no redirects and reads no proxy settings; same arguments as aiohttp's."""

    def __init__(
        self, endpoint: Endpoint, max_connections: int, timeout_s: float, connect_timeout_s: float, max_body_bytes: int
    ) -> None:
        import httpx2
        import openai

        self._max_body_bytes = max_body_bytes
        self._response_type = httpx2.Response
        self._status_error = openai.APIStatusError
        self._client_error = openai.OpenAIError
        key = endpoint.key.get_secret_value() if endpoint.key is not None else "EMPTY"
        self._client = openai.AsyncOpenAI(
            api_key=key,
            base_url=endpoint.base,
            max_retries=0,
            timeout=httpx2.Timeout(timeout_s, connect=connect_timeout_s),
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False,
                trust_env=False,
                limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            ),
        )

    async def post(self, url: str, body: Mapping[str, Json], timeout_s: float) -> Reply:
        """See `Transport`; the deadline is ours, because the client's read time-out is for one read only."""
        failure: Exception
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._client.post(url, body=body, cast_to=self._response_type)
                return self._reply(answer.status_code, answer.headers, answer.content)
        except self._status_error as error:
            return self._reply(error.response.status_code, error.response.headers, error.response.content)
        except (self._client_error, OSError, TimeoutError, ValueError) as error:
            failure = classify_exception(error)
        raise failure  # outside the handler: see the aiohttp transport

    def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        if len(body) > self._max_body_bytes:
            raise Transient("bad_reply", f"the reply is longer than {self._max_body_bytes:,} bytes")
        return Reply(status, headers, body)

    async def close(self) -> None:
        """See `Transport`."""
        await self._client.close()
