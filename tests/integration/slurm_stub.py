"""A stand-in for Slurm: `sbatch` and `scontrol` on the PATH that note what they are told, and elements as processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.integration.harness import STARTED, environment

_SBATCH = """#!/bin/sh
n=$((100 + $(ls "{folder}/queue" | wc -l)))
echo "$@" > "{folder}/queue/$n"
echo "$n;cluster"
"""
_SCONTROL = """#!/bin/sh
[ "$1" = requeue ] && echo "$2" >> "{folder}/requeued"
"""


class StubSlurm:
    """Runs submitted jobs when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "queue").mkdir()
        for name, text in (("sbatch", _SBATCH), ("scontrol", _SCONTROL)):
            path = folder / "bin" / name
            path.write_text(text.format(folder=folder))
            path.chmod(0o755)
        self.env = environment(PATH=f"{folder / 'bin'}:{os.environ['PATH']}")

    def job(self, number: int) -> list[str]:
        """Return the words that a job was submitted with; the last one is its script."""
        return (self.folder / "queue" / str(number)).read_text().split()

    def start(self, number: int, task: int | None = None, restarts: int = 0) -> subprocess.Popen[str]:
        """Start a job, or one element of an array, in a process group of its own."""
        own = {"SLURM_JOB_ID": str(number), "SLURM_RESTART_COUNT": str(restarts)}
        if task is not None:
            own |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
        process = subprocess.Popen(
            ["bash", self.job(number)[-1]],
            env=self.env | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        STARTED.append(process)
        return process

    def run(self, number: int) -> int:
        """Run a job that is no array to its end and return its exit code."""
        process = self.start(number)
        process.communicate(timeout=60)
        return process.returncode

    def requeued(self) -> list[str]:
        """Return the jobs that queued themselves again, in order."""
        path = self.folder / "requeued"
        return path.read_text().split() if path.exists() else []


def lose_node(process: subprocess.Popen[str]) -> None:
    """Kill everything that an element has started, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
