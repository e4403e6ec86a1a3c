"""Commands about a recipe: validate, plan, schema. Only `plan --probe` loads a model or contacts an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.costs import show_costs
from pipeline.cli.options import (
    EnginesOption,
    LimitOption,
    RecipeArgument,
    RunDirOption,
    SetOption,
    overrides_of,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from pipeline.engines.base import Engine


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(validate)
    app.command()(plan)
    app.command()(schema)


def validate(
    recipe: RecipeArgument,
    set_: SetOption = [],  # noqa: B006  typer wants the default as it is
    engines: EnginesOption = None,
) -> None:
    """Check a recipe: names, options, columns, roles. Exit code 2 with the reason if it cannot run."""
    from pipeline.run.session import RunRequest, prepare

    checked = prepare(RunRequest(recipe, overrides_of(set_, engines)))
    typer.echo(f"ok: '{checked.recipe.name}', {len(checked.stages)} stages in {len(checked.segments)} segments")


def plan(
    recipe: RecipeArgument,
    set_: SetOption = [],  # noqa: B006  typer wants the default as it is
    engines: EnginesOption = None,
    run_dir: RunDirOption = None,
    limit: LimitOption = None,
    probe: Annotated[
        int | None,
        typer.Option(
            "--probe",
            min=1,
            help="Ask for N rows of each source, drawn by the seed, and project tokens; the run takes the answers.",
        ),
    ] = None,
) -> None:
    """Show what a run would do: segments, columns, engines, requests, and what is already done."""
    from pipeline.plan.fingerprint import fingerprint_plan
    from pipeline.run.session import RunRequest, prepare
    from pipeline.store.run_store import RunStore, differences

    request = RunRequest(recipe, overrides_of(set_, engines), run_dir, limit)
    checked = prepare(request)
    fingerprints = fingerprint_plan(checked, limit)
    store = RunStore(request.folder(checked.recipe.name))
    last = store.latest_plan() if store.exists() else None
    for number, segment in enumerate(checked.segments, 1):
        typer.echo(f"segment {number}")
        rows = []
        for stage_id in segment:
            planned = checked.stages[stage_id]
            own = store.stage(stage_id, fingerprints[stage_id])
            done = f"{len(own.records)} of {own.sealed or '?'} shards" if own.records else "nothing yet"
            roles = ", ".join(f"{role}={name}" for role, name in planned.roles.items()) or "-"
            added = ", ".join(planned.stage.outputs.names)
            rows.append([stage_id, planned.stage.name, roles, added, done, fingerprints[stage_id].short])
        print_table(["stage", "uses", "engines", "makes columns", "committed", "fingerprint"], rows)
    for name, engine in checked.engines.items():
        typer.echo(f"engine {name}: {engine.kind} {engine.model}")
        missing = _missing_here(engine)
        if missing:
            typer.echo(f"engine {name} cannot run on this machine: {missing}")
    typer.echo(f"run folder: {store.folder}")
    for line in differences(last.stages, fingerprints) if last else []:
        typer.echo(f"changed since the last run: {line}")
    if checked.engines or probe is not None:
        show_costs(checked, request, probe)


def _missing_here(engine: Engine) -> str | None:
    """Return what an engine lacks here: a recipe may be planned on another machine than it runs on."""
    from pipeline.errors import PrerequisiteError

    try:
        engine.check()
    except PrerequisiteError as error:
        return str(error)
    return None


def schema() -> None:
    """Print the JSON Schema of a recipe, for editors; it covers every installed stage and engine."""
    from pipeline.plan.schema_json import recipe_schema

    print_json(recipe_schema())
