"""What a kill costs: SIGKILL at half of 5,000 rows, the same command again, and which requests were sent twice.

    python -m benchmarks.crash_cost

Goal: no journaled request is sent again, at most 0.5 % of the answered ones. Best peers: 4.6 % and 7.4 %. What is
journaled is counted on disk right after the kill; what is sent in the second run is counted by the server.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import ROOT, get, mock_server, options, prefmill, run, write_prompts, write_recipe
from pipeline.store.journal import read_journal
from pipeline.store.manifest import open_run


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_prompts(folder / "prompts.jsonl", given.rows)
        write_recipe(folder, "prompts.jsonl", given.port)
        for _ in range(given.repeat):
            shutil.rmtree(folder / "runs", ignore_errors=True)
            with mock_server(given.bench, given.port, "fixed:200", given.server_cpu) as url:
                print(once(folder, url, given.rows, given.client_cpu or None), flush=True)


def once(folder: Path, url: str, rows: int, cpu: str | None) -> str:
    """Kill one run at its half, resume it, and describe what was asked twice."""
    command = prefmill("run", "recipe.yaml")
    first = run(command, folder, cpu, lambda: get(url + "/stats")["ids_answered"] >= rows // 2)
    time.sleep(0.5)
    at_kill = get(url + "/stats")
    journaled = on_disk(folder / "runs" / "bench")
    get(url + "/stats/mark")
    second = run(command, folder, cpu)
    after = get(url + "/stats")
    if not first.killed or second.code or after["ids_answered"] != rows:
        sys.exit(f"the run failed: killed {first.killed}, exit code {second.code}; " + (folder / "log.txt").read_text())
    again = journaled + after["req_after_mark"] - rows
    share = after["repeat_after_mark"] / at_kill["ids_answered"]
    return (
        f"answered at the kill {at_kill['ids_answered']:,}, journaled {journaled:,}; journaled requests sent again "
        f"{again}; answered "
        f"requests sent again {after['repeat_after_mark']} ({share:.2%}); rows in the end {rows:,}"
    )


def on_disk(run_folder: Path) -> int:
    """Return how many responses a killed run holds: rows of committed shards and records of journals."""
    stage = open_run(run_folder).stages["responses"]
    journals = (read_journal(path) for path in stage.store.journals.glob("*.journal"))
    return stage.rows_out + sum(len(records) for records in journals)


if __name__ == "__main__":
    main()
