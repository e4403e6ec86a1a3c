"""Read a quality from 1 to 5, and its reason, out of a judge's reply. Strict: what is not clearly one grade is refused.

Three forms are read: a bare number, a last line `Quality: N`, a JSON object with `quality` and `reason`. 2.5, 10, 4/10,
a range, two different grades, and prose without a grade are refused, never rounded and never guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from stages.replies.fences import json_of, unfenced

QUALITIES = ("1", "2", "3", "4", "5")
QUALITY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "quality": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
    "required": ["reason", "quality"],
    "additionalProperties": False,
}
_BARE = re.compile(r"\**([1-5])\**(?: ?/ ?5| out of 5)?\.?")
_LABEL = re.compile(r"\W*quality\W*:", re.IGNORECASE)
_LABELLED = re.compile(r"[*_#\s]*quality[*_\s]*:[*_\s]*([1-5])(?: ?/ ?5| out of 5)?[*_.\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quality:
    """A grade from 1 to 5, and the judge's reason if it gave one."""

    grade: int
    reason: str | None


def parse_number(reply: str) -> Quality:
    """Return the grade of a reply that is a grade and nothing else, with or without its label.

    Raises:
        ValueError: saying what was found.
    """
    found = _BARE.fullmatch(reply.strip()) or _LABELLED.fullmatch(reply.strip())
    if not found:
        raise ValueError(f"{_told(reply)} is no whole number from 1 to 5")
    return Quality(int(found[1]), None)


def parse_reasoned(reply: str) -> Quality:
    """Return the grade and the reason of a reply: a JSON object, or a reason and a last line `Quality: N`.

    Raises:
        ValueError: saying what was found.
    """
    text = unfenced(reply)
    return _from_json(text) if text.startswith("{") else _from_lines(text)


def _from_json(text: str) -> Quality:
    value = json_of(text)
    grade, reason = value.get("quality"), value.get("reason")
    if type(grade) is not int or not 1 <= grade <= 5:
        raise ValueError(f"'quality' is {_told(json.dumps(grade))}; expected a whole number from 1 to 5")
    if not isinstance(reason, str | None):
        raise ValueError(f"'reason' is {type(reason).__name__}; expected text")
    return Quality(grade, (reason or "").strip() or None)


def _from_lines(text: str) -> Quality:
    lines = text.splitlines()
    labelled = [line for line in lines if _LABEL.match(line)]
    if len(labelled) != 1 or lines[-1] is not labelled[0]:
        raise ValueError(f"{len(labelled)} lines 'Quality: N' where one, the last, is expected")
    found = _LABELLED.fullmatch(labelled[0])
    if not found:
        raise ValueError(f"{_told(labelled[0])} names no whole number from 1 to 5")
    return Quality(int(found[1]), "\n".join(lines[:-1]).strip() or None)


def _told(text: str) -> str:
    shown = text.strip()
    return f"'{shown}'" if len(shown) <= 20 and shown.isprintable() else f"a text of {len(shown)} characters"
