import math
from collections import Counter

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.selection.limit_pairs import LimitPairs, LimitPairsConfig
from tests.unit.stages.books_in_memory import BooksInMemory

EXTRA = pa.schema([("id", pa.string()), ("margin", pa.float64()), ("domain", pa.string())])


def rows_of(**counts):
    return [
        {"id": f"{domain}{i:03}", "domain": domain, "margin": float((i * 7) % n)}
        for domain, n in counts.items()
        for i in range(n)
    ]


def run(rows, **config):
    return process_table(LimitPairs(LimitPairsConfig(**config)), rows, EXTRA)


def kept(rows, **config):
    return run(rows, **config).table["id"].to_pylist()


def test_no_value_has_more_pairs_than_its_quota():
    rows = rows_of(chat=40, code=5, maths=12)
    found = run(rows, max_pairs=10, quotas={"chat": 20, "maths": 0})
    assert Counter(found.table["domain"].to_pylist()) == {"chat": 20, "code": 5}
    assert Counter(r.code for r in found.rejects) == {"quota.full": 32}
    assert {r.row["id"] for r in found.rejects} | set(found.table["id"].to_pylist()) == {r["id"] for r in rows}


def test_without_a_general_quota_other_values_are_free():
    assert Counter(i[:4] for i in kept(rows_of(chat=9, code=9), quotas={"chat": 2})) == {"chat": 2, "code": 9}


def test_the_draw_depends_on_ids_alone_and_the_order_of_rows_stays():
    rows = rows_of(chat=60)
    one = kept(rows, max_pairs=20)
    assert one == sorted(one) and one != [r["id"] for r in rows[:20]]
    assert sorted(kept(rows[::-1], max_pairs=20)) == one and kept(rows[::-1], max_pairs=20) == one[::-1]


def test_the_widest_margins_are_kept():
    rows = rows_of(chat=40)
    found = run(rows, max_pairs=5, keep="widest")
    assert sorted(found.table["margin"].to_pylist()) == [35, 36, 37, 38, 39]
    assert sorted(r.row["place"] for r in found.rejects) == list(range(6, 41))


def test_equal_margins_are_drawn():
    rows = [r | {"margin": 1.0} for r in rows_of(chat=60)]
    assert kept(rows, max_pairs=20, keep="widest") == kept(rows, max_pairs=20)


def test_pairs_without_a_value_or_a_margin_are_rejected():
    rows = rows_of(chat=4)
    rows[0]["domain"], rows[1]["margin"], rows[2]["margin"] = None, None, math.nan
    found = run(rows, max_pairs=9, keep="widest")
    assert [r.code for r in found.rejects] == ["quota.no_value", "quota.no_margin", "quota.no_margin"]
    assert found.table["id"].to_pylist() == ["chat003"]
    assert [r.code for r in run(rows, max_pairs=9).rejects] == ["quota.no_value"]


def test_a_quota_for_nothing_is_refused():
    with pytest.raises(ValidationError, match="give 'max_pairs' or 'quotas'"):
        LimitPairsConfig()


def test_margins_are_read_only_where_they_decide():
    assert LimitPairs(LimitPairsConfig(max_pairs=1)).inputs.names == ["domain"]
    assert LimitPairs(LimitPairsConfig(max_pairs=1, keep="widest")).inputs.names == ["domain", "margin"]


def test_the_report_counts_by_value():
    stage = LimitPairs(LimitPairsConfig(max_pairs=3, quotas={"code": 1}))
    rows = [*rows_of(chat=5, code=2), {"id": "x", "domain": None, "margin": 0.0}]
    given = pa.Table.from_pylist(rows, schema=EXTRA)
    (table,) = stage.report(BooksInMemory(8, process_table(stage, rows, EXTRA).table, given))
    assert table.rows == (("chat", 5, 3, 3), ("code", 2, 1, 1))
