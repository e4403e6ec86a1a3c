"""Which stages of a run are published, and their rows, every file checked against its commit record.

The pairs come from the last stage whose rows have `chosen` and `rejected`; the candidates from the nearest stage
before it whose rows do not, so that pairs can be chosen anew without sampling again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from pipeline.errors import CorruptStore, PrerequisiteError
from pipeline.store.files import sha256_of
from pipeline.store.manifest import RunView, StageView
from pipeline.store.shards import damaged, read_batches

_ROWS_AT_ONCE = 1024
NEEDED = ("id", "prompt_id", "prompt", "chosen", "rejected")


def refuse_unfinished(view: RunView) -> None:
    """Check that every stage has all its shards.

    Raises:
        PrerequisiteError: naming the stages that have not.
    """
    open_stages = [_progress(s) for s in view.stages.values() if s.sealed is None or len(s.records) != s.sealed]
    if open_stages:
        raise PrerequisiteError(
            f"run '{view.name}' is not finished: {', '.join(open_stages)}; finish it with 'prefmill run', then export"
        )


def _progress(stage: StageView) -> str:
    of = "an unknown number of" if stage.sealed is None else str(stage.sealed)
    return f"stage '{stage.id}' has {len(stage.records)} of {of} shards"


def find_pair_stage(view: RunView, name: str | None = None) -> StageView:
    """Return the stage whose rows are the pairs: the one named, else the last that has them.

    Raises:
        PrerequisiteError: if there is no such stage, or the one named has no pairs; the text says which have.
    """
    able = [s.id for s in view.stages.values() if _has_pairs(s)]
    if name is None and not able:
        raise PrerequisiteError(
            f"run '{view.name}' has no stage with columns 'chosen' and 'rejected', only "
            f"{', '.join(view.stages)}; add a stage such as select_pairs"
        )
    chosen = able[-1] if name is None else name
    if chosen not in view.stages or chosen not in able:
        problem = "makes no pairs" if chosen in view.stages else "does not exist"
        raise PrerequisiteError(
            f"stage '{chosen}' of run '{view.name}' {problem}; stages with columns 'chosen' and 'rejected': "
            f"{', '.join(able) or 'none'}"
        )
    stage = view.stages[chosen]
    missing = [c for c in NEEDED if c not in stage.columns]
    if missing:
        raise PrerequisiteError(
            f"stage '{chosen}' lacks column {', '.join(repr(c) for c in missing)}; a published pair needs "
            f"{', '.join(NEEDED)}"
        )
    return stage


def _has_pairs(stage: StageView) -> bool:
    return {"chosen", "rejected"} <= set(stage.columns)


def lineage_of(view: RunView, stage: StageView) -> list[StageView]:
    """Return the stages whose rows a stage goes back to, first to last, itself included."""
    chain = [stage]
    while (above := chain[-1].upstream) is not None:
        chain.append(view.stages[above])
    return chain[::-1]


def find_candidate_stage(view: RunView, pairs: StageView) -> StageView | None:
    """Return the stage whose rows the pairs were chosen from, None if the source itself brought pairs."""
    return next((s for s in reversed(lineage_of(view, pairs)) if not _has_pairs(s)), None)


def checked_batches(stage: StageView) -> Iterator[pa.RecordBatch]:
    """Yield a stage's rows in order, each file's SHA-256 compared before a row of it is given out.

    Raises:
        CorruptStore: if a file is missing, damaged, or does not hold the rows that its record counts.
    """
    for record in stage.records:
        if record.data is None:
            continue
        path = stage.store.data / record.data.name
        try:
            digest = sha256_of(path)
        except OSError as e:
            raise damaged(path, e) from e
        if digest != record.data.sha256:
            raise CorruptStore(
                f"'{path}' is damaged: its SHA-256 is {digest[:16]}.., {record.data.sha256[:16]}.. was recorded. "
                "Nothing was exported; 'prefmill verify' lists what is damaged"
            )
        rows = 0
        for batch in read_batches(stage.store.data, record.data, None, _ROWS_AT_ONCE):
            rows += batch.num_rows
            yield batch
        if rows != record.rows_out:
            raise CorruptStore(f"'{path}' holds {rows} rows, its record counts {record.rows_out}. Nothing was exported")
