"""The command that takes rows of a stage out of a run: rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunArgument, print_json
from pipeline.errors import PrerequisiteError

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rows)


def rows(
    run: RunArgument,
    stage: Annotated[str | None, typer.Option(help="Which stage; the last one unless given.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="File to write: .parquet, else JSON Lines. Without it the first rows are printed."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most N rows.")] = None,
) -> None:
    """Show the rows of a stage as JSON, or write all of them to a file that another recipe can read."""
    from pipeline.publish.row_files import first_rows, write_rows
    from pipeline.store.manifest import open_run

    view = open_run(run)
    name = stage or list(view.stages)[-1]
    if name not in view.stages:
        raise PrerequisiteError(f"run '{view.name}' has no stage '{name}'; its stages: {', '.join(view.stages)}")
    if to is None:
        print_json(first_rows(view.stages[name], limit or _SHOWN))
        return
    written = write_rows(view.stages[name], to, limit)
    unfinished = "" if view.finished else "; the run is not finished, there may be more"
    typer.echo(f"{written:,} rows of '{name}' in {to}{unfinished}")
