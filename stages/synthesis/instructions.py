"""Read the instruction, and where asked its response, out of a model's reply.

Instruct-SkillMix (arXiv:2408.14774) lost items to headers that were missing, doubled or written differently (section A6
of the method notes); here every form that is clearly one instruction is taken and everything else is refused, so that
the caller asks again. Judges form only, not whether an instruction is good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced
from stages.replies.refusing import begins_as_refusal


def _forms(label: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return how a section can be opened, the clearest form first."""
    patterns = (
        ("header", rf"^[ \t]*#{{1,6}}[ \t]*\**{label}\**[ \t]*:?\**[ \t]*(.*)$"),
        ("bold", rf"^[ \t]*\*\*{label}[ \t]*:?\*\*[ \t]*:?[ \t]*(.*)$"),
        ("label", rf"^[ \t]*{label}[ \t]*:[ \t]*(.*)$"),
    )
    return tuple((form, re.compile(p, re.IGNORECASE | re.MULTILINE)) for form, p in patterns)


_INSTRUCTION, _RESPONSE = _forms("(?:instruction|query)"), _forms("(?:response|answer)")
_NEXT_SECTION = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+\S.*|(?:#{1,6}[ \t]*)?\**(?:response|answer|skills|query type|task type|explanation)"
    r"[ \t]*:?\**[ \t]*:.*|-{3,}[ \t]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_DELIMITER = re.compile(r"^[ \t]*(?:BEGIN|END) TASK\b", re.MULTILINE)
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("«", "»"))
_MIN_WORDS = 4
_MIN_CHARACTERS = 15


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction, the form in which it was found (`header`, `bold`, `label`, `json`), and its response if asked."""

    text: str
    form: str
    response: str | None = None


def parse_instruction(reply: str) -> Instruction:
    """Return the one instruction of a reply; a response behind it is left out.

    Raises:
        Unusable: with code `refusal`, or `unparsable` and what was found.
    """
    return _parsed(reply, with_response=False)


def parse_pair(reply: str) -> Instruction:
    """Return the one instruction of a reply and the response behind it.

    Raises:
        Unusable: with code `refusal`, or `unparsable` and what was found.
    """
    return _parsed(reply, with_response=True)


def _parsed(reply: str, with_response: bool) -> Instruction:
    text = reply.strip()
    if begins_as_refusal(text):
        raise Unusable("the reply is a refusal", "refusal")
    found = _from_json(text, with_response) or _from_sections(text, with_response)
    if found is None:
        raise Unusable(f"the reply of {len(text.split())} words has no line '### Instruction'")
    instruction = _unquoted(found.text)
    if any(begins_as_refusal(t) for t in (instruction, found.response or "")):
        raise Unusable("the instruction or its response is a refusal", "refusal")
    if len(instruction) < _MIN_CHARACTERS or len(instruction.split()) < _MIN_WORDS:
        raise Unusable(f"the instruction has {len(instruction.split())} words; expected at least {_MIN_WORDS}")
    if any(_DELIMITER.search(t) for t in (instruction, found.response or "")):
        raise Unusable("the instruction or its response repeats a delimiter line of the task")
    if with_response and not found.response:
        raise Unusable("the reply has an instruction, but no response")
    return Instruction(instruction, found.form, found.response)


def _from_json(text: str, with_response: bool) -> Instruction | None:
    body = unfenced(text)
    if not body.startswith("{"):
        return None
    value = json_of(body)
    instruction = value.get("instruction", value.get("query"))
    response = value.get("response") if with_response else None
    if not isinstance(instruction, str) or not isinstance(response, str | None):
        raise Unusable("the JSON object has no text under 'instruction', or something else under 'response'")
    return Instruction(instruction.strip(), "json", response and response.strip())


def _from_sections(text: str, with_response: bool) -> Instruction | None:
    """Look for headers first: with one, a line 'Instruction:' inside the text is part of the text."""
    for form, pattern in _INSTRUCTION:
        first = pattern.search(text)
        if first is None:
            continue
        response = None
        if with_response:
            text, response = _split_off_response(text, first.end())
            if form == "header" and pattern.search(response):
                raise Unusable("a second instruction header follows the response")
        marks = list(pattern.finditer(text))
        return Instruction(_only_body(text, marks, "instruction", cut=not with_response), form, response)
    return None


def _split_off_response(text: str, after: int) -> tuple[str, str]:
    """Return what stands before the first response header behind a position, and the response."""
    for _, pattern in _RESPONSE:
        marks = list(pattern.finditer(text, after))
        if marks:
            return text[: marks[0].start()], _only_body(text, marks, "response", cut=False)
    return text, ""


def _only_body(text: str, marks: Sequence[re.Match[str]], what: str, *, cut: bool) -> str:
    """Return the one text under several headers: a header may be repeated over nothing, or over the same text."""
    ends = [m.start() for m in marks[1:]] + [len(text)]
    bodies = [f"{m[1]}{text[m.end() : end]}" for m, end in zip(marks, ends, strict=True)]
    if cut:
        bodies = [b[: end.start()] if (end := _NEXT_SECTION.search(b)) else b for b in bodies]
    different = list(dict.fromkeys(filter(None, (b.strip() for b in bodies))))
    if len(different) > 1:
        raise Unusable(f"the reply has {len(different)} different texts under {what} headers; expected one")
    return different[0] if different else ""


def _unquoted(text: str) -> str:
    for opening, closing in _QUOTES:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(inner):
            return inner.strip()
    return text
