"""What the runner costs over a raw aiohttp client: sampling with journal and shards on, both in the same run.

    python -m benchmarks.sampling_overhead                 # 10,000 rows, 200 ms and 0 ms, 256 in flight
    python -m benchmarks.sampling_overhead --rows 2000 --latencies 200 --repeat 1

Goals: at 200 ms wall time at most 1.15 times raw, CPU at most 0.5 ms a row (start-up included), peak memory at most
150 MB; at 0 ms at least 0.4 of raw's rows per second (over the span from first to last request).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import (
    ROOT,
    Measured,
    get,
    median,
    mock_server,
    options,
    prefmill,
    run,
    write_prompts,
    write_recipe,
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--latencies", type=int, nargs="+", default=[200, 0], help="milliseconds")
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_prompts(folder / "prompts.jsonl", given.rows)
        write_recipe(folder, "prompts.jsonl", given.port)
        for latency in given.latencies:
            with mock_server(given.bench, given.port, f"fixed:{latency}", given.server_cpu) as url:
                report(latency, given.rows, [pair(folder, url, given) for _ in range(given.repeat)])


def pair(folder: Path, url: str, given: object) -> tuple[tuple[Measured, float], tuple[Measured, float]]:
    """Measure ours, then raw."""
    rows, cpu = given.rows, given.client_cpu or None  # type: ignore[attr-defined]
    shutil.rmtree(folder / "runs", ignore_errors=True)
    ours = one(folder, url, prefmill("run", "recipe.yaml"), cpu, rows)
    raw = one(folder, url, [sys.executable, "-m", "benchmarks.raw_client", url, str(rows)], cpu, rows)
    return ours, raw


def one(folder: Path, url: str, command: list[str], cpu: str | None, rows: int) -> tuple[Measured, float]:
    """Return the measurement and rows per second over the span of requests."""
    get(url + "/stats/reset")
    measured = run(command, folder, cpu)
    stats = get(url + "/stats")
    if measured.code or stats["ids_answered"] != rows or stats["wasted_ok"]:
        sys.exit(
            f"the run failed: exit code {measured.code}, {stats['ids_answered']} of {rows} rows answered; see "
            + (folder / "log.txt").read_text()[-800:]
        )
    return measured, rows / stats["span_s"]


def report(latency: int, rows: int, pairs: list[tuple[tuple[Measured, float], tuple[Measured, float]]]) -> None:
    """Print medians and ratios."""
    print(f"{rows:,} rows, {latency} ms, 256 in flight, {len(pairs)} pairs of runs; medians")
    for side, who in enumerate(("prefmill", "raw aiohttp")):
        runs = [p[side] for p in pairs]
        print(
            f"  {who:12s} wall {median([m.wall_s for m, _ in runs]):6.2f} s   "
            f"CPU {median([m.cpu_s for m, _ in runs]) / rows * 1000:.3f} ms/row   "
            f"peak PSS {median([m.peak_pss_mb for m, _ in runs]):4.0f} MB (RSS "
            f"{median([m.peak_rss_mb for m, _ in runs]):4.0f})   {median([r for _, r in runs]):7,.0f} rows/s"
        )
    wall = median([ours[0].wall_s / raw[0].wall_s for ours, raw in pairs])
    rate = median([ours[1] / raw[1] for ours, raw in pairs])
    print(f"  ratio ours / raw: wall {wall:.2f}, rows per second {rate:.2f}", flush=True)


if __name__ == "__main__":
    main()
