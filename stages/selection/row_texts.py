"""Read the text of each row from a column of texts or of conversations.

Of a conversation the text is what the user says in it, all user turns joined by line breaks: two conversations that
only end alike ("go on") are not the same. Knows no stage.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api import MESSAGES

_CONVERSATIONS = ("prompt", "messages")


def text_type(column: str) -> Any:
    """Return the type that a column of texts must have: messages if it is named `prompt` or `messages`, else text."""
    return MESSAGES if column in _CONVERSATIONS else str


def texts_of(column: pa.ChunkedArray | pa.Array) -> list[str | None]:
    """Return the text of each row; None for null, and for a conversation without a user turn."""
    if not pa.types.is_list(column.type):
        plain: list[str | None] = column.to_pylist()
        return plain
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [text for chunk in chunks for text in _user_turns(chunk)]


def _user_turns(chunk: pa.ListArray) -> list[str | None]:
    turns = chunk.flatten()
    said = pc.and_(pc.equal(turns.field("role"), "user"), turns.field("content").is_valid())
    said = pc.fill_null(said, False)
    rows = pc.list_parent_indices(chunk).filter(said).to_pylist()
    out: list[str | None] = [None] * len(chunk)
    for row, content in zip(rows, turns.field("content").filter(said).to_pylist(), strict=True):
        before = out[row]
        out[row] = content if before is None else f"{before}\n{content}"
    return out
