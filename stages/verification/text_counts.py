"""Count words, sentences and paragraphs of a text by simple rules.

Words are runs of letters, digits and underscores, as in IFEval. Sentences end at `.`, `!` or `?` (or the full stops of
Chinese and Hindi) before white space or the end; common abbreviations, initials and numbers of lists do not end one.
IFEval uses NLTK's trained splitter there, which this does not reproduce exactly.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_END = re.compile(r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]*_]*+(?=\s|\Z)|[\u3002\uff01\uff1f\u0964]++")
_LAST_WORD = re.compile(r"(\S+)\Z")
_TEXT = """
    mr mrs ms dr prof sr jr st mt rev gen col lt capt sgt vs etc e.g i.e cf approx vol pp inc ltd dept fig al
    u.s u.k a.m p.m jan feb aug sept oct nov dec
"""
_ABBREVIATIONS = frozenset(_TEXT.split())


def count_words(text: str) -> int:
    """Return the number of runs of letters, digits and underscores."""
    return sum(1 for _ in _WORD.finditer(text))


def count_sentences(text: str) -> int:
    """Return the number of sentences; what stands after the last end counts as one."""
    count = start = 0
    for found in _END.finditer(text):
        if _ends_a_sentence(text[start : found.start()], found[0]):
            count, start = count + 1, found.end()
    return count + bool(text[start:].strip())


def paragraphs_of(text: str) -> list[str]:
    """Return the parts between empty lines that hold more than white space."""
    return [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def _ends_a_sentence(before: str, mark: str) -> bool:
    if not before.strip():
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    word = _LAST_WORD.search(before)
    last = "" if word is None else word[1].lstrip("(\"'\u201c\u2018*_")
    is_list_number = last.isdigit() and before.strip() == last
    is_initial = len(last) == 1 and last.isalpha() and last.isupper() and last != "I"
    return not (is_list_number or is_initial or last.casefold() in _ABBREVIATIONS)
