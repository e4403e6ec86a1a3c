"""Options of `prefmill run` that say who does the work, and what each executor takes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.errors import EXIT_OK, PrerequisiteError

if TYPE_CHECKING:
    from pipeline.run.session import RunRequest, Spreading

_HELP = "Who does the work"
Kind = Literal["local", "ray", "slurm"]

ExecutorOption = Annotated[
    Kind | None,
    typer.Option(
        help="Spread the work: local (processes of this machine), ray (actors of a Ray cluster) or slurm (print an "
        "array script, or submit it). One process unless given. A run begun by one can be finished by another.",
        show_default=False,
        rich_help_panel=_HELP,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="At most N replicas at once; as many as the devices allow unless given, 1 without devices.",
        show_default=False,
        rich_help_panel=_HELP,
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option(
        help="local: devices to use, such as 0,1,2,3; those visible unless given.",
        show_default=False,
        rich_help_panel=_HELP,
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        help="ray: address of a running cluster, or 'auto' on one of its nodes; a cluster of its own, on this machine "
        "and its loopback only, unless given.",
        show_default=False,
        rich_help_panel=_HELP,
    ),
]
SubmitOption = Annotated[
    bool, typer.Option("--submit", help="slurm: submit the scripts with sbatch.", rich_help_panel=_HELP)
]
TasksOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1001,
        help="slurm: tasks of each array, one replica each; 8 unless given.",
        show_default=False,
        rich_help_panel=_HELP,
    ),
]
SbatchOption = Annotated[
    list[str],
    typer.Option(
        "--sbatch",
        help="slurm: a line for the batch scripts, such as --partition=gpu; with 'gpu:' or 'cpu:' in front only for "
        "the arrays or only for the jobs between them. Repeatable.",
        rich_help_panel=_HELP,
    ),
]


@dataclass(frozen=True)
class ExecutorOptions:
    """What the command line says about the executor."""

    executor: Kind | None
    workers: int | None
    devices: str | None
    ray_address: str | None
    submit: bool
    tasks: int | None
    sbatch: Sequence[str]

    def spreading(self) -> Spreading | None:
        """Return how to spread a run that this process supervises, None for a single process.

        Raises:
            PrerequisiteError: for an option that the executor does not take.
        """
        from pipeline.run.session import Spreading

        self.refuse_others()
        if self.executor is None or self.executor == "slurm":
            return None
        named = None if self.devices is None else [d.strip() for d in self.devices.split(",") if d.strip()]
        return Spreading(self.executor, self.workers, named, self.ray_address)

    def refuse_others(self) -> None:
        """Refuse options that say nothing to the executor chosen, rather than ignore them."""
        given: dict[str, tuple[bool, tuple[str, ...]]] = {
            "--workers": (self.workers is not None, ("local", "ray", "slurm")),
            "--devices": (self.devices is not None, ("local",)),
            "--ray-address": (self.ray_address is not None, ("ray",)),
            "--submit": (self.submit, ("slurm",)),
            "--tasks": (self.tasks is not None, ("slurm",)),
            "--sbatch": (bool(self.sbatch), ("slurm",)),
        }
        for option, (is_given, takers) in given.items():
            if is_given and self.executor not in takers:
                raise PrerequisiteError(
                    f"{option} says nothing to {self.executor or 'a run by one process'}; add --executor "
                    f"{' or '.join(takers)}, or leave it out"
                )


def queue_on_slurm(request: RunRequest, options: ExecutorOptions) -> int:
    """Check the recipe, settle the plan in the run folder, and print or submit the batch scripts."""
    from pipeline.run.session import queue_recipe
    from pipeline.run.slurm import SlurmOptions, submit, submit_script

    jobs = queue_recipe(request, SlurmOptions(options.tasks or 8, options.workers, options.sbatch))
    if not jobs:
        typer.echo("nothing left to do: every unit is complete")
    elif options.submit:
        for job, number in zip(jobs, submit(jobs), strict=True):
            typer.echo(f"unit {job.unit.index} ({', '.join(job.unit.stages)}): job {number}")
    else:
        for job in jobs:
            typer.echo(f"# {job.path}\n{job.text}")
        typer.echo(f"# {jobs[0].path.parent / 'submit.sh'}\n{submit_script(jobs)}")
        typer.echo(f"submit with: sh {jobs[0].path.parent / 'submit.sh'}")
    return EXIT_OK
