"""What spreading costs: 5,000 rows of 50 ms each by two workers, against rows x 50 ms / rows in flight.

    python -m benchmarks.executor_overhead

Goal: at most 1.15 for Ray, its start-up excluded; the same is measured for local processes. The span runs from the
first request (the first journal is seen one latency after it) to the last commit record. What comes before, starting
workers that import and plan, is printed beside it: it is paid once, whatever the rows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import median, options, prefmill, write_prompts


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=16, help="of each worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    given = parser.parse_args()
    ideal = given.rows * given.latency_ms / 1000 / (given.in_flight * given.workers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_prompts(folder / "prompts.jsonl", given.rows)
        recipe(folder, given.in_flight, given.latency_ms)
        for executor in ("local", "ray"):
            ratios = []
            for _ in range(given.repeat):
                before, span, shards = once(folder, executor, given.workers, given.rows, given.latency_ms / 1000)
                ratios.append(span / ideal)
                print(
                    f"{executor}: {span:.2f} s, ideal {ideal:.2f} s, ratio {ratios[-1]:.3f}; start-up {before:.1f} s; "
                    f"shards of each worker {shards}",
                    flush=True,
                )
            print(f"{executor}: median ratio {median(ratios):.3f} (goal: at most 1.15)", flush=True)


def recipe(folder: Path, in_flight: int, latency_ms: float) -> None:
    """Write the recipe: one response for each prompt, shards of 100 rows."""
    value = {
        "recipe": 1,
        "name": "bench",
        "seed": 1,
        "engines": {"policy": {"kind": "scripted", "latency_ms": latency_ms}},
        "stages": [
            {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}},
            {"id": "responses", "use": "sample_responses", "roles": {"policy": "policy"}, "with": {"n": 1}},
        ],
        "limits": {"rows_in_flight": in_flight, "shard_rows": 100},
    }
    (folder / "recipe.yaml").write_text(json.dumps(value))


def once(folder: Path, executor: str, workers: int, rows: int, latency_s: float) -> tuple[float, float, list[int]]:
    """Run the recipe; return seconds before the first request and after it, and the shards that each worker did."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    command = prefmill("run", "recipe.yaml", "--executor", executor, "--workers", str(workers))
    run, started = folder / "runs" / "bench", time.time()
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        while process.poll() is None and not any(run.glob("stages/responses/*/journal/*.journal")):
            time.sleep(0.005)
        began = time.time() - latency_s
        code = process.wait()
    commits = [(p.stat().st_mtime, json.loads(p.read_bytes())) for p in run.glob("stages/responses/*/commits/*.json")]
    if code or sum(record["rows_out"] for _, record in commits) != rows:
        sys.exit(f"the run failed with {code}: " + (folder / "log.txt").read_text())
    attempts = [record["attempt"] for _, record in commits]
    span = max(at for at, _ in commits) - began
    return began - started, span, sorted(attempts.count(a) for a in set(attempts))


if __name__ == "__main__":
    main()
