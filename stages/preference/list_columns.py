"""Columns that hold one value per response of a prompt: their types, and their making from flat arrays.

Knows Arrow and names of columns; knows nothing about preferences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from stages.sources.records import ARROW_TYPES, ColumnType

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def flat_types(named: Mapping[str, ColumnType]) -> dict[str, pa.DataType]:
    """Return the Arrow types of columns with one value per row."""
    return {name: ARROW_TYPES[kind] for name, kind in named.items()}


def list_types(named: Mapping[str, ColumnType]) -> dict[str, pa.DataType]:
    """Return the Arrow types of the same columns with a list of values per row."""
    return {name: pa.list_(ARROW_TYPES[kind]) for name, kind in named.items()}


def refuse_taken(options: Mapping[str, Mapping[str, ColumnType]], taken: set[str]) -> None:
    """Raise `ValueError` if an option names a column that another option names or that is there anyway."""
    taken = set(taken)
    for option, named in options.items():
        twice = sorted(taken.intersection(named))
        if twice:
            raise ValueError(f"'{option}' names column '{twice[0]}', which is there already; leave it out")
        taken |= set(named)


def read_with(base: pa.Schema, *further: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return the columns of `base` and the further ones, each once.

    Raises:
        ValueError: if a column would be read as two types.
    """
    types = {field.name: field.type for field in base}
    for named in further:
        for name, kind in named.items():
            if types.setdefault(name, kind) != kind:
                raise ValueError(
                    f"'{name}' is read as {types[name]} already, and named as {kind}; leave one of them out"
                )
    return pa.schema(list(types.items()))


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, copied only if it has several chunks; a shard holds less than 2 GiB of text."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def numbered(values: pa.Array) -> NDArray[np.int64]:
    """Return numbers that are equal where values are equal, null among them; shape (rows,)."""
    flat = pa.array([repr(v) for v in values.to_pylist()], pa.string()) if pa.types.is_nested(values.type) else values
    indices: NDArray[np.int64] = flat.dictionary_encode(null_encoding="encode").indices.to_numpy().astype(np.int64)
    return indices


def as_lists(values: pa.Array, sizes: NDArray[np.int64]) -> pa.Array:
    """Cut an array into lists.

    Args:
        values: shape (sum of sizes,).
        sizes: how many values each list holds, in order.
    """
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
