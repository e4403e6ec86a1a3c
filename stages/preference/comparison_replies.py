"""Read which of two responses a judge prefers out of its reply: one word, a reasoned reply, or JSON.

A reply that names both, or none, is refused and never taken for a tie.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from pipeline.api import Json
from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced

_SHARES = {"first": 1.0, "second": 0.0, "tie": 0.5}
_MARKS = "*_`\"'“”‘’"
_WORD = r"(?:the[ \t]+)?(first|second|tie)(?:[ \t]+(?:response|answer|one))?(?:[ \t]+is[ \t]+better)?[ \t]*[.!]?"
_ALONE = re.compile(rf"(?:(?:better|verdict|answer|winner)[ \t]*:[ \t]*)?{_WORD}", re.IGNORECASE)
_LABELLED = re.compile(rf"[ \t>#-]*(?:better|verdict)[ \t]*:[ \t]*{_WORD}", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9.]+(?:e-[0-9]+)?")
_NUMBERS = re.compile(r"\[[-0-9.e, ]+\]")


def words(ties: bool) -> tuple[str, ...]:
    """Return the words that a judge may answer with."""
    return ("first", "second", "tie") if ties else ("first", "second")


def comparison_schema(ties: bool) -> Mapping[str, Json]:
    """Return the JSON schema of a reasoned comparison; the reason comes first, so that the verdict follows from it."""
    return {
        "type": "object",
        "properties": {"reason": {"type": "string"}, "better": {"type": "string", "enum": list(words(ties))}},
        "required": ["reason", "better"],
        "additionalProperties": False,
    }


def parse_word(reply: str, ties: bool) -> float:
    """Return 1.0 for the first response, 0.0 for the second, 0.5 for a tie, out of a reply that is that word alone.

    Raises:
        Unusable: saying what was found instead.
    """
    found = _ALONE.fullmatch(_plain(unfenced(reply)))
    if not found:
        raise Unusable(f"the reply begins with {' '.join(reply.split()[:3])[:60]!r}; expected one word")
    return _share(found[1], ties)


def parse_reasoned(reply: str, ties: bool) -> float:
    """Return the same out of a reply with a reason: JSON with `better`, or a last line `Better: first`.

    Raises:
        Unusable: if there is no such line at the end, or several that contradict each other.
    """
    text = unfenced(reply)
    if text.startswith("{"):
        value = json_of(text).get("better")
        if not isinstance(value, str):
            raise Unusable("the JSON has no text 'better'")
        return _share(value.strip(), ties)
    lines = [_plain(line) for line in text.splitlines() if line.strip()]
    said = [found[1].lower() for line in lines if (found := _LABELLED.fullmatch(line))]
    if not lines or not _LABELLED.fullmatch(lines[-1]):
        raise Unusable("the last line is not 'Better:' with one word")
    if len(set(said)) > 1:
        raise Unusable(f"the reply says both 'Better: {said[0]}' and 'Better: {said[-1]}'")
    return _share(said[-1], ties)


def share_of_choices(logprobs: Sequence[float]) -> float:
    """Return P(first is better) from the log-probabilities of `words(ties)`; a tie counts half for either.

    Args:
        logprobs: in nats, of two or three words; only their differences count.

    Raises:
        Unusable: if they are not two or three, or not finite.
    """
    if len(logprobs) not in (2, 3) or not all(math.isfinite(value) for value in logprobs):
        raise Unusable("the log-probabilities of the words are missing or not finite")
    odds = [math.exp(value - max(logprobs)) for value in logprobs]
    half = odds[2] / 2 if len(odds) > 2 else 0.0
    return (odds[0] + half) / sum(odds)


def share_of_raw(raw: str, ties: bool = True) -> float:
    """Return P(first is better) from a raw verdict as rows keep it, so that a matrix can be made anew without a judge.

    Raises:
        Unusable: if it is no verdict.
    """
    if _NUMBER.fullmatch(raw):
        return float(raw)
    if _NUMBERS.fullmatch(raw):
        return share_of_choices(json.loads(raw))
    try:
        return parse_word(raw, ties)
    except Unusable:
        return parse_reasoned(raw, ties)


def _share(word: str, ties: bool) -> float:
    if word.lower() not in words(ties):
        raise Unusable(f"the verdict is {word[:20]!r}; expected {' or '.join(words(ties))}")
    return _SHARES[word.lower()]


def _plain(line: str) -> str:
    return line.translate({ord(mark): None for mark in _MARKS}).strip()
