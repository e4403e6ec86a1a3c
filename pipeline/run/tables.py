"""Runs table stages: shard by shard beside each other, or once over the whole data set.

Arrow works without the interpreter lock, so shards are processed in `limits.table_workers` threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.canonical import digest_of
from pipeline.errors import PipelineError, PlanError, StageBug
from pipeline.plan.plan import PlannedStage
from pipeline.run.context import JournaledEngine, RunContext
from pipeline.run.control import run_together
from pipeline.run.cutting import cut_table
from pipeline.run.node import Node, RunScope, ShardFeed
from pipeline.run.table_books import check_table
from pipeline.schema import missing_or_unlike
from pipeline.stage import TableResult, TableStage
from pipeline.store.commits import CommitRecord
from pipeline.types import Reject


class TableNode(Node):
    """Runs a `TableStage` of scope `shard`."""

    def __init__(self, scope: RunScope, planned: PlannedStage, feed: ShardFeed) -> None:
        """Keep the stage."""
        super().__init__(scope, planned, feed)
        self.stage: TableStage = planned.stage  # type: ignore[assignment]  # the segment builds nodes by kind
        none: dict[str, JournaledEngine] = {}
        self.context = RunContext(planned, scope.plan.recipe.seed, none)

    async def work(self) -> None:
        """Process shards as they come."""
        assert self.feed is not None
        workers = self.scope.limits.table_workers
        queue: asyncio.Queue[int | None] = asyncio.Queue(maxsize=workers)

        async def feed(source: ShardFeed) -> None:
            async for shard in source:
                await queue.put(shard)
            for _ in range(workers):
                await queue.put(None)

        async def work() -> None:
            while (shard := await queue.get()) is not None:
                if not self.scope.stop.is_set:
                    await self._shard(shard)

        await run_together([asyncio.create_task(c) for c in (feed(self.feed), *(work() for _ in range(workers)))])

    async def _shard(self, shard: int) -> None:
        assert self.upstream is not None
        given = self.upstream.records[shard]
        generation = self.generation_needed(shard, given.content)
        if generation is None:
            self.publish(self.store.records[shard], reused=True)
            return
        record = await self.scope.threads.tables(self._process, given, generation)
        self.progress.done += record.rows_in
        self.progress.rejected += record.rows_rejected
        self.publish(record)

    def _process(self, given: CommitRecord, generation: int) -> CommitRecord:
        assert self.upstream is not None
        table = self.upstream.read(given)
        if table is None:
            empty = self.planned.schema_out.empty_table()
            return self.commit(given.shard, generation, given.content, 0, empty, [])
        result, grouped = self.processed(table)
        rejects = [(r.row["id"], r) for r in result.rejects]
        return self.commit(
            given.shard, generation, given.content, table.num_rows, result.table, rejects, grouped=grouped
        )

    def processed(self, table: pa.Table) -> tuple[TableResult, int]:
        """Run the stage on a table; check columns and books; return the result and the rows it grouped."""
        try:
            result = self.stage.process_table(table, self.context)
        except PipelineError:
            raise
        except Exception as e:
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) raised {type(e).__name__} on {table.num_rows} rows: {e}"
            ) from e
        if not (isinstance(result, TableResult) and isinstance(result.table, pa.Table)):
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) returned {type(result).__name__}; expected a "
                "TableResult with a table"
            )
        unlike = missing_or_unlike(self.planned.schema_out, result.table.schema)
        if unlike:
            wrong = ", ".join(f"'{name}' as {want}, got {have}" for name, want, have in unlike[:4])
            raise StageBug(f"stage '{self.planned.id}' ({self.stage.name}) must return column {wrong}")
        kept = result.table.select(self.planned.schema_out.names).cast(self.planned.schema_out)
        checked = TableResult(kept, self._full_rows(table, result.rejects))
        return checked, check_table(self.planned.id, self.stage, table, checked)

    def _full_rows(self, table: pa.Table, rejects: Sequence[Reject]) -> list[Reject]:
        """Put the original row under what rejects say: an id at least, and evidence in fields of its own."""
        if any(not isinstance(r.row.get("id"), str) for r in rejects):
            raise StageBug(f"stage '{self.planned.id}' ({self.stage.name}) rejected a row without saying its 'id'")
        names = set(table.column_names)
        lacking = pa.array([r.row["id"] for r in rejects if not names <= r.row.keys()], pa.string())
        chosen = table.filter(pc.is_in(table.column("id"), value_set=lacking)) if len(lacking) else table.slice(0, 0)
        originals = {row["id"]: row for batch in chosen.to_batches() for row in batch.to_pylist()}
        return [Reject({**originals.get(r.row["id"], {}), **r.row}, r.code, r.message) for r in rejects]


class DatasetNode(TableNode):
    """Runs a `TableStage` of scope `dataset`: waits for all shards, then cuts the result into shards again."""

    shards_like_upstream = False

    async def work(self) -> None:
        """Collect, process once, commit."""
        assert self.feed is not None
        shards = [shard async for shard in self.feed]
        if self.scope.stop.is_set:
            return
        for record in await self.scope.threads.tables(self._all, sorted(shards)):
            self.publish(record)

    def _all(self, shards: list[int]) -> list[CommitRecord]:
        assert self.upstream is not None
        given = [self.upstream.records[s] for s in shards]
        content = digest_of([r.content for r in given])
        sealed, records = self.store.sealed, self.store.records
        rows_in = sum(r.rows_out for r in given)
        if sealed is not None and all(s in records and records[s].input == content for s in range(sealed)):
            self.progress.done = self.progress.reused = rows_in
            self.progress.rejected = sum(records[s].rows_rejected for s in range(sealed))
            return [records[s] for s in range(sealed)]
        if rows_in > self.stage.max_rows:
            raise PlanError(
                f"stage '{self.planned.id}' ({self.stage.name}) was given {rows_in:,} rows; it works in memory on at "
                f"most {self.stage.max_rows:,}. Take fewer rows, or filter before it"
            )
        tables = [t for t in map(self.upstream.read, given) if t is not None]
        table = pa.concat_tables(tables) if tables else self.planned.schema_in.empty_table()
        result, grouped = self.processed(table)
        self.progress.done, self.progress.rejected = rows_in, len(result.rejects)
        return self._commit_all(result, rows_in, grouped, content)

    def _commit_all(self, result: TableResult, rows_in: int, grouped: int, content: str) -> list[CommitRecord]:
        """Commit the result in shards; the first carries the books of the whole input and the rejects."""
        parts = cut_table(result.table, self.scope.limits.shard_rows)
        count = max(len(parts), self.store.sealed or 0)
        out = []
        for shard in range(count):
            part = parts[shard] if shard < len(parts) else result.table.slice(0, 0)
            before = self.store.records.get(shard)
            generation = 0 if before is None else before.generation + (before.input != content)
            first = shard == 0
            rejects = [(r.row["id"], r) for r in result.rejects] if first else []
            books = (rows_in, grouped) if first else (0, 0)
            out.append(self.commit(shard, generation, content, books[0], part, rejects, grouped=books[1]))
        self.store.seal(count)
        return out
