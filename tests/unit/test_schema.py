"""Column types: how they are written, merged and compared."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.schema import MESSAGES, arrow_type, columns, merge, missing_or_unlike, schema_json


def test_python_types_become_arrow_types():
    made = columns(a=str, b=int, c=float, d=bool, e=list[str], f=list[list[int]], g=MESSAGES, h=pa.int8())
    assert made.types == [
        pa.string(),
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.list_(pa.string()),
        pa.list_(pa.list_(pa.int64())),
        MESSAGES,
        pa.int8(),
    ]
    assert all(f.nullable for f in made)


@pytest.mark.parametrize("wrong", [dict, set[str], dict[str, int], list, "str", [1], None, list[dict]])
def test_types_without_a_column_form_are_refused(wrong):
    with pytest.raises(TypeError, match="no column type for"):
        arrow_type(wrong)


def test_merging_replaces_in_place_and_appends():
    merged = merge(columns(a=str, b=int), columns(b=float, c=bool))
    assert merged == columns(a=str, b=float, c=bool)


def test_missing_and_unlike_columns_are_listed_in_order():
    needed, present = columns(a=str, b=int, c=float), columns(b=str, c=float, d=int)
    assert missing_or_unlike(needed, present) == [("a", pa.string(), None), ("b", pa.int64(), pa.string())]
    assert missing_or_unlike(present, present) == []


def test_a_schema_is_written_as_names_and_types():
    assert schema_json(columns(a=str, p=MESSAGES)) == [
        ["a", "string"],
        ["p", "list<item: struct<role: string, content: string>>"],
    ]
