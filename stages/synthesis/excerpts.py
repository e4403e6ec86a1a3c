"""Cut a text that is too long for a request, where a reader would stop. Pure; knows no document and no model."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s)")


def cut_text(text: str, limit: int) -> tuple[str, bool]:
    """Return the beginning of a text, at most `limit` characters, and whether anything was cut off.

    The cut is after the last paragraph in the second half of what fits, else after the last sentence there, else at
    the last white space there, else at the limit.
    """
    if len(text) <= limit:
        return text, False
    head = text[: limit + 1]
    half = limit // 2
    ends = [head.rfind("\n\n", half), max((m.end() for m in _SENTENCE_END.finditer(head, half)), default=-1)]
    ends += [max(head.rfind(space, half) for space in (" ", "\n", "\t"))]
    end = next((e for e in ends if e > 0), limit)
    return text[: min(end, limit)].rstrip(), True
