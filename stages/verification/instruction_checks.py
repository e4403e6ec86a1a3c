"""The 25 instructions of IFEval that a program can check: whether a text follows one of them.

Paper: IFEval, arXiv:2311.07911; names and arguments as in google-research/instruction_following_eval, read at 3f357bd;
the code is ours. Departures: keywords are literal words, not regular expressions; sentences are split by rules
(`text_counts.py`), not by NLTK; languages are told by py3langid, and a text too short to tell has no verdict where
IFEval counts it as followed; words in capitals are counted whole (`DON'T` is one); an argument that is missing leaves
no verdict, where IFEval draws one at random.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from stages.selection.language import LANGUAGES, identify
from stages.verification.text_counts import count_sentences, count_words

Arguments = Mapping[str, Any]
Followed = bool | None
"""None where it cannot be told."""

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_ENDS_OF_FIRST_WORD = frozenset(".,?!'\"")
_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
_CAPITALS = re.compile(r"\w+(?:[-'\u2019]\w+)*")


class BadArguments(ValueError):
    """An instruction's arguments are missing or of the wrong kind; the text says which."""


def text_of(given: Arguments, name: str) -> str:
    """Return an argument that is text."""
    found = given.get(name)
    if not isinstance(found, str) or not found.strip():
        raise BadArguments(f"needs {name}, a text")
    return found


def texts_of(given: Arguments, name: str) -> list[str]:
    """Return an argument that is a list of texts."""
    found = given.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(t, str) and t.strip() for t in found):
        raise BadArguments(f"needs {name}, a list of texts")
    return found


def number_of(given: Arguments, name: str) -> int:
    """Return an argument that is a whole number from 0."""
    found = given.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not (0 <= found < math.inf and found % 1 == 0):
        raise BadArguments(f"needs {name}, a whole number from 0")
    return int(found)


def holds(count: int, given: Arguments, number: str, relation: str = "relation") -> bool:
    """Return whether a count keeps a bound given as `less than` or `at least` a number."""
    bound, how = number_of(given, number), given.get(relation)
    if how not in ("less than", "at least"):
        raise BadArguments(f"needs {relation}, 'less than' or 'at least'")
    return count < bound if how == "less than" else count >= bound


def occurrences(word: str, text: str, whole: bool = False) -> int:
    """Return how often a word stands in a text, whatever the case."""
    pattern = re.escape(word)
    return len(re.findall(rf"(?<!\w){pattern}(?!\w)" if whole else pattern, text, re.IGNORECASE))


def in_language(text: str, code: str) -> Followed:
    """Return whether a text is in a language (ISO 639-1); None if it is too short to tell."""
    wanted = code.split("-")[0].strip().lower()
    if wanted not in LANGUAGES:
        raise BadArguments(f"needs language, a code such as 'de', not {code!r}")
    found = identify(text)
    return None if found is None else found.code == wanted


def in_case(text: str, is_case: bool) -> Followed:
    """Return whether a text has the case that was found and is English."""
    return in_language(text.lower(), "en") if is_case else False


