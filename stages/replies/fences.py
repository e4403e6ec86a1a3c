"""Take a reply out of its code fence, and read it as JSON. Knows nothing about what the JSON should hold."""

from __future__ import annotations

import json
import re
from typing import Any

from stages.replies.asking import Unusable

FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
"""A fenced block; its group is what stands in it."""


def unfenced(reply: str) -> str:
    """Return a reply without white space around it, and without a fence that holds all of it."""
    text = reply.strip()
    fenced = FENCE.fullmatch(text)
    return fenced[1].strip() if fenced else text


def json_of(text: str) -> Any:
    """Return the JSON value of a text that looks like JSON.

    Raises:
        Unusable: if it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise Unusable(f"the reply starts like JSON but is none: {e}") from None
