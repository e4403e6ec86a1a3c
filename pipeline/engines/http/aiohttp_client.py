"""The transport on aiohttp: the hot path, about 0.15 ms of CPU a request (`specs/performance.md`, section 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping

import aiohttp

from pipeline.engines.http.endpoint import Endpoint
from pipeline.engines.http.wire import Reply
from pipeline.engines.retry import Transient, classify_exception
from pipeline.types import Json

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class AiohttpTransport:
    """One session with kept-alive connections, no redirects, no proxies, no cookies; needs a running loop.

    Args:
        endpoint: gives the key; the session sends it with every request, so it must only be used for this endpoint.
        max_connections: most connections at once.
        timeout_s: default for a whole exchange.
        connect_timeout_s: for the connection alone.
        max_body_bytes: a longer reply is a bad reply.
    """

    def __init__(
        self, endpoint: Endpoint, max_connections: int, timeout_s: float, connect_timeout_s: float, max_body_bytes: int
    ) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "prefmill"}
        if endpoint.key is not None:
            headers["Authorization"] = f"Bearer {endpoint.key.get_secret_value()}"
        self._max_body_bytes = max_body_bytes
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_timeout_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=max_connections, ttl_dns_cache=300, keepalive_timeout=30),
            headers=headers,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def post(self, url: str, body: Mapping[str, Json], timeout_s: float) -> Reply:
        """See `Transport`."""
        data = _encode(body).encode("ascii")
        timeout = self._timeout
        if timeout_s != timeout.total:
            timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout.sock_connect)
        try:
            async with self._session.post(url, data=data, timeout=timeout, allow_redirects=False) as response:
                return Reply(response.status, response.headers, await self._read(response))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            failure = classify_exception(error)
        raise failure  # outside the handler: what aiohttp raised may hold request headers and must not be chained

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length
        if length is not None and length <= self._max_body_bytes and "Content-Encoding" not in response.headers:
            return await response.read()
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_body_bytes:
                response.close()
                raise Transient("bad_reply", f"the reply is longer than {self._max_body_bytes:,} bytes")
        return bytes(body)

    async def close(self) -> None:
        """See `Transport`."""
        await self._session.close()
