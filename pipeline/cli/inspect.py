"""Commands that look at a run: status, report, trace, verify."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import JsonOption, RunArgument, clip, print_json, print_table

if TYPE_CHECKING:
    from pipeline.stage import ReportTable
    from pipeline.store.manifest import RunView
    from pipeline.store.trace import Level

_SILENT_SECONDS = 30.0
"""After which a worker that has said nothing is not counted; leaves room for clocks that differ."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(report)
    app.command()(trace)
    app.command()(verify)


def status(run: RunArgument, json_: JsonOption = False) -> None:
    """Show how far a run is, stage by stage, and what its engines did."""
    from pipeline.store.figures import added_up, described
    from pipeline.store.manifest import open_run
    from pipeline.store.run_store import RunStore

    view = open_run(run)
    stages: list[dict[str, Any]] = [
        {
            "stage": s.id,
            "shards": len(s.records),
            "of": view.expected_shards(s.id),
            "rows_in": s.rows_in,
            "rows_out": s.rows_out,
            "rejects": dict(s.rejects_by_code),
            "usage": None if s.usage is None else asdict(s.usage),
            "fingerprint": s.fingerprint.digest,
        }
        for s in view.stages.values()
    ]
    state = "finished" if view.finished else "unfinished"
    workers = [] if view.finished else working(view.folder)
    engines = {name: added_up(records) for name, records in RunStore(view.folder).statistics().items()}
    if json_:
        facts = {"run": view.name, "folder": str(view.folder), "state": state}
        print_json({**facts, "stages": stages, "workers": workers, "engines": engines})
        return
    typer.echo(f"run '{view.name}' in {view.folder}: {state}{_progress(view)}")
    for stage_ids, n in Counter(tuple(w["stages"]) for w in workers).items():
        typer.echo(f"{n} worker{'s' * (n > 1)} at work on {', '.join(stage_ids)}")
    rows = [
        [
            s["stage"],
            f"{s['shards']}/{s['of'] or '?'}",
            f"{s['rows_in']:,}",
            f"{s['rows_out']:,}",
            *_usage(s["usage"]),
            _codes(s["rejects"]),
        ]
        for s in stages
    ]
    print_table(["stage", "shards", "rows in", "rows out", "requests", "tokens read", "tokens made", "rejects"], rows)
    for name, figures in engines.items():
        typer.echo(described(name, figures))


def report(
    run: RunArgument,
    stage: Annotated[str | None, typer.Option(help="Only this stage.", show_default=False)] = None,
    json_: JsonOption = False,
) -> None:
    """Show what stages report about their own work: coverage, duplicates, matches with benchmarks, masked data."""
    from pipeline.publish.stage_reports import stage_reports
    from pipeline.store.manifest import open_run

    view = open_run(run)
    reports = stage_reports(view, stage)
    if json_:
        print_json({i: [asdict(t) for t in tables] for i, tables in reports.items()})
        return
    print_reports(reports)
    if not reports:
        typer.echo(f"no stage of run '{view.name}' has more to say than 'prefmill status'")


def print_reports(reports: Mapping[str, Sequence[ReportTable]]) -> None:
    """Print tables under the names of those who report them."""
    for who, tables in reports.items():
        for table in tables:
            typer.echo(f"\n{who}: {table.title}")
            print_table(list(table.headings), [[_cell(c) for c in row] for row in table.rows])
            if table.note:
                typer.echo(table.note)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else clip(str(value), 100)


def working(folder: Path) -> list[dict[str, Any]]:
    """Return the workers that said lately that they run; they say so every second."""
    found = []
    for path in sorted((folder / "workers").glob("*.json")):
        said = json.loads(path.read_bytes())
        if said["state"] == "running" and time.time() - path.stat().st_mtime < _SILENT_SECONDS:
            found.append({"name": path.stem, "stages": [s["stage_id"] for s in said["stages"]]})
    return found


def _usage(usage: dict[str, int] | None) -> list[str]:
    """Return requests and tokens as cells; a `+` where an engine did not tell the tokens of some requests."""
    if usage is None:
        return ["-", "-", "-"]
    more = "+" if usage["untold"] else ""
    return [f"{usage['requests']:,}", f"{usage['prompt_tokens']:,}{more}", f"{usage['new_tokens']:,}{more}"]


def _codes(codes: dict[str, int]) -> str:
    return ", ".join(f"{code} {n:,}" for code, n in codes.items()) or "-"


def _progress(view: RunView) -> str:
    try:
        last = json.loads((view.folder / "progress.json").read_bytes())
        return f" (last start: {last['state']} after {last['seconds']} s)"
    except (OSError, ValueError, KeyError):
        return ""


def trace(
    run: RunArgument,
    row_id: Annotated[str, typer.Argument(help="Id of a row of any stage, such as a pair.", show_default=False)],
    json_: JsonOption = False,
) -> None:
    """Show the whole descent of a row: every stage, its options, prompts, models and what it added."""
    from pipeline.store.manifest import open_run
    from pipeline.store.trace import trace as climb

    levels = climb(open_run(run), row_id)
    if json_:
        print_json([_level(level) for level in levels])
        return
    for level in levels:
        _print_level(level)


def _level(level: Level) -> dict[str, Any]:
    kept = ("stage", "version", "package", "config", "prompts", "engines", "source", "seed")
    return {
        "stage": level.stage_id,
        "made_by": {k: level.document[k] for k in kept if level.document.get(k) not in (None, {})},
        "rows": [{c: row[c] for c in level.added} for row in level.rows],
    }


def _print_level(level: Level) -> None:
    document = level.document
    seed = "" if document["seed"] is None else f", run seed {document['seed']}"
    typer.echo(f"\n{level.stage_id}  ({document['stage']} v{document['version']}{seed})")
    typer.echo(f"  options: {json.dumps(document['config'], ensure_ascii=False)}")
    for name, digest in document["prompts"].items():
        typer.echo(f"  prompt template {name}: sha256 {digest}")
    for role, identity in document["engines"].items():
        facts = ", ".join(f"{k} {_short(v)}" for k, v in identity.items() if v is not None)
        typer.echo(f"  role {role}: {facts}")
    for row in level.rows:
        typer.echo(f"  row {row['id']}")
        for column in level.added:
            if column != "id":
                typer.echo(f"    {column}: {_short(row[column])}")


def _short(value: Any) -> str:
    return clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), 400)


def verify(run: RunArgument) -> int:
    """Check every file of a run against its records: hashes, counts, ids, books. Exit code 8 if anything is wrong."""
    from pipeline.errors import CorruptStore
    from pipeline.store.manifest import open_run
    from pipeline.store.verify import verify as check

    view = open_run(run)
    problems = check(view)
    for line in problems:
        typer.echo(line)
    shards = sum(len(s.records) for s in view.stages.values())
    if problems:
        raise CorruptStore(f"run '{view.name}': {len(problems)} problems in {shards} shards; nothing was changed")
    typer.echo(f"ok: {shards} shards of {len(view.stages)} stages, hashes, counts, ids and books agree")
    return 0
