"""Take the entries out of a reply that lists them one a line, and hold a list to its bounds. Prose is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stages.replies.asking import Unusable
from stages.replies.word_runs import words_of

LONGEST = 600
"""Most characters of one entry; what is longer is no question or criterion but an essay."""
_LINE = re.compile(r"[ \t]*(?:\(?\d{1,3}[.):]|[-*•])[ \t]+(.+)")


def entry_lines(text: str) -> list[str]:
    """Return what stands behind the number or bullet of each line; one introducing line with a colon may come first.

    Raises:
        Unusable: if a line is no entry.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":") and not _LINE.fullmatch(lines[0]):
        lines = lines[1:]
    entries = []
    for line in lines:
        found = _LINE.fullmatch(line)
        if not found:
            raise Unusable(f"a line is no list entry but prose of {len(line.split())} words")
        entries.append(found[1].strip())
    return entries


def require_distinct(texts: Sequence[str], least: int, most: int, what: str) -> None:
    """Refuse a list with too few or too many entries, or with one that comes twice but for case and punctuation.

    Raises:
        Unusable: saying which.
    """
    if not least <= len(texts) <= most:
        raise Unusable(f"{len(texts)} {what}; expected {least} to {most}")
    if len({tuple(words_of(t)) for t in texts}) < len(texts):
        raise Unusable(f"two {what} are the same")
