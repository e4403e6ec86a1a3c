"""The three domains of CDR, and how a router's reply names one of them. Strict: what names none or several is refused.

Paper: CDR / Dr.SoW, arXiv:2411.02481; its router wraps the label in marks. Three forms are read: the word alone, one
line `Domain: word` (more than one, or lines of a bare word beside it, only if they agree), a JSON object with one
`domain`. A line marked as a quotation (`>`) names nothing: it repeats what the router was shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pipeline.api import Json
from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced

Domain = Literal["chat", "reasoning", "safety"]
DOMAINS: tuple[Domain, ...] = ("chat", "reasoning", "safety")

DOMAIN_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"domain": {"type": "string", "enum": list(DOMAINS)}},
    "required": ["domain"],
    "additionalProperties": False,
}
_WORD = re.compile(r"[\s*_\"'“”‘’\[(<]*(chat|reasoning|safety)[\s*_\"'“”‘’\])>.!]*", re.IGNORECASE)
_LINE = re.compile(r"^[ \t*_#-]*domain[ \t*_]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_KEY = re.compile(r'"domain"\s*:')


def parse_domain(reply: str) -> Domain:
    """Return the domain that a reply names.

    Raises:
        Unusable: if it names none, or several.
    """
    text = unfenced(reply)
    if text.startswith("{"):
        if len(_KEY.findall(text)) > 1:  # of two equal keys a JSON reader silently takes the last
            raise Unusable("the JSON names the domain more than once")
        return _from_json(json_of(text))
    marked = _LINE.findall(text)
    labels = [*marked, *filter(_WORD.fullmatch, text.split("\n"))] if marked else [text]
    words = [_WORD.fullmatch(label) for label in labels]
    named = {word[1].lower() for word in words if word}
    if None in words or len(named) != 1 or not named <= set(DOMAINS):  # a long s folds to s, and is none
        raise Unusable(
            f"the reply begins with {' '.join(text.split()[:4])[:60]!r}; expected one of {', '.join(DOMAINS)}"
        )
    return _domain(named.pop())


def _from_json(value: Any) -> Domain:
    named = value.get("domain") if isinstance(value, dict) else None
    if not isinstance(named, str) or named.strip().lower() not in DOMAINS:
        raise Unusable(f"the JSON has no 'domain' that is one of {', '.join(DOMAINS)}")
    return _domain(named.strip().lower())


def _domain(name: str) -> Domain:
    return next(domain for domain in DOMAINS if domain == name)
