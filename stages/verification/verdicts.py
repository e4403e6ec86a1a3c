"""What a check says of a response, and what every kind of check has in common."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"

Parts = tuple[tuple[bool | None, ...], tuple[bool | None, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check of one response.

    Attributes:
        passed: None where no verdict could be made; never a guess.
        note: why, in a few words.
        score: 0 to 1; None where there is no verdict. 1 or 0, but for checks with parts, where it is the share passed.
        parts: for instructions, which of them were followed, strictly and loosely.
    """

    passed: bool | None
    note: str
    score: float | None
    parts: Parts | None = None


def judged(passed: bool | None, note: str, share: float | None = None) -> Verdict:
    """Return a verdict; its score is `share`, or 1 or 0 as it passed."""
    note = note.encode("utf-8", "replace").decode()  # a response can put half a character into it; a table cannot
    if passed is None:
        return Verdict(None, note, None)
    return Verdict(passed, note, float(passed) if share is None else share)


class CheckOptions(BaseModel):
    """Options of all kinds of check."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str | None = Field(None, pattern=NAME)
    """What `check_names` calls it; the kind unless said otherwise. Each name once."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Its share in `verifier_reward`."""
