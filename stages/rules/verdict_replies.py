"""Read a verdict on one rule out of a verifier's reply: yes, no or not applicable, else nothing.

Two readings. The strict one wants exactly one kind of verdict in the whole reply; a reply that says several (because it
quotes one, or contradicts itself) says none. The release's (AutoRule, arXiv:2506.15651, code HuoDx/AutoRule) looks for
the exact string `[[Yes]]` and takes everything else, an empty reply or a refusal too, for no.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.api import Json
from stages.replies.asking import Unusable
from stages.replies.fences import json_of, unfenced
from stages.rules.reasoning import split_reasoning

YES, NO, NOT_APPLICABLE = 1, 0, -1
CHOICES = ("[[Yes]]", "[[No]]", "[[N/A]]")
"""Texts that an engine may choose among."""
VERDICTS = (YES, NO, NOT_APPLICABLE)
"""What `CHOICES` mean, in their order."""

_WORDS = {"yes": YES, "no": NO, "n/a": NOT_APPLICABLE, "na": NOT_APPLICABLE, "not applicable": NOT_APPLICABLE}
_MARKED = re.compile(r"\[\[([^\[\]\n]{1,40})\]\]")
_AROUND = "*.! \t\r\n"
"""Marks that may stand around a verdict that is the whole reply."""

VERDICT_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["yes", "no", "not_applicable"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}


def parse_verdict(reply: str) -> int:
    """Return the one verdict of a reply: 1 yes, 0 no, -1 not applicable.

    It is a word in double brackets, the whole reply, or the value of `verdict` in a JSON object. Case does not matter.

    Raises:
        Unusable: if there is none, or several that differ.
    """
    _, text = split_reasoning(reply)
    text = unfenced(text)
    if text.startswith("{"):
        value = json_of(text)
        text = str(value["verdict"]) if set(value) == {"verdict"} else ""
    words = [_word(marked) for marked in _MARKED.findall(text)] or [_word(text.strip(_AROUND))]
    found = {_WORDS[word] for word in words if word in _WORDS}
    if len(found) != 1:
        raise Unusable("the reply gives no verdict" if not found else "the reply gives several verdicts that differ")
    return found.pop()


def _word(text: str) -> str:
    return text.strip().lower().replace("_", " ")


def release_verdict(reply: str) -> int:
    """Return 1 if the exact string `[[Yes]]` is anywhere in a reply, else 0, as the released code does."""
    return YES if CHOICES[0] in reply else NO
