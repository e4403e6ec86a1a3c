"""Check all instructions of a row, strictly and loosely, and say which were followed.

Paper: IFEval, arXiv:2311.07911. Strict takes the response as it is. Loose lets an instruction count as followed if one
of eight readings follows it: with or without the first line, the last line, and stars of emphasis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stages.verification.instruction_checks import CHECKS, Arguments, BadArguments, Followed
from stages.verification.verdicts import NAME, CheckOptions, Verdict


class InstructionsCheck(CheckOptions):
    """Passes where all instructions of the row, or of the recipe, are followed."""

    kind: Literal["instructions"] = "instructions"
    instructions: tuple[dict[str, Any], ...] | None = None
    """The same for all rows: each an object with `id` and its arguments; None to read the two columns."""
    ids_column: str = Field("instruction_id_list", pattern=NAME)
    """Column of instruction ids, a list of texts."""
    arguments_column: str = Field("kwargs", pattern=NAME)
    """Column of their arguments: a list of JSON objects as texts, one for each id."""
    mode: Literal["strict", "loose"] = "strict"
    """Which of the two decides; both stand in the row."""

    @model_validator(mode="after")
    def _known_instructions(self) -> Self:
        for one in self.instructions or ():
            if one.get("id") not in CHECKS:
                raise ValueError(f"instructions: {one.get('id')!r} is none of {', '.join(CHECKS)}")
            try:
                CHECKS[one["id"]]("a", one)
            except BadArguments as e:
                raise ValueError(f"instructions: {one['id']} {e}") from None
        return self


@dataclass(frozen=True, slots=True)
class Followings:
    """What was followed of a row's instructions, in their order; None where it cannot be told."""

    strict: tuple[Followed, ...]
    loose: tuple[Followed, ...]
    notes: tuple[str, ...]


def follow(text: str, instructions: Sequence[tuple[str, Arguments]]) -> Followings:
    """Check a response against instructions, each an id and its arguments."""
    strict: list[Followed] = []
    loose: list[Followed] = []
    notes: list[str] = []
    readings = loose_readings(text)
    for name, given in instructions:
        try:
            strict.append(_follows(text, name, given))
            loose.append(any_follows([_follows(reading, name, given) for reading in readings]))
        except BadArguments as e:
            strict.append(None)
            loose.append(None)
            notes.append(f"{name}: {e}")
    return Followings(tuple(strict), tuple(loose), tuple(notes))


def loose_readings(text: str) -> list[str]:
    """Return the eight readings of a response, equal ones once."""
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys([*cut, *(one.replace("*", "") for one in cut)]))


def any_follows(found: Sequence[Followed]) -> Followed:
    """Return True if one reading follows, None if none does but one cannot be told."""
    return True if True in found else None if None in found else False


def instructions_of(ids: Sequence[str] | None, arguments: Sequence[str | None] | None) -> list[tuple[str, Arguments]]:
    """Return a row's instructions.

    Raises:
        ValueError: the two lists do not fit together, or arguments are no JSON object.
    """
    if not ids:
        raise ValueError("the row lists no instruction")
    given = list(arguments) if arguments is not None else [None] * len(ids)
    if len(given) != len(ids):
        raise ValueError(f"the row lists {len(ids)} instructions, but arguments for {len(given)}")
    return [(name, _arguments(text)) for name, text in zip(ids, given, strict=True)]


def verdict_of(found: Followings, mode: str) -> Verdict:
    """Return the verdict of a row: passed if all are followed; the score is the share followed."""
    chosen = found.strict if mode == "strict" else found.loose
    told = [sum(f is True for f in kind) for kind in (found.strict, found.loose)]
    note = "; ".join([f"strict {told[0]}, loose {told[1]} of {len(chosen)}", *found.notes])[:300]
    passed = False if False in chosen else None if None in chosen else True
    share = None if None in chosen else sum(map(bool, chosen)) / len(chosen)
    return Verdict(passed, note, share, (found.strict, found.loose))


def _arguments(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"arguments are no JSON object: {str(text)[:80]}")
    return {name: found for name, found in value.items() if found is not None}


def _follows(text: str, name: str, given: Arguments) -> Followed:
    if name not in CHECKS:
        raise BadArguments("not one of IFEval's instructions")
    found = CHECKS[name](text, given)  # also for an empty text: arguments are looked at
    return found if text.strip() else False
