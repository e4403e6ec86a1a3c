"""What `prefmill plan` says about cost: requests of each stage as products, and with a probe their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import print_table

if TYPE_CHECKING:
    from pipeline.plan.plan import Plan
    from pipeline.run.session import RunRequest

_COUNTED_ROWS = 200_000
"""How many rows of a source are counted without a probe; reading more would take long."""


def show_costs(plan: Plan, request: RunRequest, probe: int | None) -> None:
    """Print the requests of every role, and with `probe` what so many rows of each source say about tokens."""
    from pipeline.plan.cost import plan_costs
    from pipeline.run.probe import count_rows

    counts = count_rows(plan, request.limit, None if probe else _COUNTED_ROWS)
    typer.echo("requests, without rejects (which make them fewer) and replies asked for again (which make them more):")
    rows = []
    for cost in plan_costs(plan, counts):
        value = cost.calls.value
        number = "known from the rows" if value is None else f"{'at most ' if cost.calls.at_most else ''}{value:,.0f}"
        rows.append([cost.stage_id, f"{cost.role}={cost.engine}", number, cost.calls.formula])
    print_table(["stage", "engine", "requests", "as"], rows)
    for source, count in counts.items():
        known = "not counted (from the hub, or too many)" if count is None else f"{count:,} rows"
        typer.echo(f"{source}: {known}")
    if probe is not None:
        _show_probe(plan, counts, request, probe)


def _show_probe(plan: Plan, counts: Mapping[str, int | None], request: RunRequest, probe: int) -> None:
    from pipeline.cli.runs import displayed
    from pipeline.run.probe import project, run_probe

    with displayed() as display:
        view = run_probe(request, probe, display)
    typer.echo(f"projected from {probe:,} rows of each source, or prompts where it gives several responses to one")
    projections = project(plan, view, counts)
    rows = [
        [
            p.stage_id,
            f"{p.probed_requests:,}",
            f"{p.requests:,.0f}",
            f"{p.prompt_tokens:,.0f}{'+' if p.untold else ''}",
            f"{p.new_tokens:,.0f}{'+' if p.untold else ''}",
        ]
        for p in projections
    ]
    totals = [sum(getattr(p, n) for p in projections) for n in ("requests", "prompt_tokens", "new_tokens")]
    rows.append(["all", f"{sum(p.probed_requests for p in projections):,}", *(f"{t:,.0f}" for t in totals)])
    print_table(["stage", "asked", "requests", "tokens read", "tokens made"], rows)
    if any(p.untold for p in projections):
        typer.echo("+: the engine did not tell the tokens of some requests; there are more")
