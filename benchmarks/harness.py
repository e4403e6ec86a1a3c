"""Runs a command as a whole process and measures it: wall time, CPU of the process tree, peak memory.

Used by the commands beside it. Linux only (reads /proc). The mock server of the shared bench folder answers; its
place is given by `--bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROMPT = (
    "Write a short, friendly explanation of item number {i} for a reader who has never met the subject. "
    "Keep to plain words, give one example, and end with a one-line summary. [[row:{i}]]"
)


@dataclass(frozen=True)
class Measured:
    """One finished command."""

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    peak_pss_mb: float
    code: int
    killed: bool = False


def run(command: Sequence[str], cwd: Path, cpu: str | None = None, kill_when: Any = None) -> Measured:
    """Run a command to its end, or kill it when `kill_when()` says so; its output goes to `cwd/log.txt`."""
    pinned = ["taskset", "-c", cpu, *command] if cpu else list(command)
    with (cwd / "log.txt").open("ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(pinned, cwd=cwd, stdout=log, stderr=log)
        peak, killed = 0.0, False
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if not kill_when:  # adding up the memory holds the process up for milliseconds, just when it is killed
                peak = max(peak, _pss_mb(process.pid))
            if kill_when and not killed and kill_when():
                process.send_signal(signal.SIGKILL)
                killed = True
            time.sleep(0.02 if kill_when else 0.1)
        wall = time.perf_counter() - began
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, peak, process.returncode, killed)


def _pss_mb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    line = next((x for x in text.splitlines() if x.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) / 1024


@contextmanager
def mock_server(bench: Path, port: int, latency: str, cpu: str | None = None) -> Iterator[str]:
    """Start the mock OpenAI server and yield its address; end it afterwards."""
    script = bench / "mock_openai.py"
    if not script.exists():
        sys.exit(f"the mock server '{script}' is not there; name its folder with --bench")
    command = [sys.executable, str(script), "--port", str(port), "--latency", latency]
    pinned = ["taskset", "-c", cpu, *command] if cpu else command
    process = subprocess.Popen(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                get(url + "/health")
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit("the mock server did not start")
        yield url
    finally:
        process.terminate()
        process.wait()


def get(url: str) -> dict[str, Any]:
    """Read JSON from the mock server."""
    with urllib.request.urlopen(url, timeout=10) as reply:
        value: dict[str, Any] = json.loads(reply.read())
    return value


def write_prompts(path: Path, rows: int) -> None:
    """Write `rows` distinct prompts as JSON lines."""
    with path.open("w") as f:
        for i in range(rows):
            f.write(json.dumps({"prompt": PROMPT.format(i=i)}) + "\n")


def write_recipe(folder: Path, prompts: str, port: int, engine: str = "openai", shard_rows: int = 1000) -> Path:
    """Write the recipe that all sampling benchmarks run: one response for each prompt, 256 rows in flight."""
    engines = {
        "openai": {
            "kind": "openai",
            "model": "mock-model",
            "base_url": f"http://127.0.0.1:{port}/v1",
            "logprobs": False,
        },
        "scripted": {"kind": "scripted"},
    }
    recipe = {
        "recipe": 1,
        "name": "bench",
        "seed": 1,
        "engines": {"policy": engines[engine]},
        "stages": [
            {"id": "prompts", "use": "load_prompts", "with": {"path": prompts}},
            {
                "id": "responses",
                "use": "sample_responses",
                "roles": {"policy": "policy"},
                "with": {"n": 1, "max_tokens": 512, "logprobs": False},
            },
        ],
        "limits": {"rows_in_flight": 256, "shard_rows": shard_rows},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))  # JSON is YAML
    return path


def prefmill(*arguments: str) -> list[str]:
    """Return the command line of the installed command."""
    return [sys.executable, "-m", "pipeline.cli.main", *arguments]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def options(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all commands share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bench", type=Path, default=ROOT.parent / "shared" / "bench", help="folder of the mock server"
    )
    parser.add_argument("--port", type=int, default=18399)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--server-cpu", default="0", help="core of the server; empty for any")
    parser.add_argument("--client-cpu", default="1", help="core of the client; empty for any")
    return parser
