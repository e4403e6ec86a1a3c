"""Read a list of yes-or-no questions out of a model's reply: JSON, or one numbered or bulleted line for each.

Strict: prose around the list, an entry that is no question, a question that comes twice, too few and too many are
refused, so that the caller can ask again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.api import Json
from stages.judging.reply_lists import LONGEST, entry_lines, require_distinct
from stages.judging.reply_objects import reply_object
from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced
from stages.replies.word_runs import words_of


def checklist_schema(least: int, most: int) -> Mapping[str, Json]:
    """Return the JSON schema of a checklist with that many questions."""
    items = {"type": "array", "items": {"type": "string"}, "minItems": least, "maxItems": most}
    return {
        "type": "object",
        "properties": {"checklist": items},
        "required": ["checklist"],
        "additionalProperties": False,
    }


def read_checklist(reply: str, least: int, most: int) -> list[str]:
    """Return the questions of a reply, in order, each without its number.

    Raises:
        Unusable: saying what is wrong with the list.
    """
    text = unfenced(reply)
    items = _json_items(text) if text.startswith(("{", "[")) else entry_lines(text)
    questions = [_question(item) for item in items]
    require_distinct(questions, least, most, "questions")
    return questions


def _json_items(text: str) -> list[Any]:
    value = (reply_object(text) or {}).get("checklist") if text.startswith("{") else json_of(text)
    if not isinstance(value, list):
        raise Unusable("the JSON has no list 'checklist'")
    return value


def _question(item: Any) -> str:
    text = item.strip().strip("*").strip() if isinstance(item, str) else ""
    if not words_of(text) or not text.endswith("?") or len(text) > LONGEST:
        raise Unusable(f"an entry is no question of at most {LONGEST} characters that ends with a question mark")
    return text
