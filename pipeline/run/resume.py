"""Decides what a start means for a run folder: begin, continue, refuse, or make changed stages again.

Nothing is compared by time or name: the latest plan in the log says which fingerprint each stage had, and the recipe
says which it has now. Failing closed is the default.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pipeline.errors import ResumeError
from pipeline.plan.fingerprint import Fingerprint
from pipeline.plan.plan import Plan
from pipeline.store.run_store import PlanRecord, RunStore, differences, refuse_changes
from pipeline.types import Json

ResumeMode = Literal["refuse", "recompute", "never"]


@dataclass(frozen=True)
class Origin:
    """Where a run was started from, so that its rejects can be tried again without naming all that once more."""

    path: str
    text: str
    overrides: Mapping[str, Json]
    limit: int | None


_PACKAGES = ("prefmill", "pyarrow", "torch", "transformers", "openai", "aiohttp", "datasets")


def settle_plan(
    store: RunStore,
    plan: Plan,
    fingerprints: Mapping[str, Fingerprint],
    origin: Origin,
    mode: ResumeMode,
    *,
    for_workers: bool = False,
) -> PlanRecord:
    """Compare the plan with the folder's plan log, append to it where it is new, and return the one that counts.

    Args:
        store: the run folder.
        plan: the plan now.
        fingerprints: its fingerprints.
        origin: where it comes from.
        mode: what to do about differences.
        for_workers: other processes will find the recipe and its overrides in the log, so that another place, or an
            override that changes no row (an address, a limit), is news too.

    Raises:
        ResumeError: if the folder's rows contradict the plan under this mode; the text names every changed field.
    """
    name = plan.recipe.name
    last = store.latest_plan()
    if last is None:
        store.prepare()
        return store.record_plan(_run_facts(plan, origin, None), fingerprints)
    if mode == "never":
        raise ResumeError(
            f"run folder '{store.folder}' already holds a run of '{last.run['name']}' and --resume never was given; "
            "choose another folder, or leave the option out to continue"
        )
    if last.run["name"] != name:
        raise ResumeError(
            f"run folder '{store.folder}' belongs to recipe name ({last.run['name']} -> {name}); "
            "choose another folder with --run-dir"
        )
    changed = differences(last.stages, fingerprints)
    if changed and mode == "refuse":
        affected = [i for i, f in last.stages.items() if i not in fingerprints or fingerprints[i].digest != f.digest]
        begun = [store.stage(i, last.stages[i]) for i in affected]
        if any(stage.begun for stage in begun):
            raise refuse_changes(name, changed, sum(len(stage.records) for stage in begun), affected)
    facts = _run_facts(plan, origin, last)
    same = {i: f.digest for i, f in last.stages.items()} == {i: f.digest for i, f in fingerprints.items()}
    if same and not (for_workers and last.run["origin"] != facts["origin"]):
        return last
    return store.record_plan(facts, fingerprints)


def _run_facts(plan: Plan, origin: Origin, last: PlanRecord | None) -> dict[str, Json]:
    """Return what is recorded about the run as a whole; a continued run keeps the shard sizes it began with."""
    limits = plan.recipe.limits
    shards = {"rows": limits.shard_rows, "bytes": limits.shard_bytes}
    return {
        "name": plan.recipe.name,
        "seed": plan.recipe.seed,
        "recipe": origin.text,
        "origin": {"recipe": origin.path, "overrides": dict(origin.overrides), "limit": origin.limit},
        "dataset": plan.recipe.dataset.model_dump(mode="json"),
        "shards": last.run["shards"] if last else shards,
        "packages": {p: v for p in _PACKAGES if (v := _version(p))},
        "python": platform.python_version(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
