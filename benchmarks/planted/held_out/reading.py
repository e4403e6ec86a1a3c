"""Read texts that stand in one string, so that they can be written as they are."""

from __future__ import annotations


def lines(text: str) -> list[str]:
    """Return the lines, each a text."""
    return text.strip("\n").split("\n")


def blocks(text: str) -> list[str]:
    """Return the texts between lines of `%%`."""
    return text.strip("\n").split("\n%%\n")
