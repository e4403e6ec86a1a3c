"""Look for a regular expression in a response, in a process that is ended if the expression never comes to an end."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stages.verification.verdicts import NAME, CheckOptions

_FLAGS = {"ignore_case": re.IGNORECASE, "multiline": re.MULTILINE, "dot_all": re.DOTALL}


class RegexCheck(CheckOptions):
    """Passes where the expression is found, or, with `forbid`, where it is not."""

    kind: Literal["regex"] = "regex"
    pattern: str | None = None
    """A regular expression of Python's `re`, one for all rows."""
    pattern_column: str | None = Field(None, pattern=NAME)
    """The column that holds each row's expression."""
    match: Literal["search", "full"] = "search"
    """`search` anywhere in the response, or the `full` response without white space around it."""
    flags: tuple[Literal["ignore_case", "multiline", "dot_all"], ...] = ()
    forbid: bool = False
    time_limit_s: float = Field(2.0, gt=0)
    """Seconds of processor time; an expression that needs longer gives no verdict."""

    @model_validator(mode="after")
    def _one_pattern_that_compiles(self) -> Self:
        if (self.pattern is None) == (self.pattern_column is None):
            raise ValueError("a check of kind regex needs either pattern or pattern_column")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as e:
                raise ValueError(f"pattern is no regular expression: {e}") from None
        return self


def match_pattern(text: str, pattern: str, full: bool, flags: list[str], forbid: bool) -> dict[str, Any]:
    """Return `passed` (None for an expression that does not compile) and `note`."""
    try:
        compiled = re.compile(pattern, sum(_FLAGS[f] for f in flags))
    except (re.error, OverflowError) as e:
        return {"passed": None, "note": f"no regular expression: {e}"}
    found = compiled.fullmatch(text.strip()) if full else compiled.search(text)
    return {"passed": (found is not None) != forbid, "note": "found" if found else "not found"}
