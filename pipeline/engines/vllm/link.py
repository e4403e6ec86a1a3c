"""The line between a run and the host process of a model: JSON messages, each behind its length in four bytes.

No object of ours or vLLM's crosses it, so either side may be of another version, and nothing is unpickled.
"""

from __future__ import annotations

import asyncio
import json
import socket

from pipeline.types import Json

_MOST_BYTES = 1 << 30


class Link:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the two halves of an open stream."""
        self._reader, self._writer = reader, writer

    @staticmethod
    async def over(end: socket.socket) -> Link:
        """Return a link over one end of a socket pair."""
        return Link(*await asyncio.open_connection(sock=end))

    def send(self, message: Json) -> None:
        """Queue a message; a broken line shows on the next `receive`."""
        raw = json.dumps(message, separators=(",", ":")).encode("ascii")
        if not self._writer.is_closing():
            self._writer.write(len(raw).to_bytes(4, "big") + raw)

    async def flush(self) -> None:
        """Wait until most of what was queued is on its way."""
        await self._writer.drain()

    async def receive(self) -> Json | None:
        """Return the next message, None when the other side is gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > _MOST_BYTES:
                return None
            return json.loads(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return None

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
