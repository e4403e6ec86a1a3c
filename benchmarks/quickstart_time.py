"""Times the quickstart's own run (no installing) and its export, as whole processes.

    python -m benchmarks.quickstart_time

Goal: under 4 minutes on 2 cores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.harness import ROOT, options, prefmill, run

FINISHED = (0, 6)


def main() -> None:
    options(__doc__).parse_args()
    recipe = str(ROOT / "recipes" / "quickstart.yaml")
    commands = {
        "run": prefmill("run", recipe, "--run-dir", "run"),
        "export": prefmill("export", "run", "--to", "dataset"),
    }
    with tempfile.TemporaryDirectory() as name:
        for title, command in commands.items():
            measured = run(command, Path(name))
            if measured.code not in FINISHED:
                sys.exit((Path(name) / "log.txt").read_text()[-2000:])
            print(
                f"{title}: wall {measured.wall_s:.0f} s, CPU {measured.cpu_s:.0f} s, peak RSS "
                f"{measured.peak_rss_mb:,.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
