"""The whole descent of a row: from a pair up to the skills or the prompt that it came from, stage by stage.

Each level shows what its stage added to the row and what the stage was: version, options, prompt digests, models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import PrerequisiteError
from pipeline.store.manifest import RunView, StageView
from pipeline.types import Json, Row


@dataclass(frozen=True)
class Level:
    """One stage of a descent and the rows of it that are ancestors."""

    stage_id: str
    document: Mapping[str, Json]
    rows: Sequence[Row]
    added: Sequence[str]
    """Names of the columns that this stage made or changed in one of these rows."""


def trace(view: RunView, row_id: str) -> list[Level]:
    """Return the levels of a row's descent, the row itself first.

    Raises:
        PrerequisiteError: if no stage holds a row with this id.
    """
    for stage in reversed(list(view.stages.values())):
        rows = find_rows(stage, {row_id})
        if rows:
            return _climb(view, stage, rows)
    raise PrerequisiteError(f"no row '{row_id}' in run '{view.name}'; ids are in the column 'id' of every stage")


def find_rows(stage: StageView, ids: set[str]) -> list[Row]:
    """Return the rows of a stage with these ids, reading other columns only of shards that hold one."""
    wanted = pa.array(sorted(ids), pa.string())
    found: list[Row] = []
    for record in stage.records:
        column = stage.store.read(record, ["id"])
        if column is None:
            continue
        mask = pc.is_in(column["id"], value_set=wanted)
        if pc.any(mask).as_py():
            table = stage.store.read(record)
            assert table is not None
            found += table.filter(mask).to_pylist()
        if len(found) == len(ids):
            break
    return found


def _climb(view: RunView, stage: StageView, rows: list[Row]) -> list[Level]:
    levels: list[Level] = []
    while True:
        above = view.stages[stage.upstream] if stage.upstream else None
        lineage: list[str] = stage.document["lineage"]
        if above is None:
            levels.append(Level(stage.id, stage.document, rows, stage.columns))
            return levels
        ancestors = find_rows(above, _ancestors(rows, lineage))
        inherited = _kept(rows, ancestors, lineage[0]) if lineage in (["id"], ["parent_id"]) else set()
        added = [c for c in stage.columns if c not in inherited or c == "id"]
        levels.append(Level(stage.id, stage.document, rows, added))
        rows, stage = ancestors, above


def _kept(rows: Sequence[Row], ancestors: Sequence[Row], link: str) -> set[str]:
    """Return the columns that every row has as the row had that it was made from."""
    above = {row["id"]: row for row in ancestors}
    pairs = [(row, above[row[link]]) for row in rows if row[link] in above]
    shared = set.intersection(*(row.keys() & parent.keys() for row, parent in pairs)) if pairs else set()
    return {c for c in shared if all(row[c] == parent[c] for row, parent in pairs)}


def _ancestors(rows: Sequence[Row], lineage: Sequence[str]) -> set[str]:
    ids: set[str] = set()
    for row in rows:
        values = [row[column] for column in lineage]
        own = {i for value in values for i in (value if isinstance(value, list) else [value]) if i is not None}
        # of several pairs from one prompt only the first lists its candidates; each names its two sides
        ids |= own or {v for name, v in row.items() if name.endswith("_id") and v is not None}
    return ids
