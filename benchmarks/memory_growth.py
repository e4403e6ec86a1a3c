"""Peak memory of 1,000,000 rows against 100,000: it must stay flat.

    python -m benchmarks.memory_growth                     # scripted engine, about 5 minutes
    python -m benchmarks.memory_growth --engine openai     # through the mock server at 0 ms

Goal: at most 1.3 times.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from benchmarks.harness import ROOT, Measured, mock_server, options, prefmill, run, write_prompts, write_recipe


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, nargs=2, default=[100_000, 1_000_000])
    parser.add_argument("--engine", choices=["scripted", "openai"], default="scripted")
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        serving = mock_server(given.bench, given.port, "fixed:0", given.server_cpu)
        with serving if given.engine == "openai" else nullcontext():
            small, large = (measure(folder, rows, given) for rows in given.rows)
    print(
        f"peak RSS ratio {large.peak_rss_mb / small.peak_rss_mb:.2f}, PSS {large.peak_pss_mb / small.peak_pss_mb:.2f}"
    )


def measure(folder: Path, rows: int, given: object) -> Measured:
    """Run one size."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    write_prompts(folder / "prompts.jsonl", rows)
    write_recipe(folder, "prompts.jsonl", given.port, given.engine)  # type: ignore[attr-defined]
    measured = run(prefmill("run", "recipe.yaml"), folder)
    if measured.code:
        sys.exit(f"the run failed with exit code {measured.code}: " + (folder / "log.txt").read_text()[-800:])
    print(
        f"{rows:,} rows: wall {measured.wall_s:.1f} s, CPU {measured.cpu_s / rows * 1000:.3f} ms/row, peak RSS "
        f"{measured.peak_rss_mb:.0f} MB, PSS {measured.peak_pss_mb:.0f} MB",
        flush=True,
    )
    return measured


if __name__ == "__main__":
    main()
