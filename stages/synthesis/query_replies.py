"""Read the queries out of a model's reply, and say what is wrong with a query.

Two forms are read: the JSON object `{"questions": [...]}` (or a bare array of texts), and lines, one question each,
numbered or not. With lines the questions come first; prose behind them is not read, prose before them is refused.
Whether a query names its text is in `mentions`; whether it makes sense is for a judge.
"""

from __future__ import annotations

import re
from typing import Any

from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced
from stages.replies.refusing import begins_as_refusal
from stages.replies.word_runs import words_of

_MARK = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]+|>[ \t]+|[-*•][ \t]+|\(?\d{1,2}[.)][ \t]*)?\**"
    r"(?:(?:question|query|q)[ \t]*\d{0,2}[ \t]*[:.)][ \t]*\**)?[ \t]*",
    re.IGNORECASE,
)
_QUOTES = "\"'“”‘’«»`*_ \t"
_REQUEST = re.compile(
    r"(?:please |could you |can you |kindly |help me )?(?:explain|describe|list|give|name|suggest|recommend|compare|"
    r"outline|summari[sz]e|tell|show|teach|walk|write|define|discuss|find|provide|share|identify|"
    r"i (?:need|want|would like|wonder))\b",
    re.IGNORECASE,
)
_MIN_WORDS = 3


def queries_schema(n: int) -> dict[str, Any]:
    """Return the JSON schema of a reply with 1 to `n` questions."""
    questions = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": n}
    return {
        "type": "object",
        "properties": {"questions": questions},
        "required": ["questions"],
        "additionalProperties": False,
    }


def parse_queries(reply: str, n: int) -> tuple[str, ...]:
    """Return the first `n` queries of a reply, equal ones once; whether they are good is not looked at.

    A single line that asks nothing is returned too, so that it can be named for what it is.

    Raises:
        Unusable: with code `refusal`, or `unparsable` and what was found.
    """
    text = unfenced(reply)
    found = _from_json(text) if text[:1] in ("{", "[") else _from_lines(text)
    distinct: dict[str, str] = {}
    for query in filter(None, map(_bare, found)):
        distinct.setdefault(query.casefold(), query)
    if not distinct:
        raise Unusable("the reply holds no question")
    return tuple(distinct.values())[:n]


def asks(query: str) -> bool:
    """Return whether a text asks for something: three words or more, with a question mark or as a request."""
    return len(words_of(query)) >= _MIN_WORDS and ("?" in query or bool(_REQUEST.match(query)))


def _from_json(text: str) -> list[str]:
    value = json_of(text)
    if isinstance(value, dict):
        value = value.get("questions", value.get("question"))
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise Unusable("the JSON has no list of texts under 'questions'")
    return values


def _from_lines(text: str) -> list[str]:
    lines = [line for line in map(_unmarked, text.splitlines()) if line]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    if not lines:
        raise Unusable("the reply holds no question")
    if begins_as_refusal(lines[0]):
        raise Unusable("the reply is a refusal", "refusal")
    if len(lines) == 1:
        return lines
    asking = next((i for i, line in enumerate(lines) if not asks(line)), len(lines))
    if not asking:
        raise Unusable(f"the reply of {len(text.split()):,} words begins with prose, not with a question")
    return lines[:asking]


def _unmarked(line: str) -> str:
    mark = _MARK.match(line)
    return line[mark.end() :].strip() if mark else line.strip()


def _bare(query: str) -> str:
    """Return a query on one line, without quotation marks around it; those inside it stay."""
    text = " ".join(query.split())
    while len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES and not set(text[1:-1]) & set('"“”«»`'):
        text = text[1:-1].strip()
    return text
