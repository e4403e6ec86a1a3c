"""The baseline of the sampling benchmarks: a bounded pool of aiohttp posts, nothing kept but the texts.

python benchmarks/raw_client.py URL ROWS [CONCURRENCY]
"""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp

from benchmarks.harness import PROMPT


async def main(url: str, rows: int, concurrency: int) -> None:
    texts: list[str | None] = [None] * rows
    numbers = iter(range(rows))
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def worker() -> None:
            for i in numbers:
                messages = [{"role": "user", "content": PROMPT.format(i=i)}]
                body = {"model": "mock-model", "messages": messages, "max_tokens": 512}
                async with session.post(url + "/v1/chat/completions", json=body) as reply:
                    reply.raise_for_status()
                    texts[i] = json.loads(await reply.read())["choices"][0]["message"]["content"]

        await asyncio.gather(*(worker() for _ in range(concurrency)))
    missing = texts.count(None)
    if missing:
        sys.exit(f"{missing} rows without an answer")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 256))
