"""Fingerprints: what a stage's rows depend on, declared, hashed and comparable field by field.

Rule (architecture section 7): everything that changes results, nothing that does not, in one versioned canonical
encoding. Code is not hashed; a stage states its version. A stage's fingerprint contains its upstream's, so a change
reaches everything after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.canonical import digest_of
from pipeline.plan.makers import check_makers
from pipeline.plan.plan import Plan, PlannedStage
from pipeline.registry import STAGES, registered
from pipeline.schema import schema_json
from pipeline.stage import RowStage, Source, TableStage
from pipeline.types import Json

FINGERPRINT_VERSION = 1
_OWN_DISTRIBUTION = "prefmill"


@dataclass(frozen=True)
class Fingerprint:
    """Digest of a stage and the document it was made from."""

    digest: str
    document: Mapping[str, Json]

    @property
    def short(self) -> str:
        """Return the 16 hex digits that name the stage's folder."""
        return self.digest[:16]


def fingerprint_plan(plan: Plan, limit: int | None = None, sample: int | None = None) -> dict[str, Fingerprint]:
    """Fingerprint every stage of a plan, in order.

    Reads input files and model files to hash them; loads no model, contacts no endpoint.

    Args:
        plan: the checked plan.
        limit: most rows taken from each source; part of the source's fingerprint.
        sample: how many rows are drawn from each source, for a probe; likewise.

    Raises:
        PlanError: if columns do not fit together because of how they are made.
        PrerequisiteError: if an input or a model is missing.
    """
    check_makers(plan)
    identities = {name: engine.identity() for name, engine in plan.engines.items()}
    out: dict[str, Fingerprint] = {}
    for stage in plan.stages.values():
        document = _document(plan, stage, identities, limit)
        if sample is not None and isinstance(stage.stage, Source):
            document["sample"] = sample
        document["upstream"] = out[stage.upstream].digest if stage.upstream else None
        out[stage.id] = Fingerprint(digest_of(document), document)
    return out


def _document(plan: Plan, planned: PlannedStage, identities: Mapping[str, Json], limit: int | None) -> dict[str, Json]:
    stage = planned.stage
    document: dict[str, Json] = {
        "fingerprint_version": FINGERPRINT_VERSION,
        "id": planned.id,
        "stage": stage.name,
        "version": stage.version,
        "package": _foreign_package(stage.name),
        "config": stage.config.fingerprint_fields(),
        "prompts": {name: prompt.digest for name, prompt in planned.prompts.items()},
        "engines": {role: identities[name] for role, name in planned.roles.items()},
        "inputs": schema_json(stage.inputs),
        "outputs": schema_json(planned.schema_out),
        "lineage": list(_lineage(planned)),
        "barrier": planned.is_barrier,
        "accounting": stage.accounting if isinstance(stage, TableStage) else "rows",
        "seed": None if isinstance(stage, Source) else plan.recipe.seed,
        "from": planned.upstream,
    }
    if isinstance(stage, Source):
        document["source"] = dict(stage.digest())
        document["limit"] = limit
    else:
        document |= _further(plan, planned)
    return document


def _further(plan: Plan, planned: PlannedStage) -> dict[str, Json]:
    """Return what only some stages depend on; absent for the others, so that their fingerprints stay what they are."""
    files = dict(planned.stage.digest())
    offered = {
        role: [c for c in sorted(wanted) if plan.engines[planned.roles[role]].offers(c)]
        for role, wanted in planned.stage.optional_capabilities.items()
    }
    return ({"files": files} if files else {}) | ({"offered": offered} if offered else {})


def _lineage(planned: PlannedStage) -> tuple[str, ...]:
    stage = planned.stage
    return ("parent_id",) if isinstance(stage, RowStage) and stage.fan_out else stage.lineage


def _foreign_package(stage_name: str) -> str | None:
    """Return `name==version` of a third party's distribution: its code is as much part of the result as `version`."""
    entry = registered(STAGES)[stage_name]
    return None if entry.distribution == _OWN_DISTRIBUTION else f"{entry.distribution}=={entry.distribution_version}"


@dataclass(frozen=True)
class Change:
    """One field that differs between two fingerprint documents."""

    field: str
    before: Json
    after: Json

    def __str__(self) -> str:
        """Word it as `field (before -> after)`."""
        return f"{self.field} ({_short(self.before)} -> {_short(self.after)})"


def changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Change]:
    """List the fields that differ, by dotted path, `upstream` left out (the upstream stage says its own)."""
    old, new = dict(_flatten(before)), dict(_flatten(after))
    names = sorted((old.keys() | new.keys()) - {"upstream"})
    absent = object()
    return [Change(n, old.get(n), new.get(n)) for n in names if old.get(n, absent) != new.get(n, absent)]


def _flatten(value: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _short(value: Json) -> str:
    text = str(value)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:8] + ".."
    return text if len(text) <= 60 else text[:57] + "..."
