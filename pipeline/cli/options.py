"""Options that several commands share, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

RecipeArgument = Annotated[Path, typer.Argument(help="Recipe file (YAML).", show_default=False)]
RunArgument = Annotated[str, typer.Argument(help="Run folder, or its name under runs/.", show_default=False)]
SetOption = Annotated[
    list[str],
    typer.Option("--set", help="Override a value: path=value, e.g. stages.pairs.with.min_margin=0.2. Repeatable."),
]
EnginesOption = Annotated[
    Path | None,
    typer.Option("--engines", help="Bind the recipe's engine names to the engines of this file.", show_default=False),
]
RunDirOption = Annotated[
    Path | None, typer.Option("--run-dir", help="Run folder; runs/<recipe name> unless given.", show_default=False)
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Take at most N rows from each source, in a run folder of its own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def overrides_of(values: list[str], engines: Path | None = None) -> dict[str, Any]:
    """Read `--engines` and all `--set` options, which come on top."""
    from pipeline.plan.recipe import load_engines, parse_override

    bound = load_engines(engines) if engines else {}
    return {**bound, **dict(parse_override(v) for v in values)}


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """Print rows in columns, numbers to the right; plain text, so that it can be piped."""
    widths = [max(len(r[i]) for r in [headings, *rows]) for i in range(len(headings))]
    for row in [headings, *rows]:
        cells = [c.rjust(w) if _numeric(c) else c.ljust(w) for c, w in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())


def _numeric(cell: str) -> bool:
    return bool(cell) and cell.strip("%").replace(",", "").replace(".", "").isdigit()


def clip(text: str, width: int) -> str:
    """Return text on one line, cut with an ellipsis; control characters, which a terminal would obey, are left out."""
    line = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return line if len(line) <= width else line[: width - 3] + "..."
