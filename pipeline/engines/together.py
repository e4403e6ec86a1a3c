"""Run the parts of one request side by side, as one: all results, or the first error with nothing left running."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

Part = TypeVar("Part")


async def all_or_first_error(parts: Sequence[Coroutine[Any, Any, Part]]) -> list[Part]:
    """Return the results in order; on the first error, or a cancellation, end the other parts and raise it."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
