"""Show a conversation and a response to a judge: every turn quoted by itself, shortened from the oldest turn on.

What a judge reads was written by strangers and by models. Each turn stands between lines of its own
(`pipeline.quoting`), so that a response that writes "USER:" or a verdict stays a part of that response. A judge's
template is never cut to fit; the conversation is, and the caller is told, so that the row can say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.api import Message, quote
from stages.synthesis.excerpts import cut_text

_LABELS = {"system": "SYSTEM", "user": "USER", "assistant": "ASSISTANT"}


@dataclass(frozen=True, slots=True)
class Shown:
    """Quoted text for a template, and whether something was left out of it."""

    text: str
    cut: bool


def show_conversation(messages: Sequence[Message], seed: int, max_characters: int | None = None) -> Shown:
    """Quote the turns of a prompt, oldest first.

    Args:
        messages: at least one; the last is what the response answers.
        seed: from `StageContext.seed` of the row.
        max_characters: of all turns together; turns are left out from the oldest on, and the last is shortened in the
            end if it is too long by itself. None for all.
    """
    kept: list[str] = []
    left, cut = max_characters, False
    for message in reversed(messages):
        content = message["content"]
        if left is not None:
            if kept and len(content) > left:
                cut = True
                break
            content, shortened = cut_text(content, left) if len(content) > left else (content, False)
            cut, left = cut or shortened, left - len(content)
        kept.append(quote(_LABELS[message["role"]], content, seed).text)
    return Shown("\n\n".join(reversed(kept)), cut)


def show_text(label: str, text: str, seed: int, max_characters: int | None = None) -> Shown:
    """Quote one text, a response or a reference, under a label in capitals; its end is left out if it is too long."""
    shown, cut = (text, False) if max_characters is None else cut_text(text, max_characters)
    return Shown(quote(label, shown, seed).text, cut)
