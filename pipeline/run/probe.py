"""Measure what a run will cost on a few of its rows, and keep the answers for the run itself.

A probe is a run of the same recipe over a seeded sample of each source's rows, in the folder `probe` inside the run's
folder. What engines answer is kept in `answers` beside it and taken by the run, so that nothing asked for the sample is
paid twice. Figures of the sample are scaled by the number of rows; stages that see the whole data set at once (merging,
deduplication) grow less than that, so theirs are upper bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.errors import PipelineError, RecipeError, StageBug
from pipeline.plan.plan import Plan
from pipeline.run.runner import ANSWERS
from pipeline.run.session import Display, RunRequest, prepare, run_recipe
from pipeline.stage import Source
from pipeline.store.files import make_folder
from pipeline.store.manifest import RunView
from pipeline.types import Reject

PROBE = "probe"
"""Folder, in a run folder, of the probe's own run."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What one stage was asked in a probe, and what that makes for the whole run."""

    stage_id: str
    requests: float
    prompt_tokens: float
    new_tokens: float
    untold: bool
    """Whether an engine did not tell its tokens: they are more than is shown."""
    probed_requests: int


def count_rows(plan: Plan, limit: int | None = None, most: int | None = None) -> dict[str, int | None]:
    """Count the rows of each source by reading it; rows that it sets aside are not counted.

    Args:
        plan: the checked plan.
        limit: most rows that the run takes from each source.
        most: give up beyond that many rows, and before a source that needs the network, and return None for it; None
            to count all.

    Raises:
        PrerequisiteError: if an input is missing.
        StageBug: if a source breaks.
    """
    sources = {p.id: p.stage for p in plan.stages.values() if isinstance(p.stage, Source)}
    return {i: None if most is not None and s.needs_network else _count(s, limit, most) for i, s in sources.items()}


def _count(source: Source, limit: int | None, most: int | None) -> int | None:
    found = 0
    try:
        for partition in source.partitions():
            for item in source.read(partition):
                found += 0 if isinstance(item, Reject) else item.num_rows
                if limit is not None and found >= limit:
                    return limit
                if most is not None and found > most:
                    return None
    except PipelineError:
        raise
    except Exception as e:
        raise StageBug(f"source '{source.name}' raised {type(e).__name__} while its rows were counted: {e}") from e
    return found


def run_probe(request: RunRequest, rows: int, display: Display) -> RunView:
    """Run the recipe over `rows` rows of each source and keep the answers in the run's folder.

    Raises:
        RecipeError: if the recipe asks no engine, so that there is nothing to measure.
        PipelineError: as a run.
    """
    plan = prepare(request)
    if not plan.engines:
        raise RecipeError(f"recipe '{plan.recipe.name}' asks no engine; there is nothing to probe")
    folder = request.folder(plan.recipe.name)
    make_folder(folder / ANSWERS)
    probe = replace(
        request, run_dir=folder / PROBE, resume="recompute", sample=rows, answers=folder / ANSWERS, spreading=None
    )
    return run_recipe(probe, display)


def project(plan: Plan, view: RunView, counts: Mapping[str, int | None]) -> list[Projection]:
    """Scale what a probe cost to all rows; stages without engines are left out.

    Args:
        plan: the plan of the whole run.
        view: the finished probe.
        counts: rows of each source in the whole run.
    """
    out: list[Projection] = []
    scales: dict[str, float] = {}
    for planned in plan.stages.values():
        stage = view.stages[planned.id]
        if planned.upstream is None:
            total = counts[planned.id]
            scales[planned.id] = total / stage.rows_out if total and stage.rows_out else 1.0
            continue
        scale = scales[planned.id] = scales[planned.upstream]
        used = stage.usage
        if used is not None:
            out.append(
                Projection(
                    planned.id,
                    used.requests * scale,
                    used.prompt_tokens * scale,
                    used.new_tokens * scale,
                    used.untold > 0,
                    used.requests,
                )
            )
    return out
