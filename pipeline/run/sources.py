"""Runs a source: cuts its rows into shards, gives them ids, sets duplicates aside.

A source is read from its start on every run that has not sealed it; shards that are committed already are skipped
after their ids were noted. The input's digest is part of the fingerprint, so the same rows come again.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.canonical import derive_seed
from pipeline.errors import CorruptStore, PipelineError, StageBug
from pipeline.ids import content_id
from pipeline.plan.plan import PlannedStage
from pipeline.run.cutting import cut_shards
from pipeline.run.node import Node, RunScope
from pipeline.stage import Source
from pipeline.store.commits import CommitRecord
from pipeline.store.idset import IdSet
from pipeline.types import Json, Reject

_MAX_ID = 200


class SourceNode(Node):
    """Runs a `Source`."""

    shards_like_upstream = False

    def __init__(self, scope: RunScope, planned: PlannedStage) -> None:
        """Take no feed: a source starts the flow."""
        super().__init__(scope, planned, None)
        self.stage: Source = planned.stage  # type: ignore[assignment]  # the segment builds nodes by kind
        self._halt = threading.Event()

    async def work(self) -> None:
        """Commit shard after shard, or hand on what is sealed."""
        sealed = self.store.sealed
        if sealed is not None:
            for shard in range(sealed):
                self.publish(self.store.records[shard], reused=True)
            return
        shards = cut_shards(self._read(), self.scope.limits.shard_rows, self.scope.limits.shard_bytes)
        number = 0
        try:
            while not self.scope.stop.is_set:
                record = await self.scope.threads.files(self._next, shards, number)
                if record is None:
                    await self.scope.threads.files(self.store.seal, number)
                    return
                self.publish(record)
                number += 1
        finally:
            self._halt.set()

    def _next(self, shards: Iterator[tuple[list[pa.Table], list[Reject]]], number: int) -> CommitRecord | None:
        try:
            part = next(shards, None)
        except PipelineError:
            raise
        except Exception as e:
            raise StageBug(f"source '{self.planned.id}' ({self.stage.name}) raised {type(e).__name__}: {e}") from e
        if part is None:
            return None
        tables, rejects = part
        schema = self.planned.schema_out
        table = pa.concat_tables(tables).combine_chunks() if tables else schema.empty_table()
        rows_in = table.num_rows + len(rejects)
        self.progress.done += rows_in
        self.progress.rejected += len(rejects)
        known = self.store.records.get(number)
        if known is not None:
            if (known.rows_in, known.rows_out) != (rows_in, table.num_rows):
                raise CorruptStore(
                    f"source '{self.planned.id}' gives {rows_in} rows for shard {number}, {known.rows_in} are "
                    "committed; its input changed although its digest did not"
                )
            self.progress.reused += rows_in
            return known
        pairs = [(str(r.row.get("id") or f"record-{number}-{i}"), r) for i, r in enumerate(rejects)]
        return self.commit(number, 0, "source", rows_in, table, pairs)

    def _read(self) -> Iterator[pa.Table | Reject]:
        """Yield rows with ids and rejects, in order, up to the run's limit."""
        if self.scope.run_sample is not None:
            yield from self._drawn(self.scope.run_sample)
            return
        yield from self._all()

    def _drawn(self, count: int) -> Iterator[pa.Table | Reject]:
        """Yield the rows whose ids hash lowest under the run's seed, `count` of them, in their order.

        Of a source that gives several rows of a prompt, so many prompts with all their rows. The source is read twice,
        so that only ids are held in memory.
        """
        key = "prompt_id" if "prompt_id" in self.planned.schema_out.names else "id"
        lowest: list[tuple[int, str]] = []
        held: set[str] = set()
        for item in self._all():
            if not isinstance(item, Reject):
                for value in set(item.column(key).drop_null().to_pylist()) - held:
                    entry = (-derive_seed(self.scope.plan.recipe.seed, "probe", value), value)
                    held.add(value)
                    if len(lowest) < count:
                        heapq.heappush(lowest, entry)
                    else:
                        held.discard(heapq.heappushpop(lowest, entry)[1])
        chosen = pa.array([value for _, value in lowest], pa.string())
        for item in self._all():
            if not isinstance(item, Reject):
                yield item.filter(pc.is_in(item.column(key), value_set=chosen))

    def _all(self) -> Iterator[pa.Table | Reject]:
        seen = IdSet()
        left = self.scope.run_limit
        for partition in self.stage.partitions():
            for item in self.stage.read(partition):
                if self._halt.is_set() or left == 0:
                    return
                if isinstance(item, Reject):
                    yield item
                    continue
                for part in self._with_ids(item, seen):
                    if isinstance(part, Reject):
                        yield part
                        continue
                    kept = part if left is None else part.slice(0, left)
                    left = None if left is None else left - kept.num_rows
                    yield kept

    def _with_ids(self, batch: pa.RecordBatch, seen: IdSet) -> Iterator[pa.Table | Reject]:
        names = [f.name for f in self.planned.schema_out]
        given = "id" in batch.schema.names
        if given:
            ids: list[Any] = batch.column("id").to_pylist()
        else:
            ids = [_content_id(self.stage.name, row) for row in batch.to_pylist()]
        fine = [isinstance(i, str) and 0 < len(i) <= _MAX_ID for i in ids]
        new = seen.add([i if ok else f"bad-{n}" for n, (i, ok) in enumerate(zip(ids, fine, strict=True))])
        table = pa.Table.from_batches([batch])
        if not given:
            table = table.append_column("id", pa.array(ids, pa.string()))
        table = table.select(names)
        if table.schema != self.planned.schema_out:
            table = table.cast(self.planned.schema_out)
        mask = [a and b for a, b in zip(fine, new, strict=True)]
        if all(mask):
            yield table
            return
        yield from _rejected(table, ids, fine, new)
        yield table.filter(pa.array(mask))


def _rejected(table: pa.Table, ids: Sequence[Any], fine: Sequence[bool], new: Sequence[bool]) -> Iterator[Reject]:
    for position, (row_id, ok, first) in enumerate(zip(ids, fine, new, strict=True)):
        if not ok:
            row = table.slice(position, 1).to_pylist()[0]
            yield Reject(row, "source.bad_id", f"id {str(row_id)[:80]!r}; expected text of 1 to {_MAX_ID} characters")
        elif not first:
            row = table.slice(position, 1).to_pylist()[0]
            yield Reject(row, "source.duplicate", f"a row with id '{row_id}' came before (same content, or same id)")


def _content_id(stage_name: str, row: dict[str, Any]) -> str:
    return content_id(stage_name, _plain(row))


def _plain(value: Any) -> Json:
    """Turn an Arrow value into JSON values; what JSON has no type for becomes its text with the type's name."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else f"float:{value}"
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return f"{type(value).__name__}:{value}"
