"""Turns the units of a run into Slurm jobs: arrays of workers for shared units, single jobs between them.

Each job's script starts `prefmill work`, hands USR1 (which Slurm sends before the time limit) on to it, and queues
itself again if work is left. What a task does is recomputed by the task, so a script holds no state. Written for
Slurm's documented options; tried here with stand-ins for `sbatch` and `scontrol` only, not on a real cluster.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PrerequisiteError
from pipeline.plan.plan import Plan
from pipeline.run.units import Unit, cut_units, devices_of, unit_complete
from pipeline.store.files import make_folder, replace_file
from pipeline.store.run_store import PlanRecord, RunStore

SIGNAL_SECONDS = 120
"""How long before the time limit a task is told; a stop takes at most 20 s, Slurm may send the signal 60 s late."""
_MOST_UNASKED = 5
"""How often at most a task queues itself again that stopped by itself (a full disk, a server that keeps refusing) or
was killed; after a signal before the time limit it always does."""


@dataclass(frozen=True)
class SlurmOptions:
    """What the user says about the jobs."""

    tasks: int = 8
    """Elements of each array; each is one replica."""
    at_once: int | None = None
    lines: Sequence[str] = ()
    """Options of sbatch such as `--time=08:00:00`; after `gpu:` only for arrays, after `cpu:` only for other jobs."""

    def lines_for(self, unit: Unit) -> list[str]:
        """Return the options for one unit's job."""
        own, other = ("gpu:", "cpu:") if unit.spread else ("cpu:", "gpu:")
        return [line.removeprefix(own).strip() for line in self.lines if not line.startswith(other)]


@dataclass(frozen=True)
class Job:
    """One batch script."""

    unit: Unit
    path: Path
    text: str


def write_jobs(store: RunStore, record: PlanRecord, plan: Plan, options: SlurmOptions, cwd: Path) -> list[Job]:
    """Write a batch script for every unit that is not complete, and `submit.sh`, which chains them; return the jobs.

    Args:
        store: the run folder, with the plan recorded.
        record: the plan that counts.
        plan: the checked plan.
        options: what the user says.
        cwd: where the tasks start, as this command did.
    """
    stores = {i: store.stage(i, f) for i, f in record.stages.items()}
    folder = store.folder.resolve() / "slurm"
    for name in (folder, folder.parent / "workers"):
        make_folder(name)
    jobs = []
    for unit in cut_units(plan):
        if not unit_complete(plan, stores, unit):
            text = batch_script(plan, unit, folder.parent, options, cwd)
            jobs.append(Job(unit, folder / f"unit-{unit.index}.sh", text))
            replace_file(jobs[-1].path, text.encode())
    replace_file(folder / "submit.sh", submit_script(jobs).encode())
    return jobs


def batch_script(plan: Plan, unit: Unit, run: Path, options: SlurmOptions, cwd: Path) -> str:
    """Return the batch script of one unit."""
    own = options.lines_for(unit)
    directives = {
        "--job-name": f"{plan.recipe.name}-{unit.index}",
        "--output": f"{run}/slurm/unit-{unit.index}-%{'A_%a' if unit.spread else 'j'}.log",
        "--open-mode": "append",
        "--requeue": "",
        "--signal": f"B:USR1@{SIGNAL_SECONDS}",
    }
    if unit.spread:
        limit = f"%{options.at_once}" if options.at_once else ""
        directives["--array"] = f"0-{options.tasks - 1}{limit}"
        if devices := devices_of(plan, unit):
            directives["--gres"] = f"gpu:{devices}"
    given = {line.split("=")[0].split()[0] for line in own}
    lines = [f"{k}={v}" if v else k for k, v in directives.items() if k not in given] + own
    job = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" if unit.spread else "${SLURM_JOB_ID}"
    command = [sys.executable, "-P", "-m", "pipeline.cli.main", "work", str(run), "--unit", str(unit.index)]
    return _SCRIPT.format(
        directives="\n".join(f"#SBATCH {line}" for line in lines),
        stages=", ".join(unit.stages),
        cwd=shlex.quote(str(cwd)),
        job=job,
        command=shlex.join(command),
        most=_MOST_UNASKED,
    )


_SCRIPT = """#!/bin/bash
{directives}

# {stages}
cd {cwd} || exit 2
job="{job}"
signal= signals=0 code=0
# 'wait' returns at once when a signal comes; the worker then stops in order, so wait for it again
trap 'signal=USR1 signals=$((signals + 1)); kill -USR1 "$worker" 2>/dev/null' USR1
trap 'signal=TERM signals=$((signals + 1)); kill -TERM "$worker" 2>/dev/null' TERM
{command} --name "slurm-$job" &
worker=$!
while :; do
  seen=$signals
  wait "$worker"
  now=$?
  [ "$now" -eq 127 ] || code=$now
  [ "$signals" -ne "$seen" ] || break
done
# 7: stopped, with work left; above 128: killed. After TERM it is Slurm's turn, or the user's will (scancel).
again=
case "$code/$signal" in
  7/USR1) again=1 ;;
  7/ | 1[2-5][0-9]/) [ "${{SLURM_RESTART_COUNT:-0}}" -ge {most} ] || again=1 ;;
esac
[ -z "$again" ] || scontrol requeue "$job"
exit "$code"
"""


def submit_script(jobs: Sequence[Job]) -> str:
    """Return the lines that submit all jobs, each after the one before it has ended well."""
    lines = ["#!/bin/sh", "set -e"]
    for i, job in enumerate(jobs):
        after = f'{_AFTER}"${{job%%;*}}" ' if i else ""
        lines.append(f"job=$(sbatch --parsable {after}{shlex.quote(str(job.path))})")
        lines.append(f'echo "unit {job.unit.index} ({", ".join(job.unit.stages)}): job $job"')
    return "\n".join(lines) + "\n"


_AFTER = "--kill-on-invalid-dep=yes --dependency=afterok:"


def submit(jobs: Sequence[Job]) -> list[str]:
    """Submit the jobs with `sbatch` and return their ids.

    Raises:
        PrerequisiteError: if there is no `sbatch`, or it refuses a job; jobs submitted before that stay, and wait.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise PrerequisiteError(
            f"no 'sbatch' on PATH ({os.environ.get('PATH', '')}); submit on a login node of the cluster, or leave "
            "--submit out and take the scripts there"
        )
    ids: list[str] = []
    for job in jobs:
        after = [f"{_AFTER}{ids[-1]}"] if ids else []
        command = [sbatch, "--parsable", *" ".join(after).split(), str(job.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PrerequisiteError(
                f"sbatch refused '{job.path}': {done.stderr.strip() or done.stdout.strip()}. "
                f"{'Submitted before it, and waiting: ' + ', '.join(ids) if ids else 'Nothing was submitted'}; "
                "mend the options with --sbatch"
            )
        ids.append(done.stdout.strip().split(";")[0])
    return ids
