"""Row ids: equal for equal content and lineage, different otherwise, and the same for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ids import child_id, content_id, lineage_id


def test_ids_keep_their_values():
    assert content_id("load_prompts", {"prompt": "a"}) == "68621da2ed4d93eaba3f9b8c2da3c752"
    assert child_id("ab", "responses", 0) == "4270485c4701372e6200fa3f6e383396"
    assert lineage_id("pair", "a", "b") == "2c68d4e11100506e8bb22257733dbbdd"


@given(st.text(st.characters(codec="utf-8")), st.dictionaries(st.text(), st.integers() | st.text()))
def test_an_id_is_32_hex_digits_whatever_the_content(source, content):
    made = content_id(source, content)
    assert len(made) == 32 and not set(made) - set("0123456789abcdef")


def test_the_order_of_columns_does_not_change_an_id():
    assert content_id("s", {"a": 1, "b": 2}) == content_id("s", {"b": 2, "a": 1})


def test_parts_are_delimited_and_kinds_kept_apart():
    ids = [
        content_id("s", {"a": 1}),
        content_id("s", {"a": "1"}),
        content_id("t", {"a": 1}),
        child_id("a", "bc", 0),
        child_id("ab", "c", 0),
        child_id("ab", "c", 1),
        lineage_id("a", "bc"),
        lineage_id("a", "b", "c"),
        lineage_id("ab", "c"),
        lineage_id("a", "c", "b"),
    ]
    assert len(set(ids)) == len(ids)
