"""Read one field out of a judge's reply that should be a JSON object, forgiving about JSON and strict about content.

Models wrap the object in a fence, leave a trailing comma, or write line breaks into strings. Where no JSON can be read,
the field alone is looked for, quoted or unquoted, as WildBench's evaluation code does (arXiv:2406.04770); other than
there, a reply that gives the field twice with different values is refused instead of read from the front, and so is a
field that may have been quoted from what was judged.
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

    What comes before the fence is not read; a fence with words after it may hold what a judge quotes, and is none.

    Raises:
        Unusable: if the object gives a field twice with different values.
    """
    text = unfenced(reply)
    fenced = FENCE.findall(text)
    if not text.startswith("{") and len(fenced) == 1 and text.endswith("```"):
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


def loose_field(reply: str, name: str, values: str, found_as: str | None = None) -> str | None:
    """Return the one value of a field in text that is no JSON object, or None if it is nowhere.

    A value that begins a list of values ("A++, A+ or B+", "8 or 9") is none: it repeats the form, or wavers. In a
    reply with a brace the field must stand where an object or a line has one, since a judge may quote in its reasons
    what the judged text says of itself.

    Args:
        reply: the reply.
        name: the field.
        values: regular expression of the values that are allowed, without groups.
        found_as: of what is taken for a value, if that is more: what is found then is for the caller to refuse.

    Raises:
        Unusable: if there are two different values.
    """
    listed = rf'(?!["*]*[ \t]*(?:[,/–—-]|or\b|to\b|and\b)[\s"*]*(?:{values})(?![\w+=]))'
    field = rf'{name}["*]*\s*:["*\s]*({found_as or values})(?![\w+=./-]){listed}'
    found = re.findall(rf"(?<![\w\\]){field}", reply, re.IGNORECASE)
    if not found:
        return None
    value = only_one(found, name)
    placed = rf'(?:[{{,]\s*|^[ \t]*)["*]*{field}'
    if "{" in reply and not re.search(placed, reply, re.IGNORECASE | re.MULTILINE):
        raise Unusable(f"the reply is no JSON, and gives {name} in the middle of a text only")
    return value


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
