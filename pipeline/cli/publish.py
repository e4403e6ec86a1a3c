"""The command that turns a finished run into a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunArgument


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)


def export(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="Folder to write; must not exist.", show_default=False)],
    stage: Annotated[
        str | None, typer.Option(help="The stage that holds the pairs; the last one unless given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export of ours.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print one pair.")] = False,
) -> None:
    """Write a Hugging Face dataset folder: Parquet splits, all candidates as a second config, and the card."""
    from pipeline.publish.export import export_run, first_pair
    from pipeline.store.manifest import open_run

    view = open_run(run)
    result = export_run(view, to, stage=stage, overwrite=overwrite)
    if show:
        _show(first_pair(view, stage))
    typer.echo(f"{result.pairs:,} pairs from {result.prompts:,} prompts")
    typer.echo(f"dataset: {to}")
    typer.echo(f'load it: datasets.load_dataset("{to}")')


def _show(pair: dict[str, object]) -> None:
    typer.echo("one pair:")
    for key, value in pair.items():
        typer.echo(f"  {key}: {value}")
