"""What the verdicts cost: requests and tokens of every stage on the way to them, from what is committed.

Counts are those of committed shards (`pipeline.store.usage`), so a request that was asked twice after a crash counts
once. An engine that tells no tokens is not taken to have used none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.store.manifest import RunView
from pipeline.store.usage import Usage, total


@dataclass(frozen=True)
class StageCosts:
    """The books and the costs of one stage; `usage` is None for a stage without engines."""

    stage: str
    rows_in: int
    rows_out: int
    rejects: dict[str, int] = field(default_factory=dict)
    usage: Usage | None = None


def stage_costs(view: RunView, stage_ids: Sequence[str]) -> list[StageCosts]:
    """Return the costs of some stages, in the recipe's order."""
    return [
        StageCosts(stage.id, stage.rows_in, stage.rows_out, dict(stage.rejects_by_code), stage.usage)
        for stage in view.stages.values()
        if stage.id in stage_ids
    ]


def cost_of(costs: Sequence[StageCosts], path: Sequence[str]) -> Usage:
    """Return what an annotator cost: all stages on its path, those that it shares with others included."""
    return total(cost.usage for cost in costs if cost.stage in path and cost.usage is not None)