def has_paragraphs(text: str, given: Arguments) -> bool:
    """Paragraphs parted by `***`, exactly so many; an empty one between two others is none that counts."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    wanted, filled = number_of(given, "num_paragraphs"), sum(1 for p in parts if p.strip())
    return filled == wanted and all(part.strip() for part in parts[1:-1])


def nth_paragraph_begins(text: str, given: Arguments) -> bool:
    """Paragraphs parted by empty lines, exactly so many, and the n-th of them begins with a word."""
    parts = text.split("\n\n")
    filled, at = sum(1 for p in parts if p.strip()), number_of(given, "nth_paragraph")
    word, wanted = text_of(given, "first_word").lower(), number_of(given, "num_paragraphs")
    if not 1 <= at <= filled or not parts[at - 1].strip():
        return False
    first = parts[at - 1].split()[0].lstrip("'").lstrip('"').lower()
    end = next((i for i, c in enumerate(first) if c in _ENDS_OF_FIRST_WORD), len(first))
    return first[:end] == word and filled == wanted


def has_postscript(text: str, given: Arguments) -> bool:
    """A postscript with this mark, written in either case."""
    mark = text_of(given, "postscript_marker").strip()
    return re.search(_POSTSCRIPTS.get(mark, re.escape(mark.lower())), text.lower()) is not None


def count_bullets(text: str) -> int:
    """Lines that begin with one star, or with a dash."""
    lines = [line.lstrip() for line in text.splitlines()]
    return sum(1 for x in lines if x.startswith("-") or (x.startswith("*") and len(x) > 1 and x[1] != "*"))


def count_highlights(text: str) -> int:
    """Texts between single stars, and those between double ones once more, as IFEval counts them."""
    single = [m for m in re.findall(r"\*[^\n*]*\*", text) if m.strip("*").strip()]
    double = [m for m in re.findall(r"\*\*[^\n*]*\*\*", text) if m[2:-2].strip()]
    return len(single) + len(double)


def has_title(text: str) -> bool:
    """A line holds something between `<<` and `>>`."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and end > start + 2 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def is_json(text: str) -> bool:
    """Nothing but JSON, at most in a fence."""
    body = re.sub(r"\A```(?:json)?", "", text.strip(), flags=re.IGNORECASE).removesuffix("```")
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def has_two_responses(text: str) -> bool:
    """Two different answers, parted by six stars."""
    parts = text.split("******")
    filled = [p.strip() for p in parts if p.strip()]
    return all(p.strip() for p in parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def ends_with(text: str, given: Arguments) -> bool:
    """The text ends with a phrase, whatever the case; a closing quotation mark may follow."""
    return text.strip().strip('"').lower().endswith(text_of(given, "end_phrase").strip().lower())


def count_sections(text: str, given: Arguments) -> int:
    """Marks of sections with a number, such as `Section 2`."""
    mark = re.escape(text_of(given, "section_spliter").strip())
    return len(re.findall(rf"{mark}\s?\d+", text))


def in_quotes(text: str) -> bool:
    """The whole text stands between double quotation marks."""
    whole = text.strip()
    return len(whole) > 1 and whole[0] == whole[-1] == '"'


def count_capitals(text: str) -> int:
    """Words all in capitals; with hyphens or an apostrophe one word."""
    return sum(1 for word in _CAPITALS.findall(text) if word.isupper())


def count_letter(text: str, given: Arguments) -> int:
    """How often a letter stands in the text, whatever the case."""
    letter = text_of(given, "letter").strip().lower()
    if len(letter) != 1:
        raise BadArguments("needs letter, one character")
    return text.lower().count(letter)


CHECKS: dict[str, Callable[[str, Arguments], Followed]] = {
    "keywords:existence": lambda t, a: all(occurrences(w, t) for w in texts_of(a, "keywords")),
    "keywords:frequency": lambda t, a: holds(occurrences(text_of(a, "keyword").strip(), t), a, "frequency"),
    "keywords:forbidden_words": lambda t, a: not any(occurrences(w, t, True) for w in texts_of(a, "forbidden_words")),
    "keywords:letter_frequency": lambda t, a: holds(count_letter(t, a), a, "let_frequency", "let_relation"),
    "language:response_language": lambda t, a: in_language(t, text_of(a, "language")),
    "length_constraints:number_sentences": lambda t, a: holds(count_sentences(t), a, "num_sentences"),
    "length_constraints:number_paragraphs": has_paragraphs,
    "length_constraints:number_words": lambda t, a: holds(count_words(t), a, "num_words"),
    "length_constraints:nth_paragraph_first_word": nth_paragraph_begins,
    "detectable_content:number_placeholders": lambda t, a: (
        len(re.findall(r"\[[^\[\]\n]*\]", t)) >= number_of(a, "num_placeholders")
    ),
    "detectable_content:postscript": has_postscript,
    "detectable_format:number_bullet_lists": lambda t, a: count_bullets(t) == number_of(a, "num_bullets"),
    "detectable_format:constrained_response": lambda t, a: any(option in t for option in _OPTIONS),
    "detectable_format:number_highlighted_sections": lambda t, a: count_highlights(t) >= number_of(a, "num_highlights"),
    "detectable_format:multiple_sections": lambda t, a: count_sections(t, a) >= number_of(a, "num_sections"),
    "detectable_format:json_format": lambda t, a: is_json(t),
    "detectable_format:title": lambda t, a: has_title(t),
    "combination:two_responses": lambda t, a: has_two_responses(t),
    "combination:repeat_prompt": lambda t, a: (
        t.strip().lower().startswith(text_of(a, "prompt_to_repeat").strip().lower())
    ),
    "startend:end_checker": ends_with,
    "startend:quotation": lambda t, a: in_quotes(t),
    "change_case:capital_word_frequency": lambda t, a: holds(
        count_capitals(t), a, "capital_frequency", "capital_relation"
    ),
    "change_case:english_capital": lambda t, a: in_case(t, t.isupper()),
    "change_case:english_lowercase": lambda t, a: in_case(t, t.islower()),
    "punctuation:no_comma": lambda t, a: "," not in t,
}
"""Instruction id to a function of a text and the arguments; it raises `BadArguments` where an argument is missing."""
