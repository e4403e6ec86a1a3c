"""Tell whether a response refuses to do what was asked.

A filter that Olmo 3 (arXiv:2512.13961, 5.3.1) applies to chosen responses, in purpose only: patterns and rules are
ours, for English. A refusal shows in the first sentences, so only these are read. A response that says what it cannot
do and then does what it can ("I can't diagnose you, but common causes are ...") is no refusal, nor is a letter that
declines something. It does not judge whether a refusal is right, and sees none in other languages.
"""

from __future__ import annotations

import re

from stages.selection.speech import any_of

_READ = 480
"""Characters of the opening."""
_SENTENCES = 3
_LONG = 50
"""Words from which on a text is long: if it goes on after its excuse it has answered after all, and what it cannot
carry out is told rather than refused."""

_ADVERBS = r"(?:\w+ly |also |still |just |in good conscience |and will not |and won't )*"
_CAN_NOT = any_of("can't", "cannot", "can not", "won't", "will not", "wouldn't be able to", "would not be able to")
_AM_NOT = r"(?:am|'m) " + any_of(
    "unable to",
    "incapable of",
    "not capable of",
    "not comfortable",
    "not (?:able|allowed|permitted|going|designed|programmed|authori[sz]ed|willing|equipped|in a position) to",
)
_UNEASY = "(?:do not|don't) feel comfortable"
_HAVE_NOT = r"(?:do not|don't) (?:have|possess) (?:the )?(?:\w+ )?" + (
    any_of("ability", "capability", "capacity", "permission", "authori[sz]ation") + " to"
)
_I_CANNOT = rf"\bI(?: |(?='m)){_ADVERBS}{any_of(_CAN_NOT, _AM_NOT, _UNEASY)}"
_SERVICE = any_of(
    r"help(?! but| myself| it\b| \w+ing\b)",
    "assist|provid|fulfil|comply|answer|respond to|creat|writ|generat|produc",
    "shar|offer|discuss|support|engage|continue with|participat|access|brows|facilitat",
    "condon|encourag|promot|endors|role-?play|pretend|act as|impersonat|reveal",
    r"disclos|instruct|giv(?!e up|e in\b)|do (?:that|this|so|what)\b|make (?:that|any|such)",
    r"tell you(?! how| enough)",
)
"""What an assistant is asked for; where it says that it cannot do that, it refuses."""
_ERRAND = any_of(
    "open|view|advis|carry out|complet|process|perform|predict|translat|speculat",
    "describ|explain|diagnos|show you|guide|teach|play|send|buy|book",
    "confirm|verify",
    r"recommend(?!.{0,60}\benough)",
    r"mak(?:e|ing) (?:\w+ )?(?:calls?|bookings?|reservations?|purchases?)",
    "see (?:the|your|any)",
)
"""What people too say that they cannot do; it counts in a short response only."""
_TOPIC = any_of("something", "(?:a|the kind of) (?:topic|request|question|task|subject)")
_RULES = any_of("guidelines", "programming", "principles", "polic(?:y|ies)", "values", "instructions")

_REFUSALS = re.compile(
    any_of(
        rf"{_I_CANNOT} (?:be \w+ )?(?:to )?{_ADVERBS}{_SERVICE}",
        rf"\b(?:sorry|apologi[sz]e|apologies|regret)\b[^.!?\n]{{0,90}}?{_I_CANNOT}",
        rf"\bI {_HAVE_NOT}",
        rf"\bas an? (?:AI|artificial intelligence|language model)\b[^.!?\n]{{0,60}}{_I_CANNOT}",
        rf"\b(?:your|this|that) request (?:{_CAN_NOT}|is (?:not|against|in violation)|violates)",
        r"\bI (?:must|have to|need to|will have to|'ll have to) (?:\w+ly )?(?:decline|refuse)\b",
        rf"\bI (?:\w+ly )?(?:decline|refuse) to {any_of(_SERVICE, _ERRAND)}",
        r"\bI(?:'d| would| will)? (?:rather|prefer|choose|have chosen) not (?:to )?"
        r"(?:answer|discuss|help|assist|say|write)",
        rf"\b{_TOPIC} (?:that )?{_I_CANNOT}",
        rf"\bnot {_TOPIC} (?:that )?I(?:'m| am| can|'d be)\b",
        rf"(?:\bgoes|\bgo|\bis|\bare|'s) against (?:my|our|the) (?:\w+ )?{_RULES}",
        rf"\bviolates? (?:my|our|the) (?:\w+ ){{0,2}}{_RULES}",
        rf"\bmy {_RULES} (?:do|does)(?:n't| not) (?:allow|permit)",
        r"(?:\bnot |n't |\bin)(?:be )?appropriate for me to\b",
        r"\bI (?:don't|do not) think (?:that )?I (?:can|should) (?:help|assist|answer|provide|do that)",
        r"\b(?:prevents?|prohibits?|forbids?) me (?:from|to)\b",
        r"\b(?:sorry|no), (?:but )?(?:no\b|that's not (?:something|possible))",
    ),
    re.IGNORECASE,
)
_ERRANDS = re.compile(rf"{_I_CANNOT} (?:to )?{_ADVERBS}{_ERRAND}", re.IGNORECASE)
_GOES_ON = re.compile(
    r"\b(?:but|however|that said|nevertheless|nonetheless|still|instead|though)\b[^.!?\n]{0,90}?"
    + any_of(
        r"\bhere(?:'s| is| are)\b",
        r"\b(?:in general|generally|typically|common|commonly|usually)\b",
        r"\bif I (?:was|were|had)\b",
        r"\bI (?:can|could|will|'ll) (?:\w+ly )?"
        + any_of(
            "tell|explain|describe|outline|walk|point|summar|sketch|list|give|share",
            "suggest|offer (?:some|a few|general)|provide (?:some|a|general)",
        ),
    ),
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"[\s*…]*(?:subject:|dear\b|to whom|(?:hi|hello|hey) (?!there|!)[\w\[][\w .\[\]]{0,40},[ \t]*\n)", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+|\n+")


def refusal(own: str) -> str | None:
    """Return the words that refuse, None if there are none.

    Args:
        own: the response without quotations, as `own_words` returns it.
    """
    if _LETTER.match(own):
        return None
    opening, is_long = _opening(own), len(own.split()) >= _LONG
    found = _REFUSALS.search(opening) or (None if is_long else _ERRANDS.search(opening))
    if found is None or (is_long and _GOES_ON.search(own[:_READ])):
        return None
    return found[0]


def _opening(own: str) -> str:
    """Return the first sentences, each on a line of its own."""
    return "\n".join([s for s in _SENTENCE_END.split(own[:_READ]) if s.strip()][:_SENTENCES])
