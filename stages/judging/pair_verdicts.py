"""Read the verdict on two responses out of a judge's reply, in the forms that published judges use.

Forms: WildBench's JSON with `choice` (arXiv:2406.04770), FastChat's `[[A]]`, `[[B]]`, `[[C]]` (arXiv:2306.05685),
LLMBar's "Output (a)" and "Output (a) is better" (arXiv:2310.07641), and a bare "A", "B" or "tie". Strict: a reply must
hold one verdict. Two different ones, or none, are `Unusable`, never a tie and never the first that comes. This is the
reader for judging. To check figures that LLMBar published, take `llmbar_replies`, which reads as its authors did.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.api import Json
from stages.judging.outcomes import OUTCOMES, TIE, winner
from stages.judging.reply_objects import loose_field, only_one, reply_object, text_of
from stages.replies.asking import Unusable
from stages.replies.fences import unfenced

FIRST, SECOND = "A+", "B+"
"""What a verdict without an extent counts as: the winner is known, a lead by much is not claimed."""
ANALYSIS = ("analysis_a", "analysis_b", "for_tie", "for_a", "for_b")
"""What our template asks for before the choice; the names are ours, the order is WildBench's."""
CHOICE_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {**{n: {"type": "string"} for n in ANALYSIS}, "choice": {"type": "string", "enum": list(OUTCOMES)}},
    "required": [*ANALYSIS, "choice"],
    "additionalProperties": False,
}
PLAIN_CHOICES = ("A", "B", "tie")
_CHOICE = r"A\+\+|A\+|A=B|B=A|B\+\+|B\+"
_BRACKETS = re.compile(r"\[\[\s*([A-Za-z]{1,4})\s*\]\]")
_NAME = r"(?:output|response|answer|assistant)"
_LETTER = r"[(\[]?([abAB])[)\]]?"
_BY_HOW_MUCH = r"(?:(?!(?:hard|scarce|equal|alleged|supposed)ly)\w+ly\s+|much\s+)?"
_IS_BETTER = re.compile(rf"\b{_NAME}\s*{_LETTER}\s+is\s+{_BY_HOW_MUCH}(?:the\s+)?better\b", re.IGNORECASE)
_OPEN_QUESTION = re.compile(r"\b(?:whether|if|which|not|n['’]t|neither|cannot|unclear)\b", re.IGNORECASE)
_LABEL = r"(?:(?:(?:final|my)\s+)?(?:verdict|answer|choice|winner|decision)\s*(?::|is)\s*)?"
_BARE = re.compile(rf"{_LABEL}(?:{_NAME}\s*)?{_LETTER}", re.IGNORECASE)
_BARE_TIE = re.compile(rf"{_LABEL}(?:a\s+)?(?:tie|draw|A\s*=\s*B)", re.IGNORECASE)
_DECORATION = " \t\r\n*_`\"'“”.:#"


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """One of the five outcomes, A being what was shown first, and the judge's reasons where it gave any."""

    outcome: str
    reasons: str | None = None


def read_choice(reply: str) -> PairVerdict:
    """Return the verdict of a reply in WildBench's form: an object with `choice`, or that field alone.

    Raises:
        Unusable: if there is no choice of the five, or more than one.
    """
    value = reply_object(reply)
    if value is None:
        found = loose_field(reply, "choice", _CHOICE)
        if found is None:
            raise Unusable("the reply holds no 'choice' of A++, A+, A=B, B+, B++")
        return PairVerdict(_outcome(found))
    choice = value.get("choice")
    if not isinstance(choice, str) or not re.fullmatch(_CHOICE, choice.strip(), re.IGNORECASE):
        raise Unusable(f"'choice' is {str(choice)[:20]!r}; expected A++, A+, A=B, B+ or B++")
    told = [f"{n}: {t}" for n, v in value.items() if n != "choice" and (t := text_of(v))]
    return PairVerdict(_outcome(choice.strip()), "\n".join(told) or None)


def read_plain(reply: str) -> PairVerdict:
    """Return the verdict of a reply that is one word or one short line: A, B or tie, with or without its label.

    Raises:
        Unusable: for everything else.
    """
    text = unfenced(reply).strip(_DECORATION)
    if _BARE_TIE.fullmatch(text):
        return PairVerdict(TIE)
    if found := _BARE.fullmatch(text) or _IS_BETTER.fullmatch(text):
        return PairVerdict(_of_letter(found[1]))
    raise Unusable(f"a text of {len(text)} characters is none of A, B and tie")


def read_pair_verdict(reply: str) -> PairVerdict:
    """Return the verdict of a reply in any of the forms, whichever it is.

    The forms are tried from the most explicit one: JSON, double brackets, sentences "... is better", a line of its own.
    What a judge says before the more explicit form is its analysis; a sentence after it must not say another thing.

    Raises:
        Unusable: if there is no verdict, or two that differ.
    """
    value = reply_object(reply)
    if value is not None and "choice" in value:
        return read_choice(reply)
    brackets = [_of_bracket(b) for b in _BRACKETS.findall(reply)]
    if loose_field(reply, "choice", _CHOICE):
        chosen = read_choice(reply)
        only_one([winner(o) for o in (chosen.outcome, *brackets)], "a verdict")
        return chosen
    if brackets:
        only_one([*brackets, *_stated(reply.rpartition("]]")[2])], "a verdict")
        return PairVerdict(only_one(brackets, "a verdict in brackets"))
    if stated := _stated(reply):
        return PairVerdict(only_one(stated, "a sentence that names the better one"))
    lines = [found for line in reply.splitlines() if (found := _verdict_line(line))]
    if not lines:
        raise Unusable("the reply holds no verdict")
    return PairVerdict(only_one(lines, "a line that names the better one"))


def _stated(reply: str) -> list[str]:
    """Return what the sentences of the form "Output (a) is better" say, those that leave it open not counted."""
    out = []
    for found in _IS_BETTER.finditer(reply):
        before = re.split(r"[.!?;\n]", reply[: found.start()])[-1]
        if not _OPEN_QUESTION.search(before):
            out.append(_of_letter(found[1]))
    return out


def _verdict_line(line: str) -> str | None:
    """Return the verdict of a line that is nothing else; a heading is none, since what it heads may be an analysis."""
    if line.lstrip().startswith("#") or line.rstrip().rstrip("*_").endswith(":"):
        return None
    try:
        return read_plain(line).outcome
    except Unusable:
        return None


def _of_letter(letter: str) -> str:
    return FIRST if letter.lower() == "a" else SECOND


def _of_bracket(word: str) -> str:
    known = {"a": FIRST, "b": SECOND, "c": TIE, "tie": TIE}
    if word.lower() not in known:
        raise Unusable(f"[[{word}]] is none of [[A]], [[B]] and [[C]]")
    return known[word.lower()]


def _outcome(choice: str) -> str:
    return TIE if "=" in choice else choice.upper()


def soft_preference(logprobs: Sequence[float]) -> float:
    """Return P(A better) of the choices A, B and tie, in [0, 1]: P(A) + P(tie) / 2, from log-probabilities in nats."""
    a, b, tie = (math.exp(p) for p in logprobs)
    return (a + tie / 2) / (a + b + tie)
