"""Read a list out of a model's reply: a JSON array, or a numbered or bulleted list. Prose is refused.

Tolerant about wrapping (code fence, one line of introduction, bold names), strict about content: what is not clearly
a list raises `ValueError`, so that the caller can ask again instead of keeping debris.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from stages.replies.fences import FENCE, json_of

_ITEM = re.compile(r"[ \t]*(?:\(?\d{1,3}[.)]|[-*•])[ \t]+(.+)")
_NAMED = re.compile(r"(?:\*\*)?([^:*]{1,80}?)(?:\*\*)?[ \t]*(?:\*\*)?:(?:\*\*)?[ \t]+(.+)")
_MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list: its name as written, and what the reply says about it."""

    raw: str
    definition: str | None = None
    examples: tuple[str, ...] = ()


def parse_list(reply: str) -> list[Item]:
    """Return the entries of the one list in a reply, in order, duplicates included.

    Raises:
        ValueError: saying what was found instead of a list.
    """
    text = _unwrapped(reply.strip())
    items = _json_items(text) if text.startswith("[") else _line_items(text)
    if not items:
        raise ValueError("the list is empty")
    return items


def normalised(name: str) -> str:
    """Return a name as `[a-z0-9_]+`: accents dropped, everything else to single underscores; may be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")


def _unwrapped(text: str) -> str:
    """Take the text out of a single code fence, and drop one introducing line that ends with a colon."""
    fenced = FENCE.findall(text)
    if len(fenced) == 1 and not _prose_around(text):
        return str(fenced[0]).strip()
    first, _, rest = text.partition("\n")
    if first.rstrip().endswith(":") and not _ITEM.fullmatch(first) and rest.strip():
        return rest.strip()
    return text


def _prose_around(text: str) -> bool:
    around = FENCE.sub("", text).strip()
    return bool(around) and not (around.endswith(":") and "\n" not in around)


def _json_items(text: str) -> list[Item]:
    return [_json_item(v) for v in json_of(text)]


def _json_item(value: Any) -> Item:
    if isinstance(value, str):
        return Item(_name(value))
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"an entry is {type(value).__name__} without a text 'name'; expected text or an object")
    definition, examples = value.get("definition"), value.get("examples") or []
    if not isinstance(definition, str | None) or not _all_text(examples):
        raise ValueError("an entry's 'definition' is no text, or its 'examples' are no list of texts")
    return Item(_name(value["name"]), _or_none(definition), tuple(e.strip() for e in examples))


def _line_items(text: str) -> list[Item]:
    items: list[Item] = []
    for line in filter(str.strip, text.splitlines()):
        found = _ITEM.fullmatch(line.rstrip())
        if not found:
            raise ValueError(f"a line is no list entry but prose of {len(line.split())} words")
        named = _NAMED.fullmatch(found[1])
        items.append(Item(_name(named[1]), named[2].strip()) if named else Item(_name(found[1])))
    return items


def _name(text: str) -> str:
    name = text.strip().strip("*`\"'“”").strip().rstrip(".").rstrip()
    if not normalised(name) or len(name) > _MAX_NAME:
        raise ValueError(
            f"an entry has a name of {len(name)} characters; expected 1 to {_MAX_NAME} with letters or digits"
        )
    return name


def _all_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _or_none(text: str | None) -> str | None:
    return (text or "").strip() or None
