"""Read a judgment of faults: the word "perfect" at its beginning, or what is wrong.

CUT, arXiv:2312.14591: a judgment that starts with "perfect" is positive, anything else negative. Ours also refuses what
is neither: an empty reply, a refusal, "perfect, but ...", "no faults" or "it is perfect", which would count as a fault,
and a reply that repeats the quotations of its request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from stages.replies.asking import Unusable
from stages.replies.refusing import begins_as_refusal

Polarity = Literal["positive", "negative"]
_LABEL = re.compile(r"[\W_]*(?:judge?ment|critique|verdict|faults?|response)[\W_]*:[*_\s]*", re.IGNORECASE)
_PERFECT = re.compile(r"[\W_]*perfect(?!\w)", re.IGNORECASE)
_BUT = re.compile(
    r"(?:[^.!?\n]*|[\W_]*)\b(?:but|except|apart from|aside from|however|although|though|save for|would|should)\b",
    re.IGNORECASE,
)
"""An exception in the sentence that begins with "perfect", or at the beginning of the next."""
_QUOTATION = re.compile(r"^[^\w\n]*(?:BEGIN|END) [\w ]{0,40}[0-9a-f]{8,}[^\w\n]*$", re.IGNORECASE | re.MULTILINE)
_IT = r"(?:it|this|(?:the|this) (?:response|answer))"
_NO_FAULT = re.compile(
    rf"(?:(?:i (?:can )?(?:find|found|see) |there (?:are|is|were) |{_IT} (?:has|contains) )?"
    r"no(?:ne|thing(?: is wrong)?| (?:\w+ )?(?:faults?|errors?|mistakes?|issues?|problems?|flaws?))"
    rf"(?: (?:found|here|at all|in {_IT}))?"
    rf"|{_IT}(?: is|['’]s) (?:(?:an?|just|simply|already|entirely|absolutely) ){{0,2}}perfect(?: (?:response|answer))?"
    r"|n/?a|not applicable)[\W_]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Judgment:
    """A judgment; `text` is None for a positive one, as in the paper's data."""

    polarity: Polarity
    text: str | None


def parse_judgment(reply: str) -> Judgment:
    """Return what a reply says about a response.

    Raises:
        Unusable: if it says nothing, contradicts itself, or declines (code `refusal`).
    """
    text = _LABEL.sub("", reply.strip(), count=1) if _LABEL.match(reply.strip()) else reply.strip()
    if _QUOTATION.search(text):
        raise Unusable("the reply repeats the quotations of its request")
    if perfect := _PERFECT.match(text):
        if _BUT.match(text, perfect.end()):
            raise Unusable("the reply calls the response perfect and goes on with an exception")
        return Judgment("positive", None)
    if begins_as_refusal(text):
        raise Unusable("the reply declines to judge", "refusal")
    if not any(character.isalnum() for character in text):
        raise Unusable("the reply holds no judgment")
    if _NO_FAULT.fullmatch(text):
        raise Unusable("the reply says that there is no fault, in other words than the one it was asked for")
    return Judgment("negative", text)
