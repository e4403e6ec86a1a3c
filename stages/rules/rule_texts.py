"""Tell what a rule is: when two texts are the same rule, its id, and which texts are no rule for other pairs.

AutoRule (arXiv:2506.15651) removes exact duplicates only. Here case, white space and the full stop at the end do not
make another rule. A rule must be usable on a response that nobody compared with another, so a text that speaks of
"Response A" or "the other answer" is refused, and so is one that copies a run of words from the pair it came from.
Knows English only, and words only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from pipeline.api import Json, canonical_json, digest_of, quote
from stages.replies.word_runs import shared_run, words_of

MOST_CHARACTERS = 500
COPIED_WORDS = 8
"""A rule that shares a run of that many words with the prompt or a response is about that pair only."""
_LEAST_WORDS = 2
_ID_DIGITS = 16
_WRAPS = (("**", "**"), ("*", "*"), ("`", "`"), ('"', '"'), ("“", "”"))
_THING = r"(?:responses?|answers?|replies|reply|assistants?|conversations?|completions?|candidates?)"
_NAMES_A_RESPONSE = re.compile(
    r"\b(?:responses?|answers?|reply|replies|assistants?|conversations?|options?|completions?) (?-i:[AB])\b"
    r"|\b(?:response|assistant|conversation|completion) #?[12]\b"
    r"|\bthe (?:first|second|other|former|latter|preferred|chosen|rejected|losing|winning|better|worse) "
    rf"(?:\w+ )?{_THING}\b"
    rf"|\b(?:both|these|those|the two|either|neither) (?:of the )?{_THING}\b"
    r"|\b(?:than|unlike|like|over) the (?:other|alternative)\b"
    r"|(?-i:\bA (?:and|or|over|vs\.?|versus) B\b)"
    r"|(?-i:\b(?:than|over|prefers?|preferred|chose|unlike) [AB]\b(?![-+']))"
    r"|(?-i:(?:^|[,;] )[AB] (?:is|was|has|gives?|provides?|wins?|loses?|won|lost)\b)",
    re.IGNORECASE,
)


def folded(rule: str) -> str:
    """Return a rule's text as it is compared: lower case, single spaces, without marks at its end."""
    return " ".join(rule.casefold().split()).strip(" .;!\"'“”")


def rule_id_of(rule: str) -> str:
    """Return a rule's id: 16 hex digits from its folded text."""
    return digest_of(folded(rule))[:_ID_DIGITS]


def cleaned(rule: str) -> str:
    """Return a rule on one line, without the marks of a list, and without bold type or quotation marks around it."""
    text = " ".join(rule.split())
    text = re.sub(r"^(?:[-*•]|\(?\d{1,3}[.)])[ ]+", "", text)
    return _unwrapped(text)


def _unwrapped(text: str) -> str:
    for opening, closing in _WRAPS:
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and opening not in inner and closing not in inner:
            return _unwrapped(inner.strip())
    return text


def why_no_rule(rule: str, pair: Sequence[str] = ()) -> str | None:
    """Return why a text is no rule for other pairs, None if it may be one.

    Args:
        rule: the text, cleaned.
        pair: texts of the pair that it came from.

    Returns:
        `empty`, `too_long`, `control_token`, `names_a_response` or `copies_the_pair`. A rule stands in the verifier's
        prompt as it is, so what looks like a control token of a chat template is none.
    """
    if len(words_of(rule)) < _LEAST_WORDS:
        return "empty"
    if len(rule) > MOST_CHARACTERS:
        return "too_long"
    if quote("RULE", rule, 0).suspicious:
        return "control_token"
    if _NAMES_A_RESPONSE.search(rule):
        return "names_a_response"
    if pair and shared_run(rule, pair, COPIED_WORDS):
        return "copies_the_pair"
    return None


@dataclass(frozen=True, slots=True)
class Sifted:
    """The entries of a reply: rules in order, each text once, and what was refused with the reason for it."""

    rules: tuple[str, ...]
    refused: tuple[str, ...]
    refused_for: tuple[str, ...]


def sift(entries: Sequence[Json], pair: Sequence[str] = (), shown: Set[str] = frozenset()) -> Sifted:
    """Part the entries of a reply into rules and what is none; a refused entry that is no text is kept as JSON.

    Args:
        entries: the reply's, of whatever kind.
        pair: texts of the pair that they came from.
        shown: rules of a worked example in the prompt, folded; they are no answer.
    """
    rules: dict[str, str] = {}
    refused: list[tuple[str, str]] = []
    for entry in entries:
        if not isinstance(entry, str):
            refused.append((canonical_json(entry).decode(), "not_text"))
            continue
        rule = cleaned(entry)
        why = "worked_example" if folded(rule) in shown else why_no_rule(rule, pair)
        if why:
            refused.append((entry, why))
        else:
            rules.setdefault(folded(rule), rule)
    return Sifted(tuple(rules.values()), tuple(t for t, _ in refused), tuple(w for _, w in refused))
