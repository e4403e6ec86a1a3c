"""The command that measures annotators against labels of people: runs the recipe, then shows the figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.inspect import print_reports
from pipeline.cli.options import (
    EnginesOption,
    JsonOption,
    LimitOption,
    RecipeArgument,
    RunDirOption,
    SetOption,
    overrides_of,
    print_json,
)
from pipeline.cli.runs import displayed
from pipeline.errors import EXIT_FINISHED_WITH_REJECTS, EXIT_OK, PrerequisiteError, RecipeError

if TYPE_CHECKING:
    from pipeline.audit.measure import Audit
    from pipeline.plan.recipe import Recipe
    from pipeline.run.session import RunRequest

_SOURCE = "load_preferences"
"""The stage whose file `--data` replaces."""

_NAMELESS = ("dataset", "data")
"""Names of files that say nothing: those of LLMBar are all called `dataset.json`."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    recipe: RecipeArgument,
    data: Annotated[
        Path | None,
        typer.Option(help=f"Labelled file in place of the one of {_SOURCE}, in a run folder of its own."),
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Its format; known by its columns if absent.")] = None,
    set_: SetOption = [],  # noqa: B006  typer wants the default as it is
    engines: EnginesOption = None,
    run_dir: RunDirOption = None,
    limit: LimitOption = None,
    resume: Annotated[
        Literal["refuse", "recompute", "never"], typer.Option(help="As for run: what to do with a changed recipe.")
    ] = "refuse",
    page: Annotated[Path | None, typer.Option(help="Also write the result as one HTML file with plots.")] = None,
    json_: JsonOption = False,
) -> int:
    """Measure a recipe's annotators on labelled responses: accuracy, length, order, agreement, cost."""
    from pipeline.audit.measure import measure
    from pipeline.plan.recipe import load_recipe
    from pipeline.run.session import RunRequest, run_recipe

    overrides = overrides_of(set_, engines)
    asked = load_recipe(recipe, overrides)
    if not asked.audit:
        raise RecipeError(
            f"recipe '{recipe}' has no 'audit:'; name the annotators to measure, such as "
            "audit: [{name: ratio, stage: reward, score: reward}]"
        )
    if data is not None or format_ is not None:
        overrides |= _other_data(asked, data, format_)
    request = RunRequest(recipe, overrides, run_dir or _folder(asked, data, limit), limit, resume)
    _check_first(request, asked, page)
    with displayed() as display:
        view = run_recipe(request, display)
    result = measure(view, asked.audit)
    if page is not None:
        _write_page(page, result)
    _show(result, json_)
    return EXIT_FINISHED_WITH_REJECTS if view.rejected else EXIT_OK


def _other_data(recipe: Recipe, data: Path | None, format_: str | None) -> dict[str, Any]:
    """Return overrides that read another file, wherever the recipe reads the one of its first labelled source."""
    sources = [spec for spec in recipe.stages if spec.use == _SOURCE]
    if not sources:
        raise RecipeError(f"--data and --format replace options of {_SOURCE}; recipe '{recipe.name}' has no such stage")
    if data is not None and not data.exists():
        raise PrerequisiteError(f"--data '{data}': there is no such file or folder")
    changed: dict[str, Any] = {}
    for spec in sources:
        if spec.with_.get("path") == sources[0].with_.get("path"):
            if data is not None:
                changed[f"stages.{spec.id}.with.path"] = str(data.resolve())
                changed[f"stages.{spec.id}.with.format"] = format_ or "auto"
            else:
                changed[f"stages.{spec.id}.with.format"] = format_
    return changed


def _folder(recipe: Recipe, data: Path | None, limit: int | None) -> Path | None:
    """Return a run folder of its own for other data, so that audits of two files do not contradict each other."""
    if data is None:
        return None
    whole = data.resolve()
    name = whole.name if whole.is_dir() else whole.stem
    if name in _NAMELESS:
        name = f"{whole.parent.name}-{name}"
    suffix = f"-limit{limit}" if limit is not None else ""
    return Path("runs") / f"{recipe.name}-{name}{suffix}"


def _check_first(request: RunRequest, recipe: Recipe, page: Path | None) -> None:
    """Refuse what would fail only after the models have run: data without labels, a page that has no folder."""
    from pipeline.audit.labels import check_labels
    from pipeline.plan.audits import root_of
    from pipeline.run.session import prepare

    if page is not None and (page.is_dir() or not page.parent.is_dir()):
        raise PrerequisiteError(f"page '{page}' cannot be written: give a file in a folder that exists")
    check_labels(root_of(recipe.audit[0].stage, prepare(request).stages), request.limit)


def _write_page(path: Path, result: Audit) -> None:
    from pipeline.audit.page import page

    try:
        path.write_text(page(result), "utf-8")
    except OSError as e:
        raise PrerequisiteError(f"page '{path}' cannot be written: {e.strerror}") from None


def _show(result: Audit, json_: bool) -> None:
    from pipeline.audit.tables import as_json, tables

    if json_:
        print_json(as_json(result))
        return
    print_reports({"audit": list(tables(result))})
    print_reports(result.reports)
    typer.echo("")
    for line in result.remarks:
        typer.echo(f"remark: {line}")
    typer.echo(f"run folder: {result.folder}")
