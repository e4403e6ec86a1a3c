"""One start of a run, from recipe file to end: plan, lease, resume decision, signals, progress, outcome.

This is where the outside world comes in (signals, clock); everything below gets it injected.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.plan.fingerprint import Fingerprint, fingerprint_plan
from pipeline.plan.plan import Plan, build_plan
from pipeline.plan.recipe import load_recipe
from pipeline.run.control import Progress, StopFlag
from pipeline.run.node import Retry
from pipeline.run.report import write_progress_file
from pipeline.run.resume import Origin, ResumeMode, settle_plan
from pipeline.run.runner import RunOptions, run_plan
from pipeline.store.lazy_pandas import defer_pandas
from pipeline.store.lease import run_lease
from pipeline.store.manifest import RunView, open_run
from pipeline.store.run_store import PlanRecord, RunStore
from pipeline.types import Json

Display = Callable[[Progress], None]
"""Shows the counters; called about once a second and once at the end."""

_TICK = 1.0
_PATIENCE = 4.0
"""Seconds that threads get to end after a stop; with the longest drain of 15 s a stop takes less than 20 s."""


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for."""

    recipe: Path
    overrides: Mapping[str, Json] = field(default_factory=dict)
    run_dir: Path | None = None
    limit: int | None = None
    resume: ResumeMode = "refuse"
    retry: Retry = field(default_factory=dict)

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
    fingerprints = fingerprint_plan(plan, request.limit)
    store = RunStore(request.folder(plan.recipe.name))
    store.prepare()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with run_lease(store.folder, started):
        path = request.recipe.resolve()
        origin = Origin(str(path), path.read_text("utf-8"), request.overrides, request.limit)
        record = settle_plan(store, plan, fingerprints, origin, request.resume)
        asyncio.run(_supervised(request, plan, fingerprints, store, record, display, clock))
    return open_run(store.folder)


async def _supervised(
    request: RunRequest,
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    store: RunStore,
    record: PlanRecord,
    display: Display,
    clock: Callable[[], float],
) -> None:
    progress, stop = Progress(), StopFlag()
    _stop_on_signals(stop)
    _collect_seldom()
    start = clock()

    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK)
            show("running")

    def show(state: str) -> None:
        write_progress_file(store.folder, progress, state, clock() - start)
        display(progress)

    ticker = asyncio.create_task(tick())
    state = "failed"
    try:
        options = RunOptions(request.limit, request.retry)
        await run_plan(plan, fingerprints, store, record, progress, stop, options)
        state = "finished"
    except PipelineError as e:
        state = f"ended: {type(e).__name__}"
        if stop.is_set:
            _leave_soon(str(e), e.exit_code)
        raise
    finally:
        ticker.cancel()
        show(state)


def _leave_soon(text: str, code: int) -> None:
    """End the process even if a thread is deep in one long computation, which Python would wait for.

    What that thread would have written does not count before its commit record, so nothing is lost but its work.
    """

    def leave() -> None:
        print(f"error: {text}", file=sys.stderr, flush=True)
        os._exit(code)

    timer = threading.Timer(_PATIENCE, leave)
    timer.daemon = True
    timer.start()


def _collect_seldom() -> None:
    """Keep the garbage collector off what was imported and planned: it took a tenth of the CPU of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)


def _stop_on_signals(stop: StopFlag) -> None:
    """SIGINT and SIGTERM stop the run in order; a second SIGINT ends the process at once."""
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set and number == signal.SIGINT:
            os._exit(130)
        stop.set(f"stopped by {number.name}: what was finished is kept. Run the same command again to go on from here")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
