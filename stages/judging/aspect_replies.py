"""Read the ratings of several responses out of one reply of a judge: blocks of lines, or JSON.

A rating is a whole number from 1 to 5 or N/A. What is not clearly rated is missing: no number is put in its place, so
that a missing block can never be taken for a bad response. The forms are ours, after UltraFeedback, arXiv:2310.01377.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from stages.judging.reply_objects import reply_object
from stages.replies.fences import unfenced

RATINGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ratings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "response": {"type": "integer"},
                    "rationale": {"type": "string"},
                    "rating": {"enum": [1, 2, 3, 4, 5, "N/A"]},
                },
                "required": ["response", "rationale", "rating"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["ratings"],
    "additionalProperties": False,
}
_HEAD = re.compile(r"[*_#\s]*response\s+#?(\d{1,4})[*_:.\s]*", re.IGNORECASE)
_LABEL = re.compile(r"[*_#\s-]*rating[*_\s]*:", re.IGNORECASE)
_RATING = re.compile(
    r"[*_#\s-]*rating[*_\s]*:[*_\s]*(?:([1-5])(?: ?/ ?5| out of 5)?|n/?a|not applicable)[*_.\s]*", re.IGNORECASE
)
_RATIONALE = re.compile(r"[*_#\s-]*rationale[*_\s]*:[*_\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rating:
    """What a judge said about one response; `score` is 1 to 5, None for N/A."""

    score: int | None
    rationale: str | None = None


def parse_ratings(reply: str, count: int) -> list[Rating | None]:
    """Return the rating of each of `count` responses in the order shown, None where it is missing or contradictory.

    Raises:
        ValueError: if the reply is no such list, or rates a response that was not shown.
    """
    text, value = unfenced(reply), reply_object(reply)
    if value is None and text.startswith("{"):
        raise ValueError("the reply starts like a JSON object but is none")
    found = _of_lines(text, count) if value is None else _of_json(value)
    out: list[Rating | None] = [None] * count
    for number in {number for number, _ in found}:
        if not 1 <= number <= count:
            raise ValueError(f"response {number} is rated, but {count} were shown")
        given = [rating for n, rating in found if n == number]
        out[number - 1] = given[0] if len(given) == 1 else None
    return out


def mean_rating(scores: Sequence[int | None]) -> float | None:
    """Return the mean of the ratings that are there, 1 to 5; None if none is. N/A does not count."""
    given = [s for s in scores if s is not None]
    return fmean(given) if given else None


def _of_lines(text: str, count: int) -> list[tuple[int, Rating | None]]:
    blocks: list[tuple[int, list[str]]] = []
    lines = text.splitlines()
    if count == 1 and not any(_HEAD.fullmatch(line) for line in lines):
        blocks = [(1, lines)]
    else:
        for line in lines:
            if head := _HEAD.fullmatch(line):
                blocks.append((int(head[1]), []))
            elif blocks:
                blocks[-1][1].append(line)
    if not blocks:
        raise ValueError("the reply has no block that begins with 'Response' and a number")
    return [(number, _of_block(block)) for number, block in blocks]


def _of_block(lines: Sequence[str]) -> Rating | None:
    rated = [line for line in lines if _LABEL.match(line)]
    found = _RATING.fullmatch(rated[0]) if len(rated) == 1 else None
    if not found:
        return None
    rest = "\n".join(line for line in lines if line is not rated[0]).strip()
    return Rating(int(found[1]) if found[1] else None, _RATIONALE.sub("", rest, count=1).strip() or None)


def _of_json(value: Mapping[str, Any]) -> list[tuple[int, Rating | None]]:
    entries = value.get("ratings")
    if not isinstance(entries, list) or not all(_is_numbered(e) for e in entries):
        raise ValueError("'ratings' is no list of objects with a whole number 'response'")
    return [(e["response"], _of_entry(e)) for e in entries]


def _is_numbered(entry: Any) -> bool:
    return isinstance(entry, dict) and type(entry.get("response")) is int


def _of_entry(entry: dict[str, Any]) -> Rating | None:
    rating, rationale = entry.get("rating"), entry.get("rationale")
    said = rationale.strip() or None if isinstance(rationale, str) else None
    if type(rating) is int and 1 <= rating <= 5:
        return Rating(rating, said)
    return Rating(None, said) if isinstance(rating, str) and rating.strip().upper() in ("N/A", "NA") else None
