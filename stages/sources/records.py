"""Turn one record of an input, as Python values, into a row: prompt as messages, id as text, typed columns.

Knows nothing about files. What cannot be used raises `RowError` with a `source.*` code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pyarrow as pa

from pipeline.api import Message, RowError, messages_of

ColumnType = Literal["string", "int", "float", "bool", "list<string>"]

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
}
MAX_ID = 200


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


_FITS: dict[ColumnType, Callable[[Any], bool]] = {
    "string": lambda v: isinstance(v, str),
    "int": _is_int,
    "float": lambda v: isinstance(v, float) or _is_int(v),
    "bool": lambda v: isinstance(v, bool),
    "list<string>": lambda v: isinstance(v, list) and all(isinstance(item, str) for item in v),
}


def prompt_messages(value: Any) -> tuple[Message, ...]:
    """Return a prompt, given as text or as a list of messages, as messages that end with a user turn.

    Raises:
        RowError: `source.empty_prompt`, `source.bad_messages` or `source.bad_text`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError("source.empty_prompt", "the prompt is missing, null or white space")
    if not isinstance(value, str | list):
        raise RowError("source.bad_messages", f"the prompt is {_kind(value)}; expected text or a list of messages")
    if value == []:
        raise RowError("source.empty_prompt", "the prompt has no messages")
    try:
        messages = messages_of(value)
    except ValueError as e:
        raise RowError("source.bad_messages", str(e)) from None
    if messages[-1]["role"] != "user":
        raise RowError("source.bad_messages", f"the last message has role '{messages[-1]['role']}'; expected 'user'")
    if not messages[-1]["content"].strip():
        raise RowError("source.empty_prompt", "the last message is white space")
    refuse_surrogates([m["content"] for m in messages], "prompt")
    return messages


def record_id(value: Any) -> str:
    """Return a record's own id as text.

    Raises:
        RowError: `source.bad_id` or `source.bad_text`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RowError("source.bad_id", f"the id is {_kind(value)}; expected text or a whole number")
    text = str(value)
    if not text.strip() or len(text) > MAX_ID:
        raise RowError("source.bad_id", f"the id has {len(text)} characters; expected 1 to {MAX_ID}, not only spaces")
    refuse_surrogates(text, "id")
    return text


def typed_value(column: str, value: Any, kind: ColumnType) -> Any:
    """Return a kept value if it is null or has the declared type.

    Raises:
        RowError: `source.bad_record` or `source.bad_text`.
    """
    if value is None:
        return None
    if not _FITS[kind](value):
        raise RowError("source.bad_record", f"column '{column}' holds {_kind(value)}; expected {kind}")
    refuse_surrogates(value, column)
    return float(value) if kind == "float" else value


def row_of(
    record: Mapping[str, Any], column: str, id_column: str | None, kept: Mapping[str, ColumnType]
) -> dict[str, Any]:
    """Return the output row of one JSON record.

    Raises:
        RowError: with a `source.*` code.
    """
    row: dict[str, Any] = {"prompt": prompt_messages(record.get(column))}
    for name, kind in kept.items():
        row[name] = typed_value(name, record.get(name), kind)
    if id_column is not None:
        row["id"] = record_id(record.get(id_column))
    return row


def refuse_surrogates(value: Any, where: str) -> None:
    """Raise `source.bad_text` if text, or a text in a list, holds a lone surrogate, which no UTF-8 file can."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and not _encodable(text):
            raise RowError("source.bad_text", f"'{where}' holds a lone surrogate; shown here as U+FFFD")


def readable(value: Any) -> Any:
    """Return JSON values with every lone surrogate and undecodable byte replaced by U+FFFD."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value if _encodable(value) else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {readable(k): readable(v) for k, v in value.items()}
    return [readable(v) for v in value] if isinstance(value, list | tuple) else value


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)
