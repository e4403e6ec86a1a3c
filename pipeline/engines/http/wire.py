"""What a transport is: it posts JSON and returns status, headers and body, or raises `Transient` or `EngineError`.

Knows no HTTP library and nothing about what the bodies mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pipeline.types import Json


class Reply(NamedTuple):
    """An answer as it came: any status, headers with case-insensitive keys, the decompressed body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends one request, once: no retries, no redirects, no proxies, no cookies."""

    async def post(self, url: str, body: Mapping[str, Json], timeout_s: float) -> Reply:
        """Post `body` as JSON and read the whole answer within `timeout_s` seconds.

        Raises:
            Transient: no complete answer; the exception chain holds nothing of the HTTP library.
            EngineError: a fault that trying again cannot cure (certificate, too many open files).
        """

    async def close(self) -> None:
        """Drop all connections; safe to call twice."""
