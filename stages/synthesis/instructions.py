"""Read the instruction out of a model's reply.

Instruct-SkillMix (arXiv:2408.14774) lost items to headers that were missing, doubled or written differently; here
every form that is clearly one instruction is taken and everything else is refused, so that the caller asks again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from stages.replies.asking import Unusable

_LABEL = r"(?:instruction|query)"
_HEADER = re.compile(rf"^[ \t]*#{{1,6}}[ \t]*\**{_LABEL}\**[ \t]*:?\**[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_BOLD = re.compile(rf"^[ \t]*\*\*{_LABEL}[ \t]*:?\*\*[ \t]*:?[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_PLAIN = re.compile(rf"^[ \t]*{_LABEL}[ \t]*:[ \t]*(.*)$", re.IGNORECASE | re.MULTILINE)
_FORMS = (("header", _HEADER), ("bold", _BOLD), ("label", _PLAIN))
_NEXT_SECTION = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+\S.*|(?:#{1,6}[ \t]*)?\**(?:response|answer|skills|query type|task type|explanation)"
    r"[ \t]*:?\**[ \t]*:.*|-{3,}[ \t]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL)
_REFUSAL = re.compile(
    r"(?:i(?:'|’)?m (?:very |so |really )?sorry|sorry,|i am sorry|i apologi[sz]e|i can(?:'|’)?t\b|i cannot\b|"
    r"i(?:'|’)?m (?:not able|unable)|i am (?:not able|unable)|i won(?:'|’)?t\b|as an ai\b|unfortunately, i\b)",
    re.IGNORECASE,
)
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("«", "»"))
_MIN_WORDS = 4
_MIN_CHARACTERS = 15


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction and the form in which it was found: `header`, `bold`, `label` or `json`."""

    text: str
    form: str


def parse_instruction(reply: str) -> Instruction:
    """Return the one instruction of a reply.

    Raises:
        Unusable: with code `refusal`, or `unparsable` and what was found.
    """
    text = reply.strip()
    found = _from_json(text) or _from_sections(text)
    if found is None:
        if _REFUSAL.match(text):
            raise Unusable("the reply is a refusal", "refusal")
        raise Unusable(f"the reply of {len(text.split())} words has no line '### Instruction'")
    instruction = _unquoted(found.text)
    if _REFUSAL.match(instruction):
        raise Unusable("the instruction is a refusal", "refusal")
    if len(instruction) < _MIN_CHARACTERS or len(instruction.split()) < _MIN_WORDS:
        raise Unusable(f"the instruction has {len(instruction.split())} words; expected at least {_MIN_WORDS}")
    return Instruction(instruction, found.form)


def shares_words(text: str, other: str, words: int) -> bool:
    """Return whether some run of `words` words of one text, split at white space, is in the other."""
    (runs, others) = (
        {tuple(split[i : i + words]) for i in range(len(split) - words + 1)} for split in (text.split(), other.split())
    )
    return bool(runs & others)


def _from_json(text: str) -> Instruction | None:
    fenced = _FENCE.match(text)
    body = fenced[1].strip() if fenced else text
    if not body.startswith("{"):
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise Unusable(f"the reply starts like a JSON object but is none: {e}") from None
    if not isinstance(value.get("instruction"), str):
        raise Unusable("the JSON object has no text under 'instruction'")
    return Instruction(value["instruction"].strip(), "json")


def _from_sections(text: str) -> Instruction | None:
    """Look for headers first: with one, a line 'Instruction:' inside the text is part of the text."""
    for form, pattern in _FORMS:
        marks = list(pattern.finditer(text))
        if len(marks) > 1:
            raise Unusable(f"the reply has {len(marks)} instruction headers; expected one")
        if marks:
            body = f"{marks[0][1]}\n{text[marks[0].end() :]}"
            end = _NEXT_SECTION.search(body)
            return Instruction((body[: end.start()] if end else body).strip(), form)
    return None


def _unquoted(text: str) -> str:
    for opening, closing in _QUOTES:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(inner):
            return inner.strip()
    return text
