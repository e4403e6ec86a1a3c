"""Column types of rows: the Arrow schema is the contract between stages.

Stages declare columns with `columns(...)`; the planner compares them with `missing_or_unlike`.
"""

from __future__ import annotations

from types import GenericAlias
from typing import Any

import pyarrow as pa

MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))
"""Type of a prompt: a list of messages."""

_PYTHON_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}


def columns(**types: Any) -> pa.Schema:
    """Build a schema from Python types, `list[...]` of them, or Arrow types.

    `str` is string, `int` int64, `float` float64, `bool` bool. All columns are nullable.
    """
    return pa.schema([pa.field(name, arrow_type(t)) for name, t in types.items()])


def arrow_type(t: Any) -> pa.DataType:
    """Return the Arrow type for a Python type or pass an Arrow type through.

    Raises:
        TypeError: if the type has no column form.
    """
    if isinstance(t, pa.DataType):
        return t
    if isinstance(t, GenericAlias) and t.__origin__ is list:
        return pa.list_(arrow_type(t.__args__[0]))
    try:
        return _PYTHON_TYPES[t]
    except (KeyError, TypeError):
        raise TypeError(f"no column type for {t!r}; use str, int, float, bool, list[...] or a pyarrow type") from None


def merge(base: pa.Schema, added: pa.Schema) -> pa.Schema:
    """Return `base` with the columns of `added` replaced in place or appended, in a stable order."""
    fields = {f.name: f for f in base}
    fields.update({f.name: f for f in added})
    return pa.schema(list(fields.values()))


def missing_or_unlike(needed: pa.Schema, present: pa.Schema) -> list[tuple[str, pa.DataType, pa.DataType | None]]:
    """List the columns of `needed` that `present` lacks (type None) or holds with another type."""
    out: list[tuple[str, pa.DataType, pa.DataType | None]] = []
    for f in needed:
        at = present.get_field_index(f.name)
        have = present.field(at).type if at >= 0 else None
        if have is None or have != f.type:
            out.append((f.name, f.type, have))
    return out


def schema_json(schema: pa.Schema) -> list[list[str]]:
    """Return (name, type) pairs as JSON values, for fingerprints and manifests."""
    return [[f.name, str(f.type)] for f in schema]
