"""What the integration tests share: recipes on disk, the command as a process, and what a run folder holds."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.store.manifest import RunView, open_run

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "pipeline.cli.main"]


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without keys and addresses, plus changes."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PREFMILL_LOG")}
    return kept | changes


STARTED: list[subprocess.Popen[str]] = []
"""Processes of the test that runs; what a failed test leaves is ended by `conftest.py`."""


def start(folder: Path, *args: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command in a folder."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=folder,
        env=dict(env or environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def prefmill(folder: Path, *args: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder to its end."""
    process = start(folder, *args, env=env)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def prompts(n: int) -> list[dict[str, Any]]:
    """Return records with different prompts."""
    return [{"prompt": f"Question {i}: what is {i} times {i + 7}?"} for i in range(n)]


def write_jsonl(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """Write records as JSON Lines, lone surrogates as escapes."""
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "ascii")
    return path


def write_recipe(
    folder: Path, stages: Sequence[Mapping[str, Any]], engines: Mapping[str, Any] = {}, **more: Any
) -> Path:
    """Write a recipe (JSON is YAML)."""
    body = {"recipe": 1, "name": "test", "seed": 5, "engines": dict(engines), "stages": list(stages), **more}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(body, indent=1), "ascii")
    return path


FAST = {"backoff_s": 0.01, "backoff_max_s": 0.05, "timeout_s": 20.0, "deadline_s": 60.0}
SOURCE = {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}}
SCORING = {"method": "echo", "tokenizer": "text", "template": "chatml"}


def served_recipe(
    folder: Path, url: str, n: int, *, draws: int = 1, score: bool = True, engine: Mapping[str, Any] = {}, **limits: Any
) -> Path:
    """Write prompts and the recipe prompts -> responses -> scores, asked of one server."""
    write_jsonl(folder / "prompts.jsonl", prompts(n))
    engines = {"policy": {"kind": "openai", "base_url": url, "model": "policy", **FAST, **engine}}
    roles = {"id": "responses", "use": "sample_responses", "roles": {"policy": "policy"}, "with": {"n": draws}}
    stages: list[dict[str, Any]] = [SOURCE, roles]
    if score:
        engines["scorer"] = {**engines["policy"], "model": "scorer", "scoring": SCORING}
        stages.append({"id": "scores", "use": "score_logprobs", "roles": {"scorer": "scorer"}})
    return write_recipe(folder, stages, engines, limits={"shard_rows": 100, "rows_in_flight": 32, **limits})


def view_of(folder: Path) -> RunView:
    """Open the run of a test folder."""
    return open_run(folder / "runs" / "test")


def rows(folder: Path, stage: str) -> list[dict[str, Any]]:
    """Return a stage's committed rows."""
    return [row for table in view_of(folder).stages[stage].tables() for row in table.to_pylist()]


def rejects(folder: Path, stage: str) -> list[dict[str, Any]]:
    """Return a stage's rejects."""
    return [row for table in view_of(folder).stages[stage].reject_tables() for row in table.to_pylist()]


def committed(folder: Path) -> dict[str, list[tuple[int, str | None, bytes, str | None]]]:
    """Return shard, data file, its bytes and rejects file of every stage, as its commit records name them."""
    out = {}
    for stage in view_of(folder).stages.values():
        refs = [(r.shard, r.data, r.rejects) for r in stage.records]
        out[stage.id] = [
            (s, d and d.name, (stage.store.data / d.name).read_bytes() if d else b"", r and r.name) for s, d, r in refs
        ]
    return out


def status(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what `prefmill status --json` says, by stage."""
    done = prefmill(folder, "status", "runs/test", "--json")
    assert done.returncode == 0, done.stderr
    return {s["stage"]: s for s in json.loads(done.stdout)["stages"]}


def assert_sound(folder: Path) -> None:
    """Assert that the run verifies, is finished and left nothing unfinished behind."""
    checked = prefmill(folder, "verify", "runs/test")
    assert checked.returncode == 0 and checked.stdout.startswith("ok:"), checked.stdout + checked.stderr
    assert view_of(folder).finished
    assert leftovers(folder) == []


def leftovers(folder: Path) -> list[Path]:
    """Return journals of a run folder."""
    return sorted((folder / "runs" / "test").rglob("*.journal"))


def files_holding(folder: Path, secret: str) -> Iterator[str]:
    """Yield files under a folder whose bytes, or whose Parquet values, hold a secret in plain or base64."""
    forms = secret_forms(secret)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            raw += json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
        if any(form in raw for form in forms):
            yield str(path)


def secret_forms(secret: str) -> list[bytes]:
    """Return a secret in plain and as base64 at each of the three alignments, without the characters that may vary."""
    encoded = [base64.b64encode(b"x" * shift + secret.encode())[4:-4] for shift in range(3)]
    return [secret.encode(), *encoded]


def register(
    folder: Path,
    stages: Mapping[str, str] = {},
    engines: Mapping[str, str] = {},
    *,
    distribution: str = "a-test-package",
    version: str = "1",
) -> Path:
    """Write what an installed distribution leaves on the path: names of stages and engines, `module:Class` each."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = ["[prefmill.stages]", *(f"{k} = {v}" for k, v in stages.items())]
    lines += ["[prefmill.engines]", *(f"{k} = {v}" for k, v in engines.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder
