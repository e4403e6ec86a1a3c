"""Take the words of others out of a response, so that what is left is what the response itself says.

A response that quotes a refusal refuses nothing. Taken out are text between double quotation marks or guillemets,
between single ones where they cannot be apostrophes, quoted lines (`> ...`) and code. Curly apostrophes become
straight. Knows nothing of what is looked for; a quotation without marks is not seen.
"""

from __future__ import annotations

import re


def any_of(*phrases: str) -> str:
    """Return a pattern for any of some patterns; each may hold several, parted by `|`."""
    return f"(?:{'|'.join(phrases)})"


_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,400}`", re.DOTALL)
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_QUOTED = re.compile(
    r"\"[^\"\n]{1,800}\"|“[^”\n]{1,800}”|«[^»\n]{1,800}»|„[^“”\n]{1,800}[“”]"
    r"|(?<![\w'])'(?=\S)(?:[^'\n]|(?<=\w)'(?=\w)){1,400}'(?!\w)"
)
_SPOKE = any_of(
    "sa(?:id|ys)|wr(?:ote|ites)|th(?:ought|inks)|ask(?:ed|s)|cri(?:ed|es)|whisper(?:ed|s)",
    "repl(?:ied|ies)|answer(?:ed|s)|s[ai]ngs?|shout(?:ed|s)|mutter(?:ed|s)",
)
_WHO = r"(?:he|she|they|(?:the|an?|my|his|her) \w+|[A-Z]\w+)"
_SAID = re.compile(rf"[^.!?\n]{{0,120}}?, (?:{_SPOKE} {_WHO}|{_WHO} {_SPOKE})\b")
_WHOLLY_QUOTED = re.compile(r"[\"“«„]([^\"“”«»„]+)[\"”»“]")
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")
_GONE = "…"


def own_words(text: str) -> str:
    """Return a text without quotations and code, `…` in place of each; a text that is one quotation is unwrapped."""
    plain = text.strip().translate(_APOSTROPHES)
    wrapped = _WHOLLY_QUOTED.fullmatch(plain)
    if wrapped:
        plain = wrapped[1]
    return _QUOTED.sub(_GONE, _QUOTED_LINE.sub(_GONE, _CODE.sub(_GONE, plain)))


def is_reported(own: str, end: int) -> bool:
    """Say whether the words before `end` are someone else's, as their sentence goes on with "said the fox"."""
    return _SAID.match(own, end) is not None
