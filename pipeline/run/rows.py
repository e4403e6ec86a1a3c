"""Runs a row stage: one concurrency window over all its rows, across shard borders.

Draining the window at each shard would cost half the throughput (architecture section 4), so rows of later shards
start while the last rows of earlier ones still run, and a shard is committed when its last row ends. Memory stays
bounded by `limits.rows_ahead` and a byte budget over rows of shards that are open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipeline.errors import PipelineError, RowError, StageBug
from pipeline.ids import child_id
from pipeline.plan.plan import PlannedStage
from pipeline.run.context import JournaledEngine, RunContext, ShardLog, offers_of
from pipeline.run.control import run_together
from pipeline.run.node import Node, RunScope, ShardFeed
from pipeline.run.prior import PriorOutcome, prior_outcomes
from pipeline.stage import RowStage
from pipeline.store.commits import CommitRecord
from pipeline.store.journal import Journal
from pipeline.store.usage import Usage
from pipeline.types import Reject, Row

_BYTES_AHEAD = 256_000_000
_SYNC_SECONDS = 0.5
_AT_ONCE = 64
"""Rows turned between Arrow and Python in one go, which the interpreter lock is held for."""

Outcome = Sequence[Row | Reject]


class _OpenShard:
    """A shard whose rows are being worked on."""

    __slots__ = (
        "shard",
        "generation",
        "content",
        "table",
        "rows",
        "outcomes",
        "left",
        "journal",
        "log",
        "context",
        "nbytes",
    )

    def __init__(self, shard: int, generation: int, content: str, table: pa.Table, journal: Journal) -> None:
        self.shard, self.generation, self.content = shard, generation, content
        self.table = table
        self.rows: list[Row] = []
        self.outcomes: list[Outcome] = [()] * table.num_rows
        self.left: int = table.num_rows
        self.journal = journal
        self.log: ShardLog
        self.context: RunContext
        self.nbytes: int = table.nbytes

    def unpacked(self) -> Iterator[Row]:
        """Yield the rows, made from the table a few at a time: all at once would hold up the event loop for 20 ms."""
        for start in range(0, self.table.num_rows, _AT_ONCE):
            part = self.table.slice(start, _AT_ONCE).to_pylist()
            self.rows += part
            yield from part


class RowNode(Node):
    """Runs a `RowStage`."""

    def __init__(self, scope: RunScope, planned: PlannedStage, feed: ShardFeed) -> None:
        """Size the window."""
        super().__init__(scope, planned, feed)
        self.stage: RowStage = planned.stage  # type: ignore[assignment]  # the segment builds nodes by kind
        self._window = scope.limits.rows_in_flight
        # a shard is asked for when the last one is in the queue: beside others, take no more than is soon begun
        ahead = max(1, self._window // 2) if scope.partial else 2 * self._window
        self._queue: asyncio.Queue[tuple[_OpenShard, int] | None] = asyncio.Queue(maxsize=ahead)
        self._open: set[_OpenShard] = set()
        self._committed = asyncio.Event()
        self._commit_started = asyncio.Event()
        self._commits: set[asyncio.Task[None]] = set()
        self._may_hold = frozenset(planned.schema_out.names)
        self._must_hold = frozenset(planned.stage.outputs.names)

    async def work(self) -> None:
        """Feed, work and flush until the input ends or a stop is asked for."""
        self.store.remove_stale_journals()
        flusher = asyncio.create_task(self._flush_journals())
        try:
            rows = [self._feeder(), *(self._worker() for _ in range(self._window))]
            work = asyncio.create_task(run_together([asyncio.create_task(r) for r in rows]))
            await run_together([work, asyncio.create_task(self._watch_commits(work))])
        finally:
            flusher.cancel()
            await asyncio.gather(flusher, *self._commits, return_exceptions=True)
            for shard in self._open:
                shard.journal.close()

    async def _feeder(self) -> None:
        assert self.feed is not None and self.upstream is not None
        async for number in self.feed:
            if self.scope.stop.is_set:
                break
            given = self.upstream.records[number]
            generation = self.generation_needed(number, given.content)
            if generation is None:
                self.publish(self.store.records[number], reused=True)
                continue
            await self._admit(number, generation)
        for _ in range(self._window):
            await self._queue.put(None)

    async def _admit(self, number: int, generation: int) -> None:
        await self._wait_for_room()
        shard, prior = await self.scope.threads.files(self._load, number, generation)
        scope = self.scope
        shard.log = ShardLog(shard.journal, None if scope.retry else scope.answers, scope.keeps_answers)
        shard.context = self._context(shard.log)
        self._open.add(shard)
        if not shard.left:
            self._start_commit(shard)
        for position, row in enumerate(shard.unpacked()):
            known = prior.get(row["id"])
            if known is not None:
                self._finish(shard, position, known)
            elif self.scope.stop.is_set:
                return
            else:
                await self._queue.put((shard, position))

    async def _wait_for_room(self) -> None:
        while self._open and (
            sum(len(s.outcomes) for s in self._open) >= self.scope.limits.rows_ahead
            or sum(s.nbytes for s in self._open) >= _BYTES_AHEAD
        ):
            self._committed.clear()
            await self._committed.wait()

    def _load(self, number: int, generation: int) -> tuple[_OpenShard, dict[str, PriorOutcome]]:
        assert self.upstream is not None
        given = self.upstream.records[number]
        table = self.upstream.read(given)
        if table is None:
            table = self.planned.schema_in.empty_table()
        journal = self.store.journal(number, generation, self.scope.attempt)
        prior: dict[str, PriorOutcome] = {}
        if generation > 0:
            codes = (self.scope.retry or {}).get(self.planned.id)
            prior = prior_outcomes(self.store, self.upstream, self.stage, number, table, codes)
        return _OpenShard(number, generation, given.content, table, journal), prior

    def _context(self, log: ShardLog) -> RunContext:
        slots = {role: self.scope.slots[name] for role, name in self.planned.roles.items()}
        engines = {
            role: JournaledEngine(
                slot, log, self.scope.stop, self.scope.pacer, self.progress, offers_of(self.stage, role)
            )
            for role, slot in slots.items()
        }
        return RunContext(self.planned, self.scope.plan.recipe.seed, engines)

    async def _watch_commits(self, work: asyncio.Task[None]) -> None:
        """End when rows and commits have ended; raise as soon as a commit fails (a full disk, say)."""
        started = asyncio.create_task(self._commit_started.wait())
        try:
            while not (work.done() and not self._commits):
                await asyncio.wait({work, started, *self._commits}, return_when=asyncio.FIRST_COMPLETED)
                if started.done():
                    self._commit_started.clear()
                    started = asyncio.create_task(self._commit_started.wait())
                for task in [t for t in self._commits if t.done()]:
                    self._commits.discard(task)
                    task.result()
                if work.done():
                    work.result()
                    await asyncio.gather(*self._commits)
        finally:
            started.cancel()

    async def _worker(self) -> None:
        while (item := await self._queue.get()) is not None:
            if self.scope.stop.is_set:
                continue
            shard, position = item
            outcome = await self._process(shard.rows[position], shard.context)
            if outcome is not None:
                self._finish(shard, position, outcome)

    async def _process(self, row: Row, context: RunContext) -> Outcome | None:
        try:
            returned = await self.stage.process_row(dict(row), context)
        except RowError as e:
            returned = [Reject(row, e.code, e.message)]
        except PipelineError:
            if self.scope.stop.is_set:  # the row did not begin its next request; it stays unfinished
                return None
            raise
        except Exception as e:
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) raised {type(e).__name__} on row '{row['id']}': {e}"
            ) from e
        return self._checked(row, returned)

    def _checked(self, row: Row, returned: Outcome) -> Outcome:
        if not isinstance(returned, list | tuple) or not all(isinstance(r, dict | Reject) for r in returned):
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) returned {_kind(returned)} for row '{row['id']}'; "
                "expected a list of rows and rejects"
            )
        if not returned or not (self.stage.fan_out or len(returned) == 1):
            expected = "at least one row" if self.stage.fan_out else "exactly one row"
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) returned {len(returned)} rows for row '{row['id']}'; "
                f"expected {expected} (to drop a row raise RowError)"
            )
        if not self.stage.fan_out:
            self._check_columns(row, returned[0], row["id"])
            return returned
        parent = row["id"]
        out: list[Row | Reject] = []
        for i, item in enumerate(returned):
            given = {"id": child_id(parent, self.planned.id, i), "parent_id": parent}
            if isinstance(item, Reject):
                out.append(Reject({**item.row, **given}, item.code, item.message))
            else:
                child = {**item, **given}
                self._check_columns(row, child, given["id"])
                out.append(child)
        return out

    def _check_columns(self, row: Row, item: Row | Reject, expected_id: str) -> None:
        if isinstance(item, Reject):
            return
        names = item.keys()
        if not (self._must_hold <= names <= self._may_hold) or item.get("id") != expected_id:
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) on row '{row['id']}': columns missing "
                f"{sorted(self._must_hold - names)}, not declared {sorted(names - self._may_hold)}, id "
                f"'{item.get('id')}' (expected '{expected_id}')"
            )

    def _finish(self, shard: _OpenShard, position: int, outcome: Outcome) -> None:
        shard.outcomes[position] = outcome
        shard.left -= 1
        self.progress.done += 1
        rejected = sum(isinstance(o, Reject) for o in outcome)
        if rejected:
            self.progress.rejected += rejected
            self._fail_early()
        if shard.left == 0:
            self._start_commit(shard)

    def _fail_early(self) -> None:
        """End the run as soon as the allowed rate cannot be met any more, before more calls are paid."""
        if not self.stage.fan_out and self.upstream_total() is not None:
            self.check_reject_rate()

    def _start_commit(self, shard: _OpenShard) -> None:
        self._commits.add(asyncio.create_task(self._commit_shard(shard)))
        self._commit_started.set()

    async def _commit_shard(self, shard: _OpenShard) -> None:
        record = await self.scope.threads.files(self._write, shard)
        self._open.discard(shard)
        shard.journal.remove()
        self.publish(record)
        self._committed.set()

    def _write(self, shard: _OpenShard) -> CommitRecord:
        kept: list[Row] = []
        rejects: list[tuple[str, Reject]] = []
        for row, outcome in zip(shard.rows, shard.outcomes, strict=True):
            for item in outcome:
                if isinstance(item, Reject):
                    rejects.append((row["id"], item))
                else:
                    kept.append(item)
        table = self._table(kept, rejects)
        count = len(shard.rows)
        usage = self._usage(shard)
        return self.commit(shard.shard, shard.generation, shard.content, count, table, rejects, usage=usage)

    def _usage(self, shard: _OpenShard) -> Usage | None:
        """Return what the shard cost, with what its earlier generations did; None for a stage without engines."""
        if not self.planned.roles:
            return None
        before = self.store.records.get(shard.shard)
        return shard.log.usage + (before.usage if before and before.usage else Usage())

    def _table(self, kept: list[Row], rejects: list[tuple[str, Reject]]) -> pa.Table:
        schema = self.planned.schema_out
        try:
            parts = [kept[i : i + _AT_ONCE] for i in range(0, len(kept), _AT_ONCE)]
            batches = [pa.RecordBatch.from_pylist(part, schema=schema) for part in parts]
            return pa.Table.from_batches(batches, schema=schema).combine_chunks()
        except UnicodeEncodeError:
            good: list[Row] = []
            for row in kept:
                try:
                    pa.Table.from_pylist([row], schema=schema)
                    good.append(row)
                except UnicodeEncodeError:
                    reject = Reject(row, "row.bad_text", "text with a lone surrogate, which no Parquet file can hold")
                    rejects.append((row["parent_id"] if self.stage.fan_out else row["id"], reject))
            return pa.Table.from_pylist(good, schema=schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as e:
            raise StageBug(
                f"stage '{self.planned.id}' ({self.stage.name}) returned a value that its declared columns cannot "
                f"hold: {e}"
            ) from e

    async def _flush_journals(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            for shard in list(self._open):
                await self.scope.threads.files(shard.journal.sync)


def _kind(returned: object) -> str:
    if isinstance(returned, list | tuple):
        return "a list of " + ", ".join(sorted({type(r).__name__ for r in returned}))
    return type(returned).__name__
