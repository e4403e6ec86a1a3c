"""Cut rows into shards, never between the responses to one prompt that stand together. Knows no stage and no file.

Stages that compare the responses to a prompt see one shard at a time. Were a prompt cut in two, it would become two
groups or two pairs, and what comes out would depend on `limits.shard_rows`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.types import Reject

_LOOK_AHEAD = 256
"""Rows looked at in one go for the end of a prompt; the rest of a large table is not read for it."""


def cut_shards(
    items: Iterator[pa.Table | Reject], rows: int, nbytes: int
) -> Iterator[tuple[list[pa.Table], list[Reject]]]:
    """Group rows into shards of at most `rows` rows and about `nbytes` bytes, rejects with the rows around them.

    Rows of one `prompt_id` that come one after the other stay in one shard, which may then be larger: stages that
    compare the responses to a prompt see one shard at a time.
    """
    tables: list[pa.Table] = []
    rejects: list[Reject] = []
    have = size = 0
    full = False
    for item in items:
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        rest = item
        while rest.num_rows:
            if full:
                more = _continued(tables[-1], rest)
                tables.append(rest.slice(0, more))
                rest = rest.slice(more)
                if rest.num_rows:
                    yield tables, rejects
                    tables, rejects, have, size, full = [], [], 0, 0, False
                continue
            per_row = max(1, rest.nbytes // rest.num_rows)
            take = max(1, min(rows - have, (nbytes - size) // per_row, rest.num_rows))
            tables.append(rest.slice(0, take))
            have, size = have + take, size + take * per_row
            rest = rest.slice(take)
            full = have >= rows or size + per_row > nbytes
            if full and "prompt_id" not in item.column_names:
                yield tables, rejects
                tables, rejects, have, size, full = [], [], 0, 0, False
    if tables or rejects:
        yield tables, rejects


def _continued(before: pa.Table, after: pa.Table) -> int:
    """Return how many rows at the beginning of `after` belong to the prompt that `before` ends with."""
    last = before.column("prompt_id")[-1]
    if not last.is_valid:
        return 0
    found = 0
    while found < after.num_rows:
        part = after.column("prompt_id").slice(found, _LOOK_AHEAD)
        first = pc.index(pc.fill_null(pc.not_equal(part, last), True), True).as_py()
        if first >= 0:
            return found + int(first)
        found += len(part)
    return found


def cut_table(table: pa.Table, rows: int) -> list[pa.Table]:
    """Cut a table into parts of `rows` rows, or more where a prompt goes on; one empty part of an empty table."""
    parts = [pa.concat_tables(part) for part, _ in cut_shards(iter([table]), rows, sys.maxsize)]
    return parts or [table]
