"""Columns of a table as arrays and back: numbers with NaN for null, and a column put in or replaced.

Knows Arrow; knows nothing about scores.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column of numbers as float64, shape (rows,), with NaN for null."""
    values: NDArray[np.float64] = table.column(column).cast(pa.float64()).to_numpy()
    return values


def valid(table: pa.Table, column: str) -> NDArray[np.bool_]:
    """Return where a column is not null, shape (rows,)."""
    known: NDArray[np.bool_] = table.column(column).is_valid().to_numpy()
    return known


def nullable(values: NDArray[np.float64]) -> pa.Array:
    """Return numbers as a column with null for NaN."""
    return pa.array(values, pa.float64(), from_pandas=True)


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Return the table with a column replaced in place, or appended."""
    at, field = table.schema.get_field_index(name), pa.field(name, values.type)
    return table.append_column(field, values) if at < 0 else table.set_column(at, field, values)
