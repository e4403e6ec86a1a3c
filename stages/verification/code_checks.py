"""Take the code out of a response and run it with the row's tests (`sandbox.py`)."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from stages.verification.sandbox import Limits
from stages.verification.verdicts import NAME, CheckOptions

_FENCE = re.compile(r"[ \t]*```[ \t]*([A-Za-z0-9_+-]*)[^`]*")
_PYTHON = ("python", "py", "python3")


class CodeCheck(CheckOptions):
    """Passes where the response's Python and then the tests of the row end without an error."""

    kind: Literal["code"] = "code"
    tests_column: str = Field("tests", pattern=NAME)
    """Python that runs after the response's code, in its name space, and raises if it is wrong: assertions, say. Tests
    that are no Python, or that only define functions and call none, give no verdict."""
    block: Literal["last", "first", "joined"] = "last"
    """Which fenced blocks count; those marked as Python if there are any, else those without a mark."""
    bare: bool = False
    """Take a response without any fenced block as code; else it has no verdict."""
    cpu_s: int = Field(5, ge=1, le=600)
    """Seconds of processor time of code and tests together, and of each process that they start."""
    wall_s: float = Field(30.0, gt=0, le=3600)
    """Seconds after which all of it is ended, also if it only waits."""
    memory_mb: int = Field(512, ge=64)
    """Address space of one process."""
    disk_mb: int = Field(32, ge=1)
    """All that it may write; it is gone afterwards."""
    processes: int = Field(16, ge=1, le=1024)
    """Processes and threads at once."""

    def limits(self) -> Limits:
        """Return what the code may use."""
        return Limits(self.cpu_s, self.wall_s, self.memory_mb, self.disk_mb, self.processes)


def code_of(response: str, block: str, bare: bool) -> str | None:
    """Return the Python of a response; None if it has none."""
    found = blocks_of(response)
    marked = [text for mark, text in found if mark in _PYTHON] or [text for mark, text in found if not mark]
    if marked:
        return "\n".join(marked) if block == "joined" else marked[-1 if block == "last" else 0]
    return response if bare and not found and response.strip() else None


def blocks_of(response: str) -> list[tuple[str, str]]:
    """Return the fenced blocks of a response: the mark behind the opening fence in lower case, and the text.

    Read line by line, so that a response of nothing but fences takes no longer than another. A block that is not
    closed is none.
    """
    blocks: list[tuple[str, str]] = []
    mark: str | None = None
    lines: list[str] = []
    for line in response.splitlines(keepends=True):
        if mark is not None and line.strip() == "```":
            blocks.append((mark, "".join(lines)))
            mark = None
        elif mark is not None:
            lines.append(line)
        elif fence := _FENCE.fullmatch(line.rstrip("\r\n")):
            mark, lines = fence[1].lower(), []
    return blocks
