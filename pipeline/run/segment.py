"""Runs one segment: its stages side by side, shards flowing from each to those that take its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pipeline.errors import Stopped
from pipeline.plan.plan import PlannedStage
from pipeline.run.control import run_together
from pipeline.run.node import Node, RunScope, ShardFeed, ShardSink
from pipeline.run.rows import RowNode
from pipeline.run.sources import SourceNode
from pipeline.stage import RowStage, Source


async def run_segment(
    scope: RunScope,
    stage_ids: Sequence[str],
    feeds: Mapping[str, ShardFeed] | None = None,
    watch: Callable[[str], ShardSink] | None = None,
) -> None:
    """Run the stages of a segment until all are done, one fails, or a stop was asked for.

    Args:
        scope: what all stages are given.
        stage_ids: the stages, in order.
        feeds: shards to work on, by stage, in place of all that the stage's input has.
        watch: makes, for each stage, who is told about its committed shards besides the stages after it.

    Raises:
        Stopped: if a stop was asked for; requests in flight got `limits.drain_seconds` to finish and be journaled.
        PipelineError: the first failure of any stage.
    """
    nodes: dict[str, Node] = {}
    for stage_id in stage_ids:
        planned = scope.plan.stages[stage_id]
        nodes[stage_id] = _node(scope, planned, nodes, (feeds or {}).get(stage_id))
        if watch is not None:
            nodes[stage_id].consumers.append(watch(stage_id))
    work = asyncio.create_task(run_together([asyncio.create_task(n.run()) for n in nodes.values()]))
    stop = asyncio.create_task(scope.stop.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait({work}, timeout=scope.limits.drain_seconds)
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
        if not work.cancelled():
            work.result()
    finally:
        stop.cancel()
        work.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)
    if scope.stop.is_set:
        raise Stopped(scope.stop.reason)


def _node(scope: RunScope, planned: PlannedStage, nodes: dict[str, Node], given: ShardFeed | None) -> Node:
    if isinstance(planned.stage, Source):
        return SourceNode(scope, planned)
    feed = given or _feed_of(scope, planned, nodes)
    if isinstance(planned.stage, RowStage):
        return RowNode(scope, planned, feed)
    from pipeline.run.tables import DatasetNode, TableNode  # late: Arrow's compute functions take 8 MB

    return DatasetNode(scope, planned, feed) if planned.is_barrier else TableNode(scope, planned, feed)


def _feed_of(scope: RunScope, planned: PlannedStage, nodes: dict[str, Node]) -> ShardFeed:
    """Join the feed to the upstream node of this segment, or fill it from a stage that ended before."""
    assert planned.upstream is not None
    feed = ShardFeed()
    node = nodes.get(planned.upstream)
    if node is not None:
        node.consumers.append(feed)
        return feed
    for shard in range(scope.stores[planned.upstream].sealed or 0):
        feed.publish(shard)
    feed.close()
    return feed
