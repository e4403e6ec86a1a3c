"""Read a score from 1 to 10, and what speaks for and against a response, out of a judge's reply.

Source: WildBench, arXiv:2406.04770 (WB-Score): a JSON object with `strengths`, `weaknesses` and `score`, the score a
text or a number; where no JSON can be read, `score` alone is looked for, quoted and then unquoted. Ours: two different
scores, halves, and anything out of range are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.api import Json
from stages.judging.reply_objects import loose_field, reply_object, text_of
from stages.replies.asking import Unusable
from stages.replies.fences import unfenced

SCORES = tuple(str(n) for n in range(1, 11))
SCORE_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "strengths": {"type": "string"},
        "weaknesses": {"type": "string"},
        "score": {"type": "string", "enum": list(SCORES)},
    },
    "required": ["strengths", "weaknesses", "score"],
    "additionalProperties": False,
}
_SCORE = r"10|[1-9]"
_ANY = r"[^\"\s,}]+"
_BARE = re.compile(rf"(?:(?:score|rating)\s*:\s*)?({_SCORE})(?:\s*(?:/|out of)\s*10)?", re.IGNORECASE)
_DECORATION = " \t\r\n*_`\"'.[]"


@dataclass(frozen=True, slots=True)
class ScoreReply:
    """A whole number from 1 to 10; strengths and weaknesses are None where the judge gave none."""

    score: int
    strengths: str | None = None
    weaknesses: str | None = None


def read_score(reply: str) -> ScoreReply:
    """Return the score of a reply in WildBench's form.

    Raises:
        Unusable: if there is no score, more than one, or one that is no whole number from 1 to 10.
    """
    value = reply_object(reply)
    if value is None:
        found = loose_field(reply, "score", _SCORE, _ANY)
        if found is None:
            raise Unusable("the reply holds no 'score'")
        return ScoreReply(_whole(found))
    if "score" not in value:
        raise Unusable("the JSON has no 'score'")
    return ScoreReply(_whole(value["score"]), text_of(value.get("strengths")), text_of(value.get("weaknesses")))


def read_plain_score(reply: str) -> ScoreReply:
    """Return the score of a reply that is a number from 1 to 10 and nothing else, with or without its label.

    Raises:
        Unusable: for everything else.
    """
    found = _BARE.fullmatch(unfenced(reply).strip(_DECORATION))
    if not found:
        raise Unusable(f"a text of {len(reply)} characters is no whole number from 1 to 10")
    return ScoreReply(int(found[1]))


def rescaled(score: float) -> float:
    """Return WildBench's scale of a score from 1 to 10: (s - 5) * 2, in [-8, 10], with 5 as the middle."""
    return (score - 5) * 2


def _whole(value: Any) -> int:
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not re.fullmatch(_SCORE, value.strip()):
        raise Unusable(f"the score is {str(value)[:20]!r}; expected a whole number from 1 to 10")
    return int(value)
