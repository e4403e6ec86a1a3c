"""Checks a run folder against its own records: hashes, counts, ids unique and complete, books balanced.

Reports, changes nothing. Repair and garbage collection are commands of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import CorruptStore
from pipeline.store.commits import EMPTY, CommitRecord
from pipeline.store.files import sha256_of
from pipeline.store.idset import IdSet
from pipeline.store.manifest import RunView, StageView
from pipeline.store.shards import FileRef


def verify(view: RunView) -> list[str]:
    """Return one line for each thing that is wrong; an empty list means that the run is sound."""
    problems: list[str] = []
    for stage in view.stages.values():
        try:
            problems += [f"stage '{stage.id}': {text}" for text in _check_stage(view, stage)]
        except CorruptStore as e:
            problems.append(f"stage '{stage.id}': {e}")
    return problems


def _check_stage(view: RunView, stage: StageView) -> Iterator[str]:
    records = stage.records
    if stage.sealed is not None and len(records) != stage.sealed:
        missing = sorted(set(range(stage.sealed)) - {r.shard for r in records})
        yield f"sealed with {stage.sealed} shards, records are missing for {missing[:10]}"
    if stage.sealed is None and records:
        yield f"not finished: {len(records)} shards committed, the number of shards is not known yet"
    seen = IdSet()
    for record in records:
        yield from _check_record(view, stage, record)
        yield from _check_rows(stage, record, seen)
    if stage.upstream:
        yield from _check_complete(view.stages[stage.upstream], stage)


def _check_record(view: RunView, stage: StageView, record: CommitRecord) -> Iterator[str]:
    if not record.balances:
        yield f"shard {record.shard}: the books do not balance: {record}"
    for folder, ref, rows in (
        (stage.store.data, record.data, record.rows_out),
        (stage.store.rejects, record.rejects, record.rows_rejected),
    ):
        if (ref.rows if ref else 0) != rows:
            yield f"shard {record.shard}: the record counts {rows} rows, its file reference {ref.rows if ref else 0}"
        if ref is not None:
            yield from _check_file(folder / ref.name, ref)
    if stage.upstream and not _is_barrier(stage):
        above = view.stages[stage.upstream].store.records.get(record.shard)
        if above is None or above.content != record.input:
            now = above.content[:16] if above else EMPTY
            yield f"shard {record.shard}: made from input {record.input[:16]}, the input is now {now}; run again"


def _is_barrier(stage: StageView) -> bool:
    return bool(stage.document.get("barrier"))


def _check_file(path: Path, ref: FileRef) -> Iterator[str]:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        yield f"'{path}' is missing"
        return
    if size != ref.bytes:
        yield f"'{path}' has {size} bytes, {ref.bytes} were written"
    elif sha256_of(path) != ref.sha256:
        yield f"'{path}' is damaged: its SHA-256 is not the one recorded"


def _check_rows(stage: StageView, record: CommitRecord, seen: IdSet) -> Iterator[str]:
    try:
        table = stage.store.read(record, ["id"])
        rejects = stage.store.read_rejects(record)
    except CorruptStore as e:
        yield str(e)
        return
    if table is not None:
        repeated = seen.add(table["id"].to_pylist()).count(False)
        if repeated:
            yield f"shard {record.shard}: {repeated} ids are not unique"
    if rejects is not None and pc.any(pc.is_null(rejects["code"])).as_py():
        yield f"shard {record.shard}: rejects without a code"


def _check_complete(above: StageView, stage: StageView) -> Iterator[str]:
    """Every input row must be named by an output row or a reject, and nothing else may be."""
    lineage: list[str] = stage.document["lineage"]
    if _is_barrier(stage) or stage.document["accounting"] == "derived":
        return
    for record in stage.records:
        source = above.store.records.get(record.shard)
        if source is None:
            continue
        try:
            given = above.store.read(source, ["id"])
            table = stage.store.read(record, lineage)
            rejects = stage.store.read_rejects(record)
        except CorruptStore:
            continue  # reported by _check_rows
        want = set(given["id"].to_pylist()) if given is not None else set()
        have = _named(table, lineage) if table is not None else set()
        have |= set(rejects["input_id"].to_pylist()) if rejects is not None else set()
        if want != have:
            yield f"shard {record.shard}: {len(want - have)} input rows unaccounted for, {len(have - want)} unknown"


def _named(table: pa.Table, lineage: list[str]) -> set[str]:
    ids: set[str] = set()
    for name in lineage:
        column = table[name]
        ids.update(pc.list_flatten(column).to_pylist() if pa.types.is_list(column.type) else column.to_pylist())
    return ids
