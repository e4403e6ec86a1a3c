"""The set of row ids against Python's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.store.idset import IdSet

HEX = st.builds(lambda high, low: f"{high:016x}{low:016x}", st.integers(0, 3), st.integers(0, 5))
EDGE = st.sampled_from(["f" * 32, "0" * 32, "F" * 32, "", "a", "x" * 32, "\ud800", "é" * 32, "0" * 31])
BATCHES = st.lists(st.lists(HEX | EDGE | st.text(max_size=3), max_size=12), max_size=12)


def known(row_id):
    return row_id.lower() if len(row_id) == 32 and not set(row_id.lower()) - set("0123456789abcdef") else row_id


@given(BATCHES)
def test_it_says_new_exactly_where_a_set_would(batches):
    ids, plain = IdSet(), set()
    for batch in batches:
        expected = []
        for row_id in batch:
            expected.append(known(row_id) not in plain)
            plain.add(known(row_id))
        assert ids.add(batch) == expected and len(ids) == len(plain)


def test_ids_that_share_their_first_half_are_told_apart():
    ids = IdSet()
    rows = [f"{7:016x}{i:016x}" for i in range(300)]
    assert ids.add(rows[::2]) == [True] * 150
    assert ids.add(rows) == [i % 2 == 1 for i in range(300)] and len(ids) == 300


def test_a_repeat_within_one_call_is_not_new():
    assert IdSet().add(["a", "b", "a", "a"]) == [True, True, False, False]


def test_many_small_calls_are_merged_into_few_levels():
    ids = IdSet()
    for i in range(500):
        assert ids.add([f"row {i}"]) == [True]
    assert len(ids) == 500 and len(ids._levels) <= 12
