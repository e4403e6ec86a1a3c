"""Ask several things at once on behalf of one row, so that a resumed run decides as the first one would have.

Every request ends before anything is decided: what was answered is journaled, and which refusal is told does not depend
on which came first. What ends the run comes before what refuses a row. Knows nothing about what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from pipeline.api import RowError

Answered = TypeVar("Answered")


async def each_of(asked: Iterable[Awaitable[Answered]]) -> list[Answered | RowError]:
    """Return each answer in order, or why it was refused, after every request has ended.

    Raises:
        BaseException: the first in order that is no `RowError`.
    """
    out: list[Answered | RowError] = []
    for found in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(found, BaseException) and not isinstance(found, RowError):
            raise found
        out.append(found)
    return out


async def all_of(asked: Iterable[Awaitable[Answered]]) -> list[Answered]:
    """Return all answers in order, after every request has ended.

    Raises:
        BaseException: the first in order that is no `RowError`.
        RowError: the first in order, if nothing worse happened.
    """
    out: list[Answered] = []
    for found in await each_of(asked):
        if isinstance(found, RowError):
            raise found
        out.append(found)
    return out
