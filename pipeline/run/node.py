"""One stage inside a running segment: where its shards come from, which of them need work, how they are committed.

A node publishes the number of each committed shard to the nodes after it; the rows themselves travel over disk.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pyarrow as pa

from pipeline.errors import StageBug
from pipeline.plan.plan import Plan, PlannedStage
from pipeline.plan.recipe import Limits
from pipeline.run.books import count_codes, rejects_table
from pipeline.run.control import EngineSlot, Pacer, Progress, StageProgress, StopFlag, Threads
from pipeline.run.rate import check_reject_rate
from pipeline.store.commits import CommitRecord
from pipeline.store.journal import Journal
from pipeline.store.run_store import StageStore
from pipeline.store.usage import Usage
from pipeline.types import Reject

Retry = Mapping[str, frozenset[str]]
"""Stage id to the reject codes whose rows are tried again; an empty set stands for all codes."""


@dataclass(frozen=True)
class RunScope:
    """What every node of a run is given."""

    plan: Plan
    stores: Mapping[str, StageStore]
    slots: Mapping[str, EngineSlot]
    limits: Limits
    progress: Progress
    stop: StopFlag
    threads: Threads
    pacer: Pacer
    attempt: str
    """Unique to this process; names journals and commit attempts."""
    run_limit: int | None = None
    run_sample: int | None = None
    """Take that many rows of each source, drawn by the run's seed, in place of all."""
    answers: Journal | None = None
    """What a probe was answered, or where a probe keeps it (`keeps_answers`)."""
    keeps_answers: bool = False
    retry: Retry | None = None
    partial: bool = False
    """Whether others work on the same stages: nobody then knows from its own counters when a stage is done, so
    sealing and the stage's books are left to who sees all its records (`units.py`)."""


class ShardSink(Protocol):
    """Who is told about committed shards of a stage."""

    def publish(self, shard: int) -> None:
        """Take notice of a committed shard."""

    def close(self) -> None:
        """Take notice that no more come."""


class ShardFeed:
    """The committed shards of one stage, for one consumer: those there are, then those that come."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._queue: asyncio.Queue[int | None] = asyncio.Queue()

    def publish(self, shard: int) -> None:
        """Add a shard."""
        self._queue.put_nowait(shard)

    def close(self) -> None:
        """Say that no more shards come."""
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[int]:
        """Yield shards until the feed is closed."""
        while (shard := await self._queue.get()) is not None:
            yield shard


class Node(ABC):
    """Runs one stage over the shards of its upstream.

    Attributes:
        shards_like_upstream: True where each input shard becomes one output shard of the same number; the node then
            seals the stage with that number when its input ends.
    """

    shards_like_upstream: ClassVar[bool] = True

    def __init__(self, scope: RunScope, planned: PlannedStage, feed: ShardFeed | None) -> None:
        """Bind a stage to its store and to the shards it reads."""
        self.scope, self.planned, self.feed = scope, planned, feed
        self.store = scope.stores[planned.id]
        self.upstream = scope.stores[planned.upstream] if planned.upstream else None
        self.progress: StageProgress = scope.progress.of(planned.id)
        self.consumers: list[ShardSink] = []
        self._published = 0

    async def run(self) -> None:
        """Do what is left to do; returns early, unsealed, when a stop was asked for."""
        self.store.prepare()
        await self.work()
        if not self.scope.stop.is_set and not self.scope.partial:
            if self.shards_like_upstream:
                self.store.seal(self._published)
            self.progress.finished = True
            self.check_reject_rate()
        for consumer in self.consumers:
            consumer.close()

    @abstractmethod
    async def work(self) -> None:
        """Process the shards of the feed and publish each when committed."""

    def generation_needed(self, shard: int, content: str) -> int | None:
        """Return the generation to write for a shard, or None if what is committed still holds."""
        record = self.store.records.get(shard)
        if record is None:
            return 0
        if record.input != content or self.retries(record):
            return record.generation + 1
        return None

    def retries(self, record: CommitRecord) -> bool:
        """Return whether the user asked to try rejects of this shard again."""
        codes = (self.scope.retry or {}).get(self.planned.id)
        return codes is not None and any(not codes or code in codes for code in record.rejected_by_code)

    def publish(self, record: CommitRecord, *, reused: bool = False) -> None:
        """Count a committed shard and hand it on."""
        p = self.progress
        self._published += 1
        p.rows_out += record.rows_out
        p.committed += record.rows_in
        if reused:
            p.done += record.rows_in
            p.reused += record.rows_in
            p.rejected += record.rows_rejected
        for consumer in self.consumers:
            consumer.publish(record.shard)

    def commit(
        self,
        shard: int,
        generation: int,
        content: str,
        rows_in: int,
        table: pa.Table,
        rejects: Sequence[tuple[str, Reject]],
        *,
        grouped: int = 0,
        usage: Usage | None = None,
    ) -> CommitRecord:
        """Write and publish one shard durably (blocking; called from a thread)."""
        refused = rejects_table(self.planned.id, rejects)
        data, rejects_file = self.store.write(shard, table, refused)
        record = CommitRecord(
            shard=shard,
            generation=generation,
            fingerprint=self.store.fingerprint,
            input=content,
            rows_in=rows_in,
            rows_out=table.num_rows,
            rows_rejected=len(rejects),
            fan_out=table.num_rows + len(rejects) + grouped - rows_in,
            rows_grouped=grouped,
            data=data,
            rejects=rejects_file,
            rejected_by_code=count_codes(rejects),
            attempt=self.scope.attempt,
            usage=usage,
        )
        if not record.balances:
            raise StageBug(f"stage '{self.planned.id}': the books of shard {shard} do not balance: {record}")
        return self.store.commit_shard(record)

    def upstream_total(self) -> int | None:
        """Return the number of input rows once the upstream stage has them all, else None."""
        if self.progress.total is None and self.upstream is not None:
            sealed, records = self.upstream.sealed, self.upstream.records
            if sealed is not None and len(records) >= sealed:
                self.progress.total = sum(records[shard].rows_out for shard in range(sealed))
        return self.progress.total

    def check_reject_rate(self) -> None:
        """Raise `RejectRateError` if more rows were rejected than allowed, whatever the rest will do."""
        self.progress.total = self.upstream_total() if self.upstream else self.progress.done
        check_reject_rate(self.planned, self.progress, self.store)
