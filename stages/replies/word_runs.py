"""Find runs of words that a text shares with others: how a reply that copies its prompt is told."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return _WORD.findall(text.casefold())


def shared_run(text: str, others: Sequence[str], words: int) -> str | None:
    """Return the first run of `words` words of a text that is in one of the others, else None."""
    mine = words_of(text)
    runs = [tuple(mine[i : i + words]) for i in range(len(mine) - words + 1)]
    if not runs:
        return None
    wanted, seen = set(runs), set()
    for other in others:
        theirs = words_of(other)
        seen |= wanted.intersection(zip(*(theirs[i:] for i in range(words)), strict=False))
    return next((" ".join(run) for run in runs if run in seen), None)
