"""Start-up: `prefmill --help` and `prefmill validate` as whole processes, beside an empty Python.

    python -m benchmarks.startup

Goals: help under 0.5 s, validate under 1.5 s (heavy imports are lazy).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import ROOT, median, options, prefmill, run


def main() -> None:
    parser = options(__doc__)
    parser.set_defaults(repeat=7)
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    recipe = str(ROOT / "recipes" / "quickstart.yaml")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "prefmill --help": prefmill("--help"),
        "prefmill validate recipes/quickstart.yaml": prefmill("validate", recipe),
    }
    with tempfile.TemporaryDirectory() as name:
        for title, command in commands.items():
            runs = [run(command, Path(name)) for _ in range(given.repeat + 1)][1:]  # the first one warms the disk
            if any(r.code for r in runs):
                sys.exit((Path(name) / "log.txt").read_text())
            print(
                f"{title:45s} wall {median([r.wall_s for r in runs]):.2f} s  "
                f"CPU {median([r.cpu_s for r in runs]):.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
