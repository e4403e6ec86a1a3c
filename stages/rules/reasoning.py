"""Part a reply into the reasoning that a model wrote for itself and the text that it wrote for the reader.

Reasoning models put the first between `<think>` and `</think>`; where the chat template opens the tag, only the closing
one is in the reply. A server that takes the reasoning out of the reply leaves none here: tell it to leave it in.
"""

from __future__ import annotations

import re

from stages.replies.asking import Unusable

_OPEN, _CLOSE = "<think>", "</think>"
_CLOSING = re.compile(_CLOSE, re.IGNORECASE)
_TAG = re.compile("</?think>", re.IGNORECASE)


def split_reasoning(reply: str) -> tuple[str | None, str]:
    """Return the reasoning, None if there is none, and what stands after it, both without white space around them.

    Raises:
        Unusable: if a tag is opened and not closed, or comes a second time: which part is which cannot be told.
    """
    found = _CLOSING.search(reply)
    reasoning, rest = (reply[: found.start()].strip(), reply[found.end() :]) if found else ("", reply)
    if reasoning[: len(_OPEN)].lower() == _OPEN:
        reasoning = reasoning[len(_OPEN) :].strip()
    if _TAG.search(reasoning) or _TAG.search(rest):
        raise Unusable("the reply has a <think> tag that does not open and close one block at its beginning")
    return reasoning or None, rest.strip()
