"""Ask several things at once on behalf of one row, so that a resumed run decides as the first one would have."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from pipeline.api import RowError

Answered = TypeVar("Answered")


async def all_of(asked: Sequence[Coroutine[Any, Any, Answered]]) -> list[Answered]:
    """Return all answers in order, after every request has ended.

    Raises:
        RowError: the first in order, if nothing worse happened. What ends the run comes before what refuses a row.
    """
    found = await asyncio.gather(*asked, return_exceptions=True)
    failed = [e for e in found if isinstance(e, BaseException)]
    for error in sorted(failed, key=lambda e: isinstance(e, RowError)):
        raise error
    return [a for a in found if not isinstance(a, BaseException)]
