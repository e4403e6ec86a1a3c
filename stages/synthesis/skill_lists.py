"""Read the names of topics, skills or query types out of a model's reply.

The reply is a JSON object with the key `items`, a JSON array, or a numbered or bulleted list. Small models chatter
after a list, so what follows a list of lines is left unread; what stands in the list is held to the form of a name.
Knows no stage and asks nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from pipeline.api import Json
from stages.replies.lists import Item, normalised, parse_list

MOST_CHARACTERS, MOST_WORDS = 80, 8
_DEFINITION_CHARACTERS = 600
_ENTRY = re.compile(r"[ \t]*(?:\(?\d{1,3}[.)]|[-*•])[ \t]+\S.*")
_NAME = re.compile(r"(?!\d+[.)])[^\W_][\w \-'’/&,().+#!?]*")
_PLACEHOLDER = re.compile(r"(?:numbered_)?(?:skill|topic|query_type|item|example|name|list|line)s?(?:_[0-9]{1,3})?")

ITEMS_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "string"}}},
    "required": ["items"],
    "additionalProperties": False,
}
"""Schema of a list of bare names; the root is an object, since some servers take no other."""


def described_schema(*fields: str) -> Mapping[str, Json]:
    """Return the schema of a list of names with a `definition`, and with `examples` if it is among `fields`."""
    text: Json = {"type": "string"}
    kinds: dict[str, Json] = {"name": text, "definition": text, "examples": {"type": "array", "items": text}}
    names: list[Json] = ["name", *fields]
    entry: Json = {
        "type": "object",
        "properties": {str(name): kinds[str(name)] for name in names},
        "required": names,
        "additionalProperties": False,
    }
    return {**ITEMS_SCHEMA, "properties": {"items": {"type": "array", "items": entry}}}


def parse_names(reply: str, most: int) -> list[Item]:
    """Return the first `most` entries of the list in a reply, the first of each normalised name.

    Raises:
        ValueError: if there is no list, if an entry is no name (a sentence, markup, a placeholder), or if a list of
            several entries says one name over and over.
    """
    found = parse_list(_array_of(reply.strip()) or _lines_of(reply.strip(), most))[:most]
    items = [replace(item, raw=item.raw.rstrip(" ,;")) for item in found]
    for item in items:
        check_name(item.raw)
        if item.definition is not None and len(item.definition) > _DEFINITION_CHARACTERS:
            raise ValueError(f"a definition has {len(item.definition)} characters; at most {_DEFINITION_CHARACTERS}")
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(normalised(item.raw), item)
    if len(items) > 1 and len(first) == 1:
        raise ValueError(f"all {len(items)} entries say the same")
    return list(first.values())


def check_name(name: str) -> None:
    """Raise `ValueError` unless a text can be the name of a topic, skill or query type."""
    words = name.split()
    if len(name) > MOST_CHARACTERS or len(words) > MOST_WORDS:
        raise ValueError(f"an entry of {len(words)} words and {len(name)} characters is no name")
    if not _NAME.fullmatch(name) or not re.search(r"[a-z]{2}", normalised(name)) or re.search(r"\d{5}", name):
        raise ValueError("an entry holds markup, a long number, or no letters where a name should be")
    if _PLACEHOLDER.fullmatch(normalised(name)):
        raise ValueError("an entry is a placeholder, no name")


def _array_of(text: str) -> str | None:
    """Return the array under `items` as JSON text, if the reply is such an object, in a code fence or not."""
    start, end = text.find("{"), text.rfind("}")
    before, after = text[: max(start, 0)].strip(), text[end + 1 :].strip()
    if start < 0 or (before and not before.startswith("```")) or after.strip("`").strip():
        return None
    try:
        value = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    return json.dumps(value["items"]) if isinstance(value, dict) and isinstance(value.get("items"), list) else None


def _lines_of(text: str, most: int) -> str:
    """Return the first entries of a list of lines without what follows them; any other reply as it is."""
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and lines[0].rstrip().endswith(":") and not _ENTRY.fullmatch(lines[0]):
        lines = lines[1:]
    entries: list[str] = []
    for line in lines:
        if len(entries) == most or not _ENTRY.fullmatch(line):
            break
        entries.append(line)
    return "\n".join(entries) if len(entries) >= min(2, most) else text
