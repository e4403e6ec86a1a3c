"""Read one field out of a judge's reply that should be a JSON object, forgiving about JSON and strict about content.

Models wrap the object in a fence, leave a trailing comma, or write line breaks into strings. Where no JSON can be read,
the field alone is looked for, quoted first and unquoted second, as WildBench's evaluation code does (arXiv:2406.04770);
other than there, a reply that gives the field twice with different values is refused instead of read from the front.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from stages.replies.asking import Unusable
from stages.replies.fences import FENCE, unfenced

_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


def reply_object(reply: str) -> dict[str, Any] | None:
    """Return the JSON object that a reply is, alone or in its only fence, or None if it is none.

    Raises:
        Unusable: if the object gives a field twice with different values.
    """
    text = unfenced(reply)
    fenced = FENCE.findall(text)
    if not text.startswith("{") and len(fenced) == 1:
        text = fenced[0].strip()
    if not text.startswith("{"):
        return None
    for candidate in (text, _TRAILING_COMMA.sub(r"\1", text)):
        try:
            value = json.loads(candidate, strict=False, object_pairs_hook=_once)
        except (json.JSONDecodeError, RecursionError):
            continue
        return value if isinstance(value, dict) else None
    return None


def loose_field(reply: str, name: str, values: str) -> str | None:
    """Return the one value of a field in text that is no JSON object, or None if it is nowhere.

    Args:
        reply: the reply.
        name: the field.
        values: regular expression of the values that are allowed, without groups.

    Raises:
        Unusable: if there are two different values.
    """
    quoted = rf'(?<![\w\\])"{name}"\s*:\s*"\s*({values})\s*"'
    unquoted = rf'(?<![\w\\"])["*]*{name}["*]*\s*:\s*["*\s]*({values})(?![\w+=./-])'
    for pattern in (quoted, unquoted):
        if found := re.findall(pattern, reply, re.IGNORECASE):
            return only_one(found, name)
    return None


def only_one(found: Sequence[str], what: str) -> str:
    """Return the value that all of `found` are; it must not be empty.

    Raises:
        Unusable: if they differ.
    """
    if len(set(found)) > 1:
        raise Unusable(f"the reply gives {what} more than once, and not the same: {', '.join(sorted(set(found)))}")
    return found[0]


def text_of(value: Any) -> str | None:
    """Return what a judge wrote under a heading as text: a text, or a list of texts as lines; None for all else."""
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        value = "\n".join(f"- {v.strip()}" for v in value)
    return (value.strip() or None) if isinstance(value, str) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, and refuse a field with two values: `json` would silently keep the last."""
    out: dict[str, Any] = {}
    for name, value in pairs:
        if name in out and out[name] != value:
            raise Unusable(f"the reply gives '{name}' twice, with different values")
        out[name] = value
    return out
