r"""Compare the answer in a response with the known one, as mathematics: 1/2, 0.5 and \frac{1}{2} are equal.

Source: the library math-verify (Hugging Face, Apache-2.0), which finds the expression in a text that is most likely the
answer and compares with SymPy. Of a text with boxes only the last box counts, or the last few where nothing but a
comma, `and` or `or` stands between them (the library takes all boxes of a line as one set). Answers are read as LaTeX
or as plain expressions. What cannot be read is no wrong answer: it has no verdict. It does not judge how the answer was
reached.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from stages.verification.verdicts import NAME, CheckOptions

_GRADE_SCHOOL = re.compile(r"####\s*(.+?)\s*\Z", re.DOTALL)
_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
_SPACE, _WORD = r"(?:[\s$]|\\[()\[\]])*+", r"(?:and|or|\\text\s*\{\s*(?:and|or)\s*\})"
_BETWEEN = re.compile(rf"{_SPACE}(?:[,;]{_SPACE}{_WORD}?|{_WORD}){_SPACE}")


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

    return list(parse(last_boxes(text), parsing_timeout=None))


def last_boxes(text: str) -> str:
    r"""Return the last box of a text, with those that stand just before it; the text itself if it has none.

    Boxes without content are passed over, and so are those that are never closed.
    """
    boxes = [(start, end) for start, end in _boxes(text) if text[text.index("{", start) + 1 : end - 1].strip()]
    if not boxes:
        return text
    first = len(boxes) - 1
    while first and _BETWEEN.fullmatch(text, boxes[first - 1][1], boxes[first][0]):
        first -= 1
    return ", ".join(f"${text[start:end]}$" for start, end in boxes[first:])


def _boxes(text: str) -> list[tuple[int, int]]:
    """Return where the outermost boxes begin and end, in their order."""
    opened: list[int | None] = []  # for each open brace, where its box begins
    inside, found = 0, []
    for sign in _BRACES.finditer(text):
        if sign[0] == "}" and opened:
            start = opened.pop()
            inside -= start is not None
            if start is not None and not inside:
                found.append((start, sign.end()))
        elif sign[0] == "{" or sign[0].startswith("\\boxed"):
            start = None if sign[0] == "{" else sign.start()
            inside += start is not None
            opened.append(start)
    return found
