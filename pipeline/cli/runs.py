"""Commands that work on rows: run, and rejects with `--retry`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.executors import (
    DevicesOption,
    ExecutorOption,
    ExecutorOptions,
    RayAddressOption,
    SbatchOption,
    SubmitOption,
    TasksOption,
    WorkersOption,
    queue_on_slurm,
)
from pipeline.cli.options import (
    EnginesOption,
    JsonOption,
    LimitOption,
    RecipeArgument,
    RunArgument,
    RunDirOption,
    SetOption,
    clip,
    overrides_of,
    print_json,
    print_table,
)
from pipeline.errors import EXIT_FINISHED_WITH_REJECTS, EXIT_OK, PrerequisiteError

if TYPE_CHECKING:
    from pipeline.run.session import Display, RunRequest
    from pipeline.store.manifest import RunView


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(rejects)


def run(
    recipe: RecipeArgument,
    set_: SetOption = [],  # noqa: B006  typer wants the default as it is
    engines: EnginesOption = None,
    run_dir: RunDirOption = None,
    limit: LimitOption = None,
    resume: Annotated[
        Literal["refuse", "recompute", "never"],
        typer.Option(
            help="When the run folder holds rows of a changed recipe: refuse and say what changed; recompute the "
            "stages concerned; or never continue an existing run."
        ),
    ] = "refuse",
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    devices: DevicesOption = None,
    ray_address: RayAddressOption = None,
    submit: SubmitOption = False,
    tasks: TasksOption = None,
    sbatch: SbatchOption = [],  # noqa: B006  typer wants the default as it is
) -> int:
    """Run a recipe, or go on where it stopped. Finished work is never done or paid again."""
    from pipeline.run.session import RunRequest

    options = ExecutorOptions(executor, workers, devices, ray_address, submit, tasks, sbatch)
    spreading = options.spreading()
    request = RunRequest(recipe, overrides_of(set_, engines), run_dir, limit, resume, spreading=spreading)
    if executor == "slurm":
        return queue_on_slurm(request, options)
    return _run(request)


@contextmanager
def displayed() -> Iterator[Display]:
    """Show a run's progress on standard error: drawn on a terminal, as lines elsewhere."""
    from pipeline.run.report import LineDisplay

    if sys.stderr.isatty():
        from pipeline.cli.live import LiveDisplay

        with LiveDisplay(time.monotonic) as live:
            yield live
    else:
        yield LineDisplay(lambda line: print(line, file=sys.stderr, flush=True), time.monotonic)


def _run(request: RunRequest) -> int:
    from pipeline.run.session import run_recipe

    with displayed() as display:
        view = run_recipe(request, display)
    _summary(view)
    return EXIT_FINISHED_WITH_REJECTS if view.rejected else EXIT_OK


def _summary(view: RunView) -> None:
    rows = []
    for stage in view.stages.values():
        codes = ", ".join(f"{code} {n:,}" for code, n in stage.rejects_by_code.most_common(3))
        rows.append([stage.id, f"{stage.rows_in:,}", f"{stage.rows_out:,}", codes or "-"])
    print_table(["stage", "rows in", "rows out", "rejects"], rows)
    typer.echo(f"run folder: {view.folder}")
    if any({"chosen", "rejected"} <= set(s.columns) for s in view.stages.values()):
        typer.echo(f"next: prefmill export {view.folder} --to DIR")


def rejects(
    run: RunArgument,
    stage: Annotated[str | None, typer.Option(help="Only this stage.")] = None,
    code: Annotated[str | None, typer.Option(help="Only this code.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most N rows.")] = 20,
    retry: Annotated[bool, typer.Option("--retry", help="Try these rows again, and what comes after them.")] = False,
    recipe: Annotated[Path | None, typer.Option(help="With --retry: the recipe, if it has moved.")] = None,
    json_: JsonOption = False,
) -> int:
    """Show rows that were set aside and why, or try them again."""
    from pipeline.store.manifest import open_run

    view = open_run(run)
    if stage is not None and stage not in view.stages:
        raise PrerequisiteError(f"run '{view.name}' has no stage '{stage}'; its stages: {', '.join(view.stages)}")
    if retry:
        return _retry(view, stage, code, recipe)
    found = _matching(view, stage, code, limit)
    if json_:
        print_json(found)
    else:
        print_table(
            ["stage", "code", "id", "message", "row"],
            [[r["stage"], r["code"], r["id"], clip(r["message"], 60), clip(r["row"], 60)] for r in found],
        )
        total = sum(n for v in view.stages.values() if stage in (None, v.id) for n in v.rejects_by_code.values())
        typer.echo(f"{len(found):,} shown of {total:,} rejects" + (f" of stage '{stage}'" if stage else ""))
    return EXIT_OK


def _matching(view: RunView, stage: str | None, code: str | None, limit: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for one in view.stages.values():
        if stage in (None, one.id):
            for table in one.reject_tables():
                found += [r for r in table.to_pylist() if code in (None, r["code"])]
                if len(found) >= limit:
                    return found[:limit]
    return found


def _retry(view: RunView, stage: str | None, code: str | None, recipe: Path | None) -> int:
    from pipeline.run.session import RunRequest

    origin = view.plan.run["origin"]
    path = recipe or Path(origin["recipe"])
    if not path.exists():
        raise PrerequisiteError(f"the run's recipe '{path}' is gone; name it with --recipe")
    codes = frozenset([code] if code else [])
    chosen = {v.id: codes for v in view.stages.values() if stage in (None, v.id) and v.rejects_by_code and v.upstream}
    if not chosen:
        typer.echo("nothing to try again: no such rejects (a source's rejects cannot be retried, fix its input)")
        return EXIT_OK
    return _run(RunRequest(path, origin["overrides"], view.folder, origin["limit"], retry=chosen))
