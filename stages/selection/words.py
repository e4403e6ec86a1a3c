"""Cut a text into words for comparing texts: case, width, punctuation and white space do not count.

No paper: the usual folding of n-gram matching (Unicode NFKC, then case folding). A word is a run of characters between
white space and punctuation; of scripts that are written without spaces (Chinese, Japanese, Thai and their like) every
character is a word of its own. Signs of arithmetic are punctuation too, unless they are asked for: `3+5` is the words
3, 5, or 3, +, 5. It does not know what the words are compared for.
"""

from __future__ import annotations

import re
import unicodedata

_PUNCTUATION = (
    "!-/:-@\\[-`{-~"
    "\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    "\u060c\u061b\u061f\u06d4\u0964\u0965"
    "\u2000-\u200b\u200e-\u2bff\u3000-\u3004\u3008-\u3020\u30fb\ufe10-\ufe6f"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3021-\u30fa\u30fc-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORDS = f"[{_UNSPACED}]|[^\\s{_PUNCTUATION}{_UNSPACED}]+"
_WORD = re.compile(_WORDS)
_OPERATOR = (
    "[+=<>^%\u00b1\u00d7\u00f7\u2202-\u22ff]"
    r"|(?<=\w)[*/](?=\w)|(?<=\w )[*/-](?= \w)|(?<=\d)-(?=\d)"
)
_WORD_OR_OPERATOR = re.compile(f"{_WORDS}|{_OPERATOR}")


def fold(text: str) -> str:
    """Return a text with case, width and white space evened out; what is equal then is an exact duplicate."""
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split())


def split_words(folded: str) -> list[str]:
    """Return the words of a folded text, in order."""
    return _WORD.findall(folded)


def split_terms(folded: str) -> list[str]:
    """Return words and signs of arithmetic, in order: what is asked of 3+5 is not what is asked of 3*5.

    Star, slash and minus count between words only, so that marks of a list or of emphasis do not.
    """
    return _WORD_OR_OPERATOR.findall(folded)


def is_single_character(word: str) -> bool:
    """Return whether a word is one letter or digit, as in formulas; a character of an unspaced script is a word."""
    return len(word) == 1 and not re.match(f"[{_UNSPACED}]", word)
