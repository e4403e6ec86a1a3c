"""Tables about duplicates, made from a stage's rejects: how many of which kind, and the largest groups.

Reads only what is committed; knows nothing of how duplicates are found.
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api import ReportTable, StageBooks
from stages.selection.row_texts import texts_of

_GROUPS = 10
_IDS = 5
_CHARACTERS = 80


def duplicate_tables(books: StageBooks, column: str) -> tuple[ReportTable, ...]:
    """Return counts by code, and the groups of which most rows were dropped.

    Args:
        books: what is committed; rejects carry `duplicate_of`.
        column: the column whose text is shown.
    """
    sizes: Counter[str] = Counter()
    some: dict[str, list[str]] = {}
    for reject in books.rejected():
        kept = reject.row.get("duplicate_of")
        if isinstance(kept, str):
            sizes[kept] += 1
            ids = some.setdefault(kept, [])
            if len(ids) < _IDS:
                ids.append(str(reject.row["id"]))
    counted = tuple((code, count) for code, count in sorted(books.rejects.items()))
    totals = (("rows in", books.rows_in), ("rows kept", books.rows_out), *counted)
    tables = [ReportTable("Duplicates", ("what", "rows"), totals)]
    largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_GROUPS]
    if largest:
        texts = _texts(books, column, {kept for kept, _ in largest})
        rows = tuple((kept, texts.get(kept), count, ", ".join(some[kept])) for kept, count in largest)
        note = f"The {_GROUPS} largest groups, by number of rows dropped; at most {_IDS} ids of each."
        tables.append(ReportTable("Largest groups", ("kept", "its text", "dropped", "ids"), rows, note))
    return tuple(tables)


def _texts(books: StageBooks, column: str, wanted: set[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    ids = pa.array(sorted(wanted))
    for batch in books.rows(["id", column]):
        found = batch.filter(pc.is_in(batch.column("id"), value_set=ids))
        for row_id, text in zip(found.column("id").to_pylist(), texts_of(found.column(column)), strict=True):
            out[row_id] = " ".join((text or "").split())[:_CHARACTERS]
    return out
