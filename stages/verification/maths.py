r"""Compare the answer in a response with the known one, as mathematics: 1/2, 0.5 and \frac{1}{2} are equal.

Source: the library math-verify (Hugging Face, Apache-2.0), which finds the last expression in a text and compares with
SymPy. Answers are read as LaTeX or as plain expressions. What cannot be read is no wrong answer: it has no verdict. It
does not judge how the answer was reached.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from stages.verification.verdicts import NAME, CheckOptions

_GRADE_SCHOOL = re.compile(r"####\s*(.+?)\s*\Z", re.DOTALL)


class MathCheck(CheckOptions):
    """Compares with the known answer in a column."""

    kind: Literal["math"] = "math"
    answer_column: str = Field("answer", pattern=NAME)
    """The known answer, LaTeX or plain; of a text with `####`, what follows it."""
    time_limit_s: float = Field(5.0, gt=0)
    """Seconds of processor time; what takes longer has no verdict."""


def compare_answers(response: str, answer: str) -> dict[str, Any]:
    """Return `passed` (None where one of the two cannot be read) and `note`."""
    from math_verify import verify

    known = _read_known(answer)
    if not known:
        return {"passed": None, "note": "the known answer cannot be read as mathematics"}
    found = _read(response)
    if not found:
        return {"passed": None, "note": "no answer that can be read as mathematics"}
    equal = verify(known, found, timeout_seconds=None)
    return {"passed": bool(equal), "note": f"answer {str(found[-1])[:80]}, known {str(known[-1])[:80]}"}


def as_response(answer: str) -> str:
    """Return a known answer as a response that gives it."""
    return f"\\boxed{{{answer.strip()}}}" if _is_bare(answer) and "####" not in answer else answer


def _is_bare(text: str) -> bool:
    return not any(sign in text for sign in ("$", "\\boxed", "\\(", "\\["))


def _read_known(answer: str) -> list[Any]:
    marked = _GRADE_SCHOOL.search(answer)
    text = marked[1] if marked else answer.strip()
    return (_read(f"${text}$") if _is_bare(text) else []) or _read(text)


def _read(text: str) -> list[Any]:
    from math_verify import parse

    return list(parse(text, parsing_timeout=None))
