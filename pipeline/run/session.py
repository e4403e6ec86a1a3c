"""One start of a run, from recipe file to end: plan, lease, resume decision, signals, progress, outcome.

This is where the outside world comes in; everything below gets it injected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pipeline.errors import PipelineError, PrerequisiteError
from pipeline.plan.fingerprint import Fingerprint, fingerprint_plan
from pipeline.plan.plan import Plan, build_plan
from pipeline.plan.recipe import load_recipe
from pipeline.run.control import Progress, StopFlag
from pipeline.run.node import Retry
from pipeline.run.process import collect_seldom, leave_soon, stop_on_signals
from pipeline.run.report import write_progress_file
from pipeline.run.resume import Origin, ResumeMode, settle_plan
from pipeline.run.runner import Executor, RunOptions, run_plan
from pipeline.run.slurm import Job, SlurmOptions, write_jobs
from pipeline.store.lazy_pandas import defer_pandas
from pipeline.store.lease import run_lease
from pipeline.store.manifest import RunView, open_run
from pipeline.store.run_store import PlanRecord, RunStore
from pipeline.types import Json

Display = Callable[[Progress], None]
"""Shows the counters; called about once a second and once at the end."""

_TICK = 1.0


@dataclass(frozen=True)
class Spreading:
    """How shared units are spread over workers."""

    executor: Literal["local", "ray"]
    workers: int | None = None
    devices: Sequence[str] | None = None
    ray_address: str | None = None


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for."""

    recipe: Path
    overrides: Mapping[str, Json] = field(default_factory=dict)
    run_dir: Path | None = None
    limit: int | None = None
    resume: ResumeMode = "refuse"
    retry: Retry = field(default_factory=dict)
    spreading: Spreading | None = None
    sample: int | None = None
    """Probe: take that many rows of each source, drawn by the seed."""
    answers: Path | None = None
    """Probe: where to keep what engines answer."""

    def folder(self, name: str) -> Path:
        """Return the run folder: the one asked for, else `runs/<name>`, with the limit in the name if there is one."""
        suffix = f"-limit{self.limit}" if self.limit is not None else ""
        return self.run_dir or Path("runs") / f"{name}{suffix}"


def prepare(request: RunRequest) -> Plan:
    """Read and check the recipe; no model, no network, nothing written."""
    return build_plan(load_recipe(request.recipe, request.overrides), request.recipe.resolve().parent)


def run_recipe(request: RunRequest, display: Display, clock: Callable[[], float] = time.monotonic) -> RunView:
    """Run a recipe from wherever it stands and return what is there at the end.

    Raises:
        PipelineError: with the exit code that the command returns; what was done stays.
    """
    defer_pandas()
    plan = prepare(request)
    store = RunStore(request.folder(plan.recipe.name))
    with ExitStack() as stack:
        executor = _executor(request.spreading, store, plan, stack)
        fingerprints = fingerprint_plan(plan, request.limit, request.sample)
        spread = executor is not None
        record = stack.enter_context(settled(request, plan, fingerprints, store, for_workers=spread))
        asyncio.run(_supervised(request, plan, fingerprints, store, record, display, clock, executor))
    return open_run(store.folder)


def queue_recipe(request: RunRequest, options: SlurmOptions) -> list[Job]:
    """Check a recipe, record its plan and write Slurm jobs for what is left; no engine is checked on this machine.

    Raises:
        PipelineError: as `run_recipe`, before anything runs.
    """
    plan = prepare(request)
    _refuse_unknown_versions(plan)
    store = RunStore(request.folder(plan.recipe.name))
    fingerprints = fingerprint_plan(plan, request.limit)
    with settled(request, plan, fingerprints, store, for_workers=True) as record:
        return write_jobs(store, record, plan, options, Path.cwd())


def _refuse_unknown_versions(plan: Plan) -> None:
    """Refuse to record a plan whose engines have no version here: the tasks would find another plan and stop."""
    unknown = [name for name, e in plan.engines.items() if e.devices and e.identity().get("version") is None]
    if unknown:
        raise PrerequisiteError(
            f"engines {', '.join(unknown)}: the package that runs them is not installed on this machine, and its "
            "version is part of the plan; write the scripts in the environment that the tasks use (no GPU is needed)"
        )


@contextmanager
def settled(
    request: RunRequest,
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    store: RunStore,
    *,
    for_workers: bool,
) -> Iterator[PlanRecord]:
    """Hold the run folder alone, with the plan that counts recorded in it.

    Raises:
        Stopped: if another run holds the folder.
        ResumeError: if the folder's rows contradict the plan.
    """
    store.prepare()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with run_lease(store.folder, started):
        path = request.recipe.resolve()
        origin = Origin(str(path), path.read_text("utf-8"), request.overrides, request.limit)
        yield settle_plan(store, plan, fingerprints, origin, request.resume, for_workers=for_workers)


def _executor(spreading: Spreading | None, store: RunStore, plan: Plan, stack: ExitStack) -> Executor | None:
    """Make the executor; what it needs is checked, and Ray started, before anything is run."""
    if spreading is None:
        return None
    if spreading.executor == "local":
        from pipeline.run.local import LocalExecutor

        return LocalExecutor(store, plan, spreading.workers, spreading.devices)
    from pipeline.run.ray_executor import RayExecutor
    from pipeline.run.ray_session import ray_session

    ray = stack.enter_context(ray_session(store.folder, spreading.ray_address, spreading.workers))
    return RayExecutor(ray, store, spreading.workers)


async def _supervised(
    request: RunRequest,
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    store: RunStore,
    record: PlanRecord,
    display: Display,
    clock: Callable[[], float],
    executor: Executor | None,
) -> None:
    progress, stop = Progress(), StopFlag()
    stop_on_signals(stop)
    collect_seldom()
    start = clock()

    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK)
            show("running")

    def show(state: str) -> None:
        write_progress_file(store.folder / "progress.json", progress, state, clock() - start)
        display(progress)

    ticker = asyncio.create_task(tick())
    state = "failed"
    try:
        options = RunOptions(request.limit, request.retry, request.sample, request.answers)
        await run_plan(plan, fingerprints, store, record, progress, stop, options, executor)
        state = "finished"
    except PipelineError as e:
        state = f"ended: {type(e).__name__}"
        if stop.is_set:
            leave_soon(str(e), e.exit_code)
        raise
    finally:
        ticker.cancel()
        show(state)
