"""What the tests of executors share: a slow scripted recipe, its bytes, and processes to kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.integration.harness import SOURCE, committed, prefmill, prompts, write_jsonl, write_recipe
from tests.integration.server import wait_until

SLOW = {"kind": "scripted", "latency_ms": 20}
DONE = ("prompts", "responses", "scores", "reward")


def spread_recipe(folder: Path, n: int, *, engine: Mapping[str, Any] = SLOW, **limits: Any) -> Path:
    """Write prompts and the recipe prompts -> responses -> scores of two scorers -> reward, engines scripted."""
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "prompts.jsonl", prompts(n))
    engines = {"policy": dict(engine), "strong": {**engine, "model": "strong"}, "weak": {**engine, "model": "weak"}}
    strong = {"column": "strong_logprob"}
    stages: list[dict[str, Any]] = [
        SOURCE,
        {"id": "responses", "use": "sample_responses", "roles": {"policy": "policy"}, "with": {"n": 2}},
        {"id": "strong", "use": "score_logprobs", "roles": {"scorer": "strong"}, "with": strong},
        {
            "id": "weak",
            "use": "score_logprobs",
            "roles": {"scorer": "weak"},
            "with": {"column": "weak_logprob"},
        },
        {"id": "reward", "use": "density_ratio"},
        {"id": "pairs", "use": "select_pairs"},
    ]
    return write_recipe(folder, stages, engines, limits={"shard_rows": 10, "rows_in_flight": 8, **limits})


def bytes_of_one_process(folder: Path, n: int) -> dict[str, Any]:
    """Run the recipe in one process, fast, and return what is committed."""
    spread_recipe(folder, n, engine={"kind": "scripted"})
    done = prefmill(folder, "run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    return committed(folder)


def commits(folder: Path, stage: str = "responses") -> int:
    """Return how many shards of a stage are committed."""
    return len(list((folder / "runs/test/stages" / stage).glob("*/commits/part-*.json")))


def wait_for_commits(folder: Path, n: int, stage: str = "responses") -> None:
    """Wait until a stage has committed so many shards."""
    wait_until(lambda: commits(folder, stage) >= n)


def running_workers(folder: Path) -> list[int]:
    """Return the processes of workers that say they run and do."""
    said = [json.loads(p.read_bytes()) for p in sorted((folder / "runs/test/workers").glob("*.json"))]
    return [w["pid"] for w in said if w["state"] == "running" and is_running(w["pid"])]


def is_running(pid: int) -> bool:
    """Return whether a process has neither ended nor become a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill_one(folder: Path, signal_number: int, which: Callable[[int], bool] = lambda pid: True) -> int:
    """Send a signal to one running worker and return its process number."""
    wait_until(lambda: any(which(pid) for pid in running_workers(folder)))
    pid = next(pid for pid in running_workers(folder) if which(pid))
    os.kill(pid, signal_number)
    return pid
