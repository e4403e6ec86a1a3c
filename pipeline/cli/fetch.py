"""The command `fetch`: bring all models of a recipe to this machine ahead of a run, for nodes without a network.

Knows that engines name their models; how a hub is asked is in `engines/local/hub.py`. Data sets and Python packages are
not fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from pipeline.cli.options import EnginesOption, RecipeArgument, SetOption, overrides_of
from pipeline.errors import PrerequisiteError

if TYPE_CHECKING:
    from pipeline.engines.base import Engine, ModelAddress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(fetch)


def fetch(
    recipe: RecipeArgument,
    set_: SetOption = [],  # noqa: B006  typer wants the default as it is
    engines: EnginesOption = None,
) -> None:
    """Bring all models of a recipe into the hub cache, at their pinned commits; nothing twice.

    Only safetensors, configuration, tokenizer and chat template. A token is taken from HF_TOKEN.
    """
    from pipeline.run.session import RunRequest, prepare

    checked = prepare(RunRequest(recipe, overrides_of(set_, engines)))
    wanted, served = _wanted(checked.engines.values())
    problems = []
    for address in wanted:
        try:
            typer.echo(_line(address))
        except PrerequisiteError as e:
            problems.append(str(e))
    if problems:
        raise PrerequisiteError("\n       ".join(problems))
    if not wanted:
        typer.echo(f"nothing to fetch: {served or 'the recipe has no engines'}")


def _wanted(engines: Iterable[Engine]) -> tuple[list[ModelAddress], str]:
    """Return each model once, in order, and the kinds of the engines that read none here."""
    engines = list(engines)
    wanted = list(dict.fromkeys(address for engine in engines for address in engine.models()))
    kinds = sorted({engine.kind for engine in engines if not engine.models()})
    return wanted, ", ".join(f"engines of kind '{kind}' read no model files here" for kind in kinds)


def _line(address: ModelAddress) -> str:
    """Fetch one model, or look for it, and say what is there.

    Raises:
        PrerequisiteError: it cannot be had; the text says why and what to do.
    """
    from pipeline.engines.local.address import resolve

    files = resolve(address.model, address.revision)
    if files.hub_id is None:
        assert files.path is not None
        size = sum(p.stat().st_size for p in ([files.path] if files.path.is_file() else files.path.iterdir()))
        return f"{address.model}  {_bytes(size)}  already there (local)"
    from pipeline.engines.local.hub import fetch as fetch_from_hub

    # The client warns on its own about missing tokens and unreachable hosts; what matters is said by our errors.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    got = fetch_from_hub(files.hub_id, str(address.revision))
    done = {None: "already there (hub not asked)", 0: "already there"}.get(got.moved) or f"fetched {_bytes(got.moved)}"
    return f"{address.model}@{address.revision}  {_bytes(got.size)} in {got.files} files  {done}"


def _bytes(size: int | None) -> str:
    """Return a size as a person reads it, in powers of 1000."""
    value = float(size or 0)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
