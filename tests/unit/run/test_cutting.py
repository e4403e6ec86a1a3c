"""Cutting a source's rows into shards: by rows, by bytes, and never between the responses to a prompt."""

import pyarrow as pa
import pytest

from pipeline.run.cutting import cut_shards, cut_table
from pipeline.types import Reject

BIG = 1_000_000


def table(prompts=None, rows=None, text="x"):
    columns = {"id": [str(i) for i in range(rows or len(prompts))]}
    if prompts is not None:
        columns["prompt_id"] = pa.array(prompts, pa.string())
    return pa.table({**columns, "text": [text] * len(columns["id"])})


def cut(items, rows=BIG, nbytes=BIG):
    return [
        ("".join(str(p or "-") for t in tables for p in t.column("prompt_id").to_pylist()), len(rejects))
        for tables, rejects in cut_shards(iter(items), rows, nbytes)
    ]


def sizes(items, rows=BIG, nbytes=BIG):
    return [sum(t.num_rows for t in tables) for tables, _ in cut_shards(iter(items), rows, nbytes)]


def test_rows_without_prompts_are_cut_at_the_number_asked_for():
    assert sizes([table(rows=5), table(rows=4)], rows=4) == [4, 4, 1]


def test_long_rows_are_cut_by_bytes_and_one_alone_is_never_too_long():
    assert sizes([table(rows=4, text="y" * 1000)], nbytes=2500) == [2, 2]
    assert sizes([table(rows=2, text="y" * 1000)], nbytes=10) == [1, 1]


@pytest.mark.parametrize(
    ("batches", "shards"),
    [
        (["aaabbb"], ["aaabbb"]),
        (["aaabbbbcc"], ["aaabbbb", "cc"]),
        (["aaab", "bbbcc"], ["aaabbbb", "cc"]),
        (["aaaa", "aaaa", "aab"], ["aaaaaaaaaa", "b"]),
        (["aaaa", "bbbb"], ["aaaa", "bbbb"]),
        (["--------"], ["----", "----"]),
    ],
)
def test_responses_to_one_prompt_stay_in_one_shard(batches, shards):
    items = [table([None if p == "-" else p for p in batch]) for batch in batches]
    assert [prompts for prompts, _ in cut(items, rows=4)] == shards


def test_rejects_lie_with_the_rows_around_them():
    reject = Reject({"id": "r"}, "source.bad_record", "")
    assert cut([reject, table(["a", "b"]), reject, table(["c"]), reject], rows=2) == [("ab", 2), ("c", 1)]
    assert cut([reject]) == [("", 1)]


def test_no_rows_make_no_shard():
    assert cut([]) == []


@pytest.mark.parametrize(
    ("prompts", "rows", "parts"),
    [("aabbcc", 2, ["aa", "bb", "cc"]), ("aaabbbc", 4, ["aaabbb", "c"]), ("aaaa", 1, ["aaaa"]), ("", 2, [""])],
)
def test_a_whole_table_is_cut_between_prompts_too(prompts, rows, parts):
    found = cut_table(table(list(prompts)), rows)
    assert ["".join(part.column("prompt_id").to_pylist()) for part in found] == parts
