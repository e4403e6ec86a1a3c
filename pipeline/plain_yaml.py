"""Reads YAML that holds plain values only: what JSON can write, and nothing that runs code, repeats or hides.

Tags, anchors and aliases, dates, sets, NaN, infinity, keys that are no text and text that is no Unicode are refused
with their place, so that every value that gets through can be hashed, stored and sent.
"""

from __future__ import annotations

import math
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from pipeline.errors import RecipeError
from pipeline.types import Json

_DEEPEST = 50
_LARGEST = 2**64


def read_plain_yaml(text: str, what: str, place: str = "") -> Json:
    """Parse text into plain values.

    Args:
        text: one YAML document.
        what: what is read, for messages: `recipe 'a.yaml'`.
        place: the path of the whole value, put in front of the place of a value that is refused.

    Raises:
        RecipeError: if it is not YAML, or holds anything but plain values.
    """
    try:
        _refuse_notation(text, what)
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as e:
        raise RecipeError(f"{what} is not valid YAML: {_reason(e)}") from None
    _refuse_values(value, what, place)
    return value


def _refuse_notation(text: str, what: str) -> None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise RecipeError(f"{what}, line {line}: aliases are not read; write the value out")
        if isinstance(event, NodeEvent) and event.anchor is not None:
            raise RecipeError(f"{what}, line {line}: anchors are not read; remove '&{event.anchor}'")
        if getattr(event, "tag", None) is not None:
            raise RecipeError(f"{what}, line {line}: tags are not read; remove '{event.tag}'")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            raise RecipeError(f"{what}, line {line}: values are nested more than {_DEEPEST} deep")


def _refuse_values(value: Any, what: str, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise RecipeError(f"{what}: {place or 'the top'} has the key {_shown(key)}; put keys in quotes")
            _refuse_values(key, what, place)
            _refuse_values(item, what, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_values(item, what, f"{place}[{i}]")
    elif problem := _problem(value):
        raise RecipeError(f"{what}: {place or 'the value'} {problem}")


def _problem(value: Any) -> str | None:
    if isinstance(value, str):
        return "holds a lone surrogate, which is no text" if any("\ud800" <= c <= "\udfff" for c in value) else None
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}; expected a finite number"
    if isinstance(value, int):
        return None if abs(value) < _LARGEST else "is a number of more than 64 bits"
    return f"is a {type(value).__name__}; expected text (in quotes), a number, true, false, null, a list or a mapping"


def _shown(key: Any) -> str:
    return f"of type {type(key).__name__}" if isinstance(key, int) and abs(key) >= _LARGEST else f"{key!r}"[:80]


def _reason(e: Exception) -> str:
    problem, mark = getattr(e, "problem", None), getattr(e, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{problem or str(e).splitlines()[0]}{place}"
