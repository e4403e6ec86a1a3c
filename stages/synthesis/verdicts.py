"""Read a yes-or-no verdict and its reason out of a judge's reply; what is neither is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.api import Json
from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced

_FIRST_WORD = re.compile(
    r"[\s*_\"'“‘#>-]*(?:(?:answer|verdict)[\s*_]*:[\s*_\"'“‘]*)?(yes|no)\b(?!\s+(?:idea|doubt|one|matter)\b)", re.I
)
_BOTH = re.compile(r"[\s*_\"'”’]*(?:/|,|\||\bor\b|\band\b)[\s*_\"'“‘]*(?:yes|no)\b", re.IGNORECASE)

VERDICT_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "verdict": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["reason", "verdict"],
    "additionalProperties": False,
}
"""The reason comes first, so that the verdict follows from it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge decided, and why; the reason is None where it gave none."""

    yes: bool
    reason: str | None


def parse_verdict(reply: str) -> Verdict:
    """Return the verdict of a reply: a JSON object with `verdict` and `reason`, or a text that begins with yes or no.

    Raises:
        Unusable: saying what was found instead.
    """
    text = unfenced(reply)
    if text.startswith("{"):
        return _from_json(text)
    first = _FIRST_WORD.match(text)
    if not first or first[1].lower() not in ("yes", "no") or _BOTH.match(text, first.end()):
        raise Unusable(f"the reply begins with {' '.join(text.split()[:3])[:60]!r}; expected yes or no")
    return Verdict(first[1].lower() == "yes", _reason(text[first.end() :].lstrip(" \t\r\n.,:;!*_\"'”’—–-")))


def _from_json(text: str) -> Verdict:
    value = json_of(text)
    verdict, reason = value.get("verdict"), value.get("reason")
    if isinstance(verdict, str) and verdict.strip().lower() in ("yes", "no"):
        verdict = verdict.strip().lower() == "yes"
    if not isinstance(verdict, bool) or not isinstance(reason, str | None):
        raise Unusable("the JSON has no 'verdict' that is yes or no, or its 'reason' is no text")
    return Verdict(verdict, _reason(reason))


def _reason(text: str | None) -> str | None:
    return (text or "").strip() or None
