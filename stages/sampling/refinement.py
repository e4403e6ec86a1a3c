"""Read an improved answer out of a reply: drop the line that announces it, and notice replies that hold none.

Patterns are ours, for English; they are narrow, so that a line of the answer itself is not lost: a first line goes only
if it announces an answer and ends with a colon. Whether the answer is better is not asked here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPENER = r"(?:sure|certainly|of course|absolutely|okay|ok|yes|great|thank you|thanks|no problem|understood|got it)\b"
_HERE = r"(?:here(?:'s|’s| is| are)|below (?:is|are)|this is)\b"
_IMPROVED = (
    r"(?:improved|revised|refined|rewritten|updated|better|corrected|enhanced|polished|clearer|edited|modified|"
    r"reworked|rephrased)\b"
)
_ANSWER = r"(?:answer|version|response|reply|text|draft|explanation)\b"
_ANNOUNCEMENT = (
    rf"[\s*_#]*(?:{_OPENER}[^\n:]{{0,60}}?\b(?:{_HERE}|{_IMPROVED})[^\n:]{{0,80}}"
    rf"|{_HERE}[^\n:]{{0,40}}?\b{_IMPROVED}[^\n:]{{0,30}}?\b{_ANSWER}[^\n:]{{0,60}}"
    rf"|(?:my |an? |the )?{_IMPROVED} (?:\w+ ){{0,2}}?{_ANSWER}(?: (?:of|to) (?:my|your|the) (?:\w+ )?"
    r"(?:answer|response|question|request))?):[*_ \t]*"
)
_FIRST_LINE = re.compile(rf"({_ANNOUNCEMENT})\n\s*", re.IGNORECASE)
_NOTHING_ELSE = re.compile(rf"{_ANNOUNCEMENT}\s*", re.IGNORECASE)

_SHORT = 60
"""Words up to which a reply can be about the request instead of an answer."""
_ASKS = re.compile(
    r"\b(?:please|(?:could|can) you|need you to|if you) (?:provide|share|paste|send|give|tell|show)(?: me)?(?: with)? "
    r"(?:(?:the|your|an?) )?(?:\w+ )?(?:previous|original|initial|earlier|first|answer|response|text|draft)\b"
    r"|\b(?:don't|don’t|do not|can't|can’t|cannot) (?:see|find|have) (?:an?|any|the|your) "
    r"(?:previous|earlier|original|prior)\b"
    r"|\b(?:happy|glad|ready) to (?:help (?:you )?)?(?:improve|refine|revise|rewrite)\b"
    r"|\bwhat (?:would you like|do you want|should I)\b[^.?\n]{0,30}\b(?:improve|refine|revise|change)",
    re.IGNORECASE,
)
_SATISFIED = re.compile(
    r"\b(?:previous|original|above|first|earlier|last) (?:answer|response|reply|version) (?:is|was) "
    r"(?:already |quite )?(?:correct|complete|clear|good|fine|perfect|accurate)\b"
    r"|\bno (?:\w+ )?(?:changes|improvements?|revisions?) (?:is |are |were )?(?:needed|necessary|required)\b"
    r"|\b(?:nothing|anything) (?:to|I would) (?:improve|change|add)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in two parts; `announcement` is None if the reply starts with its answer."""

    answer: str
    announcement: str | None


def parted(text: str) -> Reply:
    """Part a reply into the line that announces an answer ("Sure, here is the improved answer:") and the answer."""
    found = _FIRST_LINE.match(text)
    if found is None or not text[found.end() :].strip():
        return Reply(text, None)
    return Reply(text[found.end() :], found[1].strip())


def why_no_answer(answer: str, transition: str) -> str | None:
    """Return why a reply holds no improved answer but speaks of the request for one; None if it seems to hold one.

    Args:
        answer: the reply, without its announcement.
        transition: the request for an improvement, as the model saw it.
    """
    if " ".join(transition.split()) in " ".join(answer.split()):
        return "it repeats the request"
    if _NOTHING_ELSE.fullmatch(answer):
        return "it announces an answer and ends"
    if len(answer.split()) > _SHORT:
        return None
    if _ASKS.search(answer):
        return "it asks for what to improve"
    if _SATISFIED.search(answer):
        return "it says that nothing is to be improved"
    return None


def same_answer(one: str, other: str) -> bool:
    """Return whether two answers are equal but for white space."""
    return one.split() == other.split()
