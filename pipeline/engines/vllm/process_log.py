"""What a child process writes: kept for error texts, passed on to the log, read to its end whatever a line's length.

A process whose output nobody reads stands still as soon as the pipe is full. Errors are kept apart, because the last
lines of vLLM are rarely the ones that say what went wrong.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import re
from asyncio import StreamReader
from collections import deque
from collections.abc import Iterable

_LINES_KEPT = 200
_LINES_QUOTED = 8
_ERRORS_KEPT = 20
_ERRORS_QUOTED = 4
_LONGEST_LINE = 1000
"""Characters of a line that are kept."""
_CHUNK_BYTES = 1 << 16
_LINE_END = re.compile(r"\r\n|\n|\r")
"""Progress bars end their lines with a carriage return."""
_NOISE = ("INFO ", "DEBUG ", "WARNING ", "nanobind: ", " - leaked ", " - ... skipped")
_ERROR = re.compile(r"(^|[\s.])\w*(Error|Exception): \S|\berror: |Value error, |No module named")
_PREFIX = re.compile(r"^\([^)]*\) ERROR [-\d]+ [:\d]+ \[[^]]*\] |^\s+")
"""What vLLM puts before each line of a traceback that it logs."""


class ProcessLog:
    """The output of one process.

    Attributes:
        errors: the different errors it named, oldest first.
    """

    def __init__(self, log: logging.Logger, name: str) -> None:
        """Pass lines on to `log` at level DEBUG, under a name."""
        self._log, self._name = log, name
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self.errors: deque[str] = deque(maxlen=_ERRORS_KEPT)

    async def read(self, output: StreamReader) -> None:
        """Read for as long as anybody holds the other end."""
        decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
        with contextlib.suppress(ConnectionError):
            while raw := await output.read(_CHUNK_BYTES):
                *lines, rest = _LINE_END.split(rest + decoder.decode(raw))
                self._keep(lines)
                rest = rest[:_LONGEST_LINE]
        self._keep([rest])

    def last_words(self) -> str:
        """Return the errors it wrote last, or else its last lines but for plain information; fit for an error text."""
        if self.errors:
            return "its last errors: " + " | ".join(list(self.errors)[-_ERRORS_QUOTED:])
        told = [line for line in self._lines if not _is_noise(line)]
        lines = (told or list(self._lines))[-_LINES_QUOTED:]
        return "its last words: " + " | ".join(lines) if lines else "it said nothing"

    def _keep(self, lines: Iterable[str]) -> None:
        for line in lines:
            kept = line[:_LONGEST_LINE].rstrip()
            if not kept:
                continue
            self._log.debug("%s: %s", self._name, kept)
            self._lines.append(kept)
            if _ERROR.search(kept) and not _is_noise(kept):
                error = _PREFIX.sub("", kept)
                if error not in self.errors:
                    self.errors.append(error)


def _is_noise(line: str) -> bool:
    return any(mark in line[:60] for mark in _NOISE)
