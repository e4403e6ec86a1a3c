"""Read rules out of a model's reply: a JSON array or a numbered list, with the numbers of their sources when merging.

A reply that cannot be read raises `Unusable`, so that the caller asks again. What a rule may say is not judged here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.api import Json, canonical_json
from stages.replies.asking import Unusable
from stages.replies.fences import FENCE, json_of, unfenced
from stages.rules.reasoning import split_reasoning

_LINE = re.compile(r"[ \t]*(?:\(?\d{1,4}[.)]|[-*•])[ \t]+(\S.*)")
_NONE = re.compile(r"(?:there (?:are|is) )?(?:no|none)(?: such)?(?: rules?)?(?: found)?[.!]?", re.IGNORECASE)
_CITED = re.compile(
    r"[ \t]*[\[(](?:from |rules? |sources?:? )?(\d{1,4}(?:[ ]*(?:,|and|&)[ ]*\d{1,4})*)[\])][.]?[ \t]*$"
)

RULES_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {"rules": {"type": "array", "items": {"type": "string"}}},
    "required": ["rules"],
    "additionalProperties": False,
}
"""Schema of a list of rules; the root is an object, since some servers take no other."""

MERGED_SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "rules": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"rule": {"type": "string"}, "from": {"type": "array", "items": {"type": "integer"}}},
                "required": ["rule", "from"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["rules"],
    "additionalProperties": False,
}
"""Schema of merged rules, each with the numbers of the rules that it stands for."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A merged rule as written, and the places (from 0) of the sources that it names and that exist."""

    rule: str
    sources: tuple[int, ...]


def parse_rules(reply: str) -> list[Json]:
    """Return the entries of the one JSON array of a reply, of whatever kind they are; it may be empty.

    Raises:
        Unusable: if there is prose in its place.
    """
    return _array(reply)


def parse_rule_lines(reply: str) -> list[Json]:
    """Return the entries of a numbered or bulleted list; a reply that only says "none" has no entries.

    A line that ends with a colon may stand before the list or a part of it, and an indented line goes on with the
    entry before it. The list ends at the first line of prose; see `lines_after_the_list`.

    Raises:
        Unusable: if there is no list.
    """
    _, text = split_reasoning(reply)
    if _NONE.fullmatch(text):
        return []
    entries, _ = _list_and_rest(text)
    if not entries:
        raise Unusable("the reply is prose where a list of rules should be")
    return list(entries)


def lines_after_the_list(reply: str) -> list[str]:
    """Return entries of further lists after the one that `parse_rule_lines` reads: small models go on with anything."""
    _, rest = _list_and_rest(split_reasoning(reply)[1])
    return [found[1] for found in map(_LINE.fullmatch, rest) if found]


def parse_merged(reply: str, n: int) -> list[Cited]:
    """Return the merged rules of a JSON reply with their sources, numbered 1 to n in what the model was shown.

    Raises:
        Unusable: if there is no array, or an entry is not a rule with a list of numbers.
    """
    entries = _array(reply)
    if not entries:
        raise Unusable("the list of merged rules is empty")
    out = []
    for entry in entries:
        rule, numbers = (entry.get("rule"), entry.get("from")) if isinstance(entry, dict) else (None, None)
        if not isinstance(rule, str) or not isinstance(numbers, list):
            raise Unusable("an entry is no object with the text 'rule' and the list 'from'")
        out.append(Cited(rule, _places(numbers, n)))
    return out


def parse_merged_lines(reply: str, n: int) -> list[Cited]:
    """Return the merged rules of a list whose entries end with their sources in brackets, as `[1, 4]`.

    Raises:
        Unusable: if there is no list.
    """
    out = []
    for entry in parse_rule_lines(reply):
        line = " ".join(str(entry).split())
        found = _CITED.search(line)
        rule, numbers = (line[: found.start()], re.findall(r"\d+", found[1])) if found else (line, [])
        out.append(Cited(rule, _places([int(i) for i in numbers], n)))
    if not out:
        raise Unusable("the list of merged rules is empty")
    return out


def _list_and_rest(text: str) -> tuple[list[str], list[str]]:
    """Part the entries of a list from the lines that come after it, beginning with the first line of prose."""
    entries: list[str] = []
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    for i, line in enumerate(lines):
        found = _LINE.fullmatch(line)
        if found:
            entries.append(found[1])
        elif entries and line[0] in " \t":
            entries[-1] += " " + line.strip()
        elif not line.rstrip("* ").endswith(":"):
            return entries, lines[i:]
    return entries, []


def _array(reply: str) -> list[Json]:
    _, text = split_reasoning(reply)
    fenced = FENCE.findall(text)
    text = str(fenced[0]).strip() if len(fenced) == 1 else unfenced(text)
    if not text.startswith(("[", "{")):
        raise Unusable("the reply is prose where a JSON array should be")
    value = json_of(text)
    if isinstance(value, dict) and set(value) == {"rules"}:
        value = value["rules"]
    if not isinstance(value, list):
        raise Unusable("the reply is JSON, but neither an array nor an object with the one key 'rules'")
    try:
        canonical_json(value)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Unusable("the JSON holds what no row can: NaN, lone surrogates, or lists too deep") from None
    return value


def _places(numbers: list[Json], n: int) -> tuple[int, ...]:
    """Return the places of sources that exist, each once, in order; a bool is no number."""
    whole = {i for i in numbers if type(i) is int and 1 <= i <= n}
    return tuple(i - 1 for i in sorted(whole))
