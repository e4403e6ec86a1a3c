"""The score of a judge that was held to JSON or to the five numbers."""

from __future__ import annotations

from typing import Any

from stages.judging.reply_objects import reply_object

SCORES = ("1", "2", "3", "4", "5")
SCORE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"feedback": {"type": "string"}, "score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
    "required": ["feedback", "score"],
    "additionalProperties": False,
}


def parse_json_score(reply: str) -> int | None:
    """Return the whole number from 1 to 5 under `score` of a JSON object, else None; so too if it is given twice."""
    try:
        score = (reply_object(reply) or {}).get("score")
    except ValueError:  # two values, or a number too long to be one
        return None
    return score if type(score) is int and 1 <= score <= 5 else None
