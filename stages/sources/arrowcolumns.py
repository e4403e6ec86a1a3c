"""Which column types an Arrow or Parquet input may have, and what they become.

Text has many types in files (large, dictionary-encoded, views); rows have one. Knows no values.
"""

from __future__ import annotations

import pyarrow as pa

from pipeline.api import PrerequisiteError


def check_arrow_column(schema: pa.Schema, column: str, where: str) -> None:
    """Look at a schema for the prompt column.

    Raises:
        PrerequisiteError: if it is missing, or neither text nor a list of messages.
    """
    require_column(schema, column, where)
    kind = schema.field(column).type
    if not (_is_text(kind) or _is_messages(kind)):
        raise PrerequisiteError(
            f"column '{column}' of {where} has type {kind}; expected text or a list of messages "
            "(struct of role and content)"
        )


def require_column(schema: pa.Schema, column: str, where: str) -> None:
    """Raise `PrerequisiteError` naming the columns there are if one is missing."""
    if column not in schema.names:
        raise PrerequisiteError(f"{where} has no column '{column}'; found {', '.join(schema.names) or 'none'}")


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return `string` for any type of text and `list<string>` for any list of it, else the type itself."""
    if _is_text(kind):
        return pa.string()
    return pa.list_(pa.string()) if _is_list(kind) and _is_text(kind.value_type) else kind


def holds(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether every value of a type can be kept as `wanted` without loss."""
    if pa.types.is_integer(kind) and wanted == pa.int64():
        return bool(kind != pa.uint64())
    return bool(plain_type(kind) == wanted or (pa.types.is_floating(kind) and wanted == pa.float64()))


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value))


def _is_messages(kind: pa.DataType) -> bool:
    if not _is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    names = {kind.value_type.field(i).name for i in range(kind.value_type.num_fields)}
    return {"role", "content"} <= names


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
