"""One pair of a run as it would be published, for somebody to look at; works on unfinished runs too."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import PrerequisiteError
from pipeline.publish.pairs import published_batch, published_schema
from pipeline.publish.selected import checked_batches, find_pair_stage
from pipeline.store.manifest import RunView
from pipeline.types import Row


def first_pair(view: RunView, stage: str | None = None) -> Row:
    """Return the first pair; see `show_pair`."""
    return show_pair(view, stage=stage)


def show_pair(view: RunView, pair_id: str | None = None, *, stage: str | None = None) -> Row:
    """Return one pair: the first, or the one with this id.

    Args:
        view: the run.
        pair_id: the pair's id; None for the first one committed.
        stage: the pair stage; None for the last that makes pairs.

    Returns:
        The published columns; `prompt`, `chosen` and `rejected` are lists of messages.

    Raises:
        PrerequisiteError: if there is no pair stage, no pair yet, or none with this id.
        CorruptStore: if a file on the way is damaged, or the pair breaks a rule.
    """
    source = find_pair_stage(view, stage)
    for batch in checked_batches(source):
        found = batch if pair_id is None else batch.filter(pc.equal(batch.column("id"), pa.scalar(pair_id)))
        if found.num_rows:
            row: Row = published_batch(found.slice(0, 1), published_schema(batch.schema), source.id).to_pylist()[0]
            return row
    what = "has no pairs yet" if pair_id is None else f"has no pair '{pair_id}'"
    raise PrerequisiteError(f"stage '{source.id}' of run '{view.name}' {what}; {source.rows_out:,} pairs are committed")
