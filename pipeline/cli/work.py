"""The hidden command that workers are started with, by the local executor and in Slurm's batch scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(hidden=True)(work)


def work(
    folder: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    unit: Annotated[int, typer.Option(min=0, help="Which unit of the plan.")],
    name: Annotated[str, typer.Option(help="Name of this worker; no other living worker of the run has it.")],
    parent: Annotated[
        int | None, typer.Option(help="The process that started it and holds the run folder.", show_default=False)
    ] = None,
) -> None:
    """Do a worker's share of one unit of a run that was begun elsewhere."""
    from pipeline.run.work import WorkOrder
    from pipeline.run.work import work as do

    do(WorkOrder(folder, unit, name, parent))
