"""Commands about the installation: stages, prompts, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import clip, print_table
from pipeline.errors import PrerequisiteError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(stages)
    app.command()(prompts)
    app.command()(doctor)


def stages(name: Annotated[str | None, typer.Argument(help="Show this stage in full.")] = None) -> None:
    """List the installed stages, or show one: what it does, options, columns, roles, reject codes."""
    from pipeline.registry import STAGES, registered, stage_class

    known = registered(STAGES)
    if name is not None:
        _show_stage(name)
        return
    rows = []
    for entry in known.values():
        try:
            cls = stage_class(entry.name, "stages")
            about = clip((cls.__doc__ or "").strip().split("\n")[0], 80)
            rows.append([entry.name, str(cls.version), entry.distribution, about])
        except PrerequisiteError as e:
            rows.append([entry.name, "?", entry.distribution, clip(str(e), 80)])
    print_table(["stage", "version", "package", "what it does"], rows)


def _show_stage(name: str) -> None:
    from inspect import cleandoc

    from pipeline.registry import stage_class

    cls = stage_class(name, "stages")
    kind = next(b.__name__ for b in cls.__mro__[1:] if b.__name__ in ("Source", "RowStage", "TableStage"))
    typer.echo(f"{name} v{cls.version} ({kind})\n\n{cleandoc(cls.__doc__ or '')}\n\noptions:")
    for option, info in cls.config_type.model_fields.items():
        default = "required" if info.is_required() else f"default {info.get_default(call_default_factory=True)!r}"
        typer.echo(f"  {option}: {default}. {info.description or ''}".rstrip())
    if not cls.config_type.model_fields:
        typer.echo("  none")


def prompts(name: Annotated[str | None, typer.Argument(help="Print this template: stage/name.vN.")] = None) -> None:
    """List the shipped prompt templates with their digests, or print one."""
    from pipeline.prompts import data_folder, load_prompt

    if name is not None:
        stage, _, template = name.partition("/")
        typer.echo(load_prompt(stage, template).text)
        return
    rows = []
    for path in sorted(data_folder("prompts").glob("*/*.md")):
        prompt = load_prompt(path.parent.name, path.stem)
        rows.append(
            [
                f"{path.parent.name}/{path.stem}",
                prompt.digest[:16],
                ", ".join(prompt.header.inputs),
                clip(prompt.header.source, 60),
            ]
        )
    print_table(["template", "digest", "inputs", "source"], rows)


def doctor() -> int:
    """Say what this installation can do, what is missing, and how to install it."""
    from pipeline.cli.doctor import examine

    for line in examine():
        typer.echo(line)
    return 0
