"""Tell whether a reply to one of our own requests begins by declining it.

Narrow on purpose. It looks at the first words only, since what is asked here is harmless and a refusal comes at once;
and it wants a verb of serving ("I can't help"), since people too begin with what they cannot do ("I can't sleep when").
Refusals in responses to prompts of any kind are the business of `stages.selection.refusals`.
"""

from __future__ import annotations

import re

_SERVE = (
    r"(?:help|assist|fulfil+|comply|write|create|provide|answer|generate|produce|continue|complete|respond|reply|engage|"
    r"accommodate|proceed|offer|do (?:that|this|so)|give you|with that)\b"
)
_UNABLE = r"(?:can(?:['’]?t|not)|won['’]?t(?: be able to)?|am (?:not able|unable) to|['’]?m (?:not able|unable) to)"
_OPENING = re.compile(
    r"(?:i(?:['’]?m| am) (?:very |so |really |truly )?sorry(?:[,.!]| but\b| i\b)|"
    r"(?:sorry,? (?:but )?|unfortunately,? |i apologi[sz]e,? (?:but )?)i ?(?:['’]m|can|am|won)|"
    rf"i ?{_UNABLE} {_SERVE}|as an? (?:ai|artificial|large language|language model)\b)",
    re.IGNORECASE,
)


def begins_as_refusal(text: str) -> bool:
    """Return whether a text begins, after white space, with words that decline."""
    return _OPENING.match(text.lstrip()) is not None
