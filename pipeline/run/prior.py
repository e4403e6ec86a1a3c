"""What an earlier generation of a shard already knows, so that a retry pays only for the rows it is about.

A later generation is written when rejects are retried here or upstream. Rows whose input row is the same, byte for
byte, as the one the earlier generation was made from keep their outcome.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from pipeline.stage import RowStage
from pipeline.store.run_store import StageStore, shard_stem
from pipeline.store.shards import FileRef, read_shard
from pipeline.types import Reject, Row

PriorOutcome = Sequence[Row | Reject]


def prior_outcomes(
    store: StageStore,
    upstream: StageStore,
    stage: RowStage,
    shard: int,
    table: pa.Table,
    retried: frozenset[str] | None,
) -> dict[str, PriorOutcome]:
    """Return input id to outcome for the rows that need not be done again.

    Args:
        store: the stage's store, which holds an earlier generation of the shard.
        upstream: the input stage's store, whose superseded files are still there.
        stage: the stage; tells how output rows point to input rows.
        shard: which shard.
        table: the input rows now.
        retried: reject codes to try again (empty: all); None if no retry was asked for at this stage.
    """
    record = store.records[shard]
    before = _input_before(upstream, record.input, shard)
    same = {row["id"] for row in table.to_pylist() if before.get(row["id"]) == row}
    outcomes: dict[str, list[Row | Reject]] = {}
    kept = store.read(record)
    key = "parent_id" if stage.fan_out else "id"
    for row in kept.to_pylist() if kept is not None else ():
        if row[key] in same:
            outcomes.setdefault(row[key], []).append(row)
    again: set[str] = set()
    rejects = store.read_rejects(record)
    for reject in rejects.to_pylist() if rejects is not None else ():
        if retried is not None and (not retried or reject["code"] in retried):
            again.add(reject["input_id"])
        elif reject["input_id"] in same:
            back = Reject(json.loads(reject["row"]), reject["code"], reject["message"])
            outcomes.setdefault(reject["input_id"], []).append(back)
    return {input_id: outcome for input_id, outcome in outcomes.items() if input_id not in again}


def _input_before(upstream: StageStore, content: str, shard: int) -> dict[str, Row]:
    name = f"{shard_stem(shard)}-{content[:16]}.parquet"
    if not (upstream.data / name).exists():
        return {}
    table = read_shard(upstream.data, FileRef(name, content, 0, 0))
    return {row["id"]: row for row in table.to_pylist()}
