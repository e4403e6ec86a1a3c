"""Read a rubric, and verdicts on its items, out of a model's reply: JSON, or one line for each.

Strict about a rubric: what is not clearly a list of different criteria, each with an importance, is refused. Of
verdicts, each stands for itself: one that is neither yes nor no, is missing, or is given twice and differs, is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.api import Json
from stages.judging.reply_lists import LONGEST, entry_lines, require_distinct
from stages.judging.reply_objects import reply_object
from stages.judging.rubric_items import IMPORTANCES, RubricItem
from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced
from stages.replies.word_runs import words_of

_TAG = r"([A-Za-z]+|-?[1-5])"
_TAGGED = (
    re.compile(rf"\**[\[(]\**\s*{_TAG}\s*\**[\])]\**\s*[:–—-]?\s*(.+)"),
    re.compile(rf"\**{_TAG}\**\s*[:–—-]\**\s+(.+)"),
)
_NUMBERED = re.compile(r"[\s*(\[]*(?:item\s*)?(\d{1,3})[\s*)\].:–—-]+(?:verdict\s*:[\s*]*)?(yes|no)\b[\s*.]*", re.I)
_YES = {"yes": True, "no": False, "true": True, "false": False}


def rubric_schema(least: int, most: int) -> Mapping[str, Json]:
    """Return the JSON schema of a rubric with that many items."""
    item = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "importance": {"type": "string", "enum": list(IMPORTANCES)}},
        "required": ["text", "importance"],
        "additionalProperties": False,
    }
    return _object("rubric", {"type": "array", "items": item, "minItems": least, "maxItems": most})


def verdicts_schema(items: int) -> Mapping[str, Json]:
    """Return the JSON schema of verdicts on that many items."""
    verdict = {
        "type": "object",
        "properties": {
            "item": {"type": "integer", "minimum": 1, "maximum": items},
            "verdict": {"type": "string", "enum": ["yes", "no"]},
        },
        "required": ["item", "verdict"],
        "additionalProperties": False,
    }
    return _object("verdicts", {"type": "array", "items": verdict, "minItems": items, "maxItems": items})


def read_rubric(reply: str, least: int, most: int, weights: Mapping[str, float]) -> list[RubricItem]:
    """Return the items of a reply, in order.

    Args:
        reply: the reply.
        least: fewest items.
        most: most items.
        weights: the weight of each importance; that of `pitfall` is negative. Whole numbers from -5 to 5 in place of a
            name are weights themselves.

    Raises:
        Unusable: saying what is wrong.
    """
    text = unfenced(reply)
    entries = _json_entries(text, "rubric") if text.startswith(("{", "[")) else [_tagged(e) for e in entry_lines(text)]
    items = [_item(entry, weights) for entry in entries]
    require_distinct([item.text for item in items], least, most, "items")
    if all(item.weight < 0 for item in items):
        raise Unusable("all items are pitfalls; at least one must be something to fulfil")
    return items


def read_verdicts(reply: str, items: int) -> list[bool | None]:
    """Return the verdict on each item, in order, None where there is not exactly one.

    Raises:
        Unusable: if the reply holds no verdicts, names an item that is not there, or fewer than half can be read (code
            `too_few`).
    """
    text = unfenced(reply)
    given: dict[int, set[bool | None]] = {}
    for number, verdict in _numbered(text):
        if not 1 <= number <= items:
            raise Unusable(f"the reply names item {number} of {items}")
        given.setdefault(number, set()).add(verdict)
    found = [given.get(n, {None}) for n in range(1, items + 1)]
    verdicts = [next(iter(v)) if len(v) == 1 else None for v in found]
    read = sum(v is not None for v in verdicts)
    if 2 * read < items:
        raise Unusable(f"{read} of {items} items have a verdict that can be read", "too_few")
    return verdicts


def _numbered(text: str) -> list[tuple[int, bool | None]]:
    if not text.startswith(("{", "[")):
        return [(int(f[1]), _YES.get(f[2].lower())) for line in text.splitlines() if (f := _NUMBERED.fullmatch(line))]
    out = []
    for entry in _json_entries(text, "verdicts"):
        if not isinstance(entry, dict) or type(entry.get("item")) is not int:
            raise Unusable("an entry of 'verdicts' has no whole number 'item'")
        out.append((entry["item"], _YES.get(str(entry.get("verdict")).strip().lower())))
    return out


def _json_entries(text: str, name: str) -> Sequence[Any]:
    value = (reply_object(text) or {}).get(name) if text.startswith("{") else json_of(text)
    if not isinstance(value, list):
        raise Unusable(f"the JSON has no list '{name}'")
    return value


def _tagged(entry: str) -> dict[str, str]:
    found = _TAGGED[0].fullmatch(entry) or _TAGGED[1].fullmatch(entry)
    return {"importance": found[1], "text": found[2]} if found else {}


def _item(entry: Any, weights: Mapping[str, float]) -> RubricItem:
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
        raise Unusable("an entry is no object with a text 'text'")
    text, importance = entry["text"].strip().strip("*").strip(), str(entry.get("importance")).strip().lower()
    if not words_of(text) or len(text) > LONGEST:
        raise Unusable(f"an entry has a text of {len(text)} characters; expected words, at most {LONGEST} characters")
    if importance in weights:
        return RubricItem(text, importance, float(weights[importance]))
    if re.fullmatch(r"-?[1-5]", importance):
        return RubricItem(text, None, float(importance))
    raise Unusable(f"an entry's importance is {importance[:20]!r}; expected {', '.join(IMPORTANCES)}")


def _object(name: str, array: Mapping[str, Json]) -> Mapping[str, Json]:
    return {"type": "object", "properties": {name: array}, "required": [name], "additionalProperties": False}
