"""Recipe to checked plan: stages and engines looked up, columns followed, roles bound, segments cut.

Pure: no model is loaded, no endpoint contacted, nothing written. Every mistake that can be seen in a recipe is
found here (architecture section 5). Fingerprints, which need file hashes, are made in `fingerprint.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from pipeline.engines.base import Engine
from pipeline.errors import PlanError, RecipeError
from pipeline.plan.audits import check_audit
from pipeline.plan.recipe import Recipe, StageSpec
from pipeline.plan.segments import cut_segments
from pipeline.plan.wording import explain_validation
from pipeline.prompts import Prompt, load_prompt, load_prompt_file
from pipeline.registry import did_you_mean, engine_class, stage_class
from pipeline.schema import merge, missing_or_unlike
from pipeline.stage import AnyStage, RowStage, Source, TableStage, keeps_columns
from pipeline.types import EngineUse

_ID = pa.schema([pa.field("id", pa.string())])
_PARENT = pa.schema([pa.field("parent_id", pa.string())])


@dataclass(frozen=True)
class PlannedStage:
    """One stage, bound and checked."""

    id: str
    stage: AnyStage
    upstream: str | None
    roles: Mapping[str, str]
    """Role to engine name."""
    prompts: Mapping[str, Prompt]
    schema_in: pa.Schema
    schema_out: pa.Schema
    max_reject_rate: float

    @property
    def is_barrier(self) -> bool:
        """Return whether all input rows must be there before it starts."""
        return isinstance(self.stage, TableStage) and self.stage.scope == "dataset"


@dataclass(frozen=True)
class Plan:
    """A recipe that has been found to fit together."""

    recipe: Recipe
    stages: Mapping[str, PlannedStage]
    """By id, in the recipe's order, which is also an order of execution."""
    engines: Mapping[str, Engine]
    segments: tuple[tuple[str, ...], ...] = field(default=())

    def consumers(self, stage_id: str) -> list[str]:
        """Return the ids of the stages that take this stage's rows."""
        return [s.id for s in self.stages.values() if s.upstream == stage_id]

    def downstream(self, stage_id: str) -> list[str]:
        """Return the ids of all stages after this one, nearest first."""
        out: list[str] = []
        for stage in self.stages.values():
            if stage.upstream == stage_id or stage.upstream in out:
                out.append(stage.id)
        return out


def build_plan(recipe: Recipe, folder: Path) -> Plan:
    """Check a recipe and bind its parts.

    Args:
        recipe: the recipe as read.
        folder: where its relative paths start (the recipe file's folder).

    Raises:
        RecipeError: for a mistake in the recipe; the text says where and what to do.
        PrerequisiteError: if a plug-in cannot be imported or an input file is missing.
    """
    engines = {name: _build_engine(name, dict(options)) for name, options in recipe.engines.items()}
    planned: dict[str, PlannedStage] = {}
    previous: str | None = None
    for index, spec in enumerate(recipe.stages):
        planned[spec.id] = _plan_stage(recipe, index, spec, planned, previous, engines, folder)
        previous = spec.id
    check_audit(recipe.audit, planned)
    _refuse_unused(engines, planned)
    _settle_engines(engines, planned)
    segments = cut_segments(list(planned.values()), engines, recipe.limits.resident_engines)
    return Plan(recipe, planned, engines, segments)


def _build_engine(name: str, options: dict[str, object]) -> Engine:
    where = f"engines.{name}"
    kind = options.pop("kind", None)
    if not isinstance(kind, str):
        raise RecipeError(f"{where}.kind: missing; add the kind of engine, such as 'kind: transformers'")
    cls = engine_class(kind, where)
    try:
        return cls(cls.config_type.model_validate(options))
    except ValidationError as e:
        raise RecipeError(explain_validation(e, cls.config_type, where)) from None


def _plan_stage(
    recipe: Recipe,
    index: int,
    spec: StageSpec,
    planned: Mapping[str, PlannedStage],
    previous: str | None,
    engines: Mapping[str, Engine],
    folder: Path,
) -> PlannedStage:
    where = f"stages[{index}] '{spec.id}'"
    stage = _build_stage(where, spec, folder)
    upstream = _upstream(where, spec, stage, planned, previous)
    schema_in = planned[upstream].schema_out if upstream else pa.schema([])
    if upstream:
        _check_columns(spec, stage, upstream, schema_in)
    _check_declaration(where, stage)
    return PlannedStage(
        spec.id,
        stage,
        upstream,
        _bind_roles(spec, stage, engines),
        _prompts(where, spec, stage, folder),
        schema_in,
        output_schema(stage, schema_in),
        _max_reject_rate(recipe, spec, stage),
    )


def _max_reject_rate(recipe: Recipe, spec: StageSpec, stage: AnyStage) -> float:
    if spec.max_reject_rate is not None:
        return spec.max_reject_rate
    return 1.0 if stage.filters else recipe.limits.max_reject_rate


def _build_stage(where: str, spec: StageSpec, folder: Path) -> AnyStage:
    cls = stage_class(spec.use, f"{where}.use")
    options = dict(spec.with_)
    if "base_folder" in cls.config_type.model_fields:
        options.setdefault("base_folder", str(folder))
    try:
        return cls(cls.config_type.model_validate(options))
    except ValidationError as e:
        text = explain_validation(e, cls.config_type, f"{where}.with")
        raise RecipeError(text.replace("unknown option", f"stage '{spec.use}' has no option")) from None


def _upstream(
    where: str, spec: StageSpec, stage: AnyStage, planned: Mapping[str, PlannedStage], previous: str | None
) -> str | None:
    if isinstance(stage, Source):
        if spec.from_ is not None:
            raise PlanError(
                f"{where}: '{spec.use}' brings rows into the run and takes none; remove 'from: {spec.from_}'"
            )
        return None
    name = spec.from_ or previous
    if name is None:
        raise PlanError(
            f"{where}: '{spec.use}' needs rows, but no stage comes before it; start with a source such as load_prompts"
        )
    if name not in planned:
        raise PlanError(
            f"{where}.from: no stage '{name}' comes before it; earlier stages: "
            f"{', '.join(planned) or 'none'}.{did_you_mean(name, planned)}"
        )
    return name


def _check_columns(spec: StageSpec, stage: AnyStage, upstream: str, present: pa.Schema) -> None:
    for name, needed, have in missing_or_unlike(stage.inputs, present):
        seen = f"holds it as {have}" if have is not None else "provides it neither directly nor upstream"
        raise PlanError(
            f"stage '{spec.id}' ({spec.use}) needs column '{name}' as {needed}, but stage '{upstream}' {seen}; "
            f"columns there: {', '.join(present.names)}.{did_you_mean(name, present.names)} Add a stage "
            "that makes it, or name another column"
        )


def _check_declaration(where: str, stage: AnyStage) -> None:
    made = set(stage.outputs.names)
    taken = {"id", "parent_id"} & made
    if isinstance(stage, RowStage) and taken:
        raise PlanError(f"{where}: stage '{stage.name}' declares {sorted(taken)} as outputs; the runner sets them")
    if not keeps_columns(stage) and not isinstance(stage, Source) and "id" not in made:
        raise PlanError(f"{where}: stage '{stage.name}' makes new rows, so its outputs must have 'id'")
    for role in stage.optional_capabilities.keys() - stage.engine_roles.keys():
        raise PlanError(
            f"{where}: stage '{stage.name}' asks role '{role}' for more than it needs, but has no such role"
        )


def output_schema(stage: AnyStage, schema_in: pa.Schema) -> pa.Schema:
    """Return the columns of a stage's rows: `id` first, inputs that pass through, then what it adds."""
    base = merge(_ID, schema_in) if keeps_columns(stage) else _ID
    if isinstance(stage, RowStage) and stage.fan_out:
        base = merge(base, _PARENT)
    return merge(base, stage.outputs)


def _bind_roles(spec: StageSpec, stage: AnyStage, engines: Mapping[str, Engine]) -> dict[str, str]:
    for role in spec.roles:
        if role not in stage.engine_roles:
            known = ", ".join(stage.engine_roles) or "none"
            raise PlanError(
                f"stage '{spec.id}' ({spec.use}) has no role '{role}'; its roles: {known}."
                f"{did_you_mean(role, stage.engine_roles)}"
            )
    for role, capability in stage.engine_roles.items():
        name = spec.roles.get(role)
        if name is None:
            raise PlanError(
                f"role '{role}' of stage '{spec.id}' is not bound; add 'roles: {{{role}: <engine>}}', engines: "
                f"{', '.join(engines) or 'none'}"
            )
        if name not in engines:
            raise PlanError(
                f"role '{role}' of stage '{spec.id}' names engine '{name}', which is not under 'engines'; "
                f"engines: {', '.join(engines) or 'none'}.{did_you_mean(name, engines)}"
            )
        offered = engines[name].capabilities()
        if capability not in offered:
            raise PlanError(
                f"role '{role}' of stage '{spec.id}' needs capability '{capability}', but engine '{name}' "
                f"({engines[name].kind}) offers only {', '.join(sorted(offered)) or 'nothing'}; bind an engine "
                "that offers it, or declare it in the engine's options"
            )
    return {role: spec.roles[role] for role in stage.engine_roles}


def _prompts(where: str, spec: StageSpec, stage: AnyStage, folder: Path) -> dict[str, Prompt]:
    shipped = {name: load_prompt(stage.name, name, stage.prompt_folder) for name in stage.prompt_names}
    for name, path in spec.prompts.items():
        if name not in shipped:
            raise PlanError(
                f"{where}.prompts: stage '{spec.use}' uses no template '{name}' under this config; it uses "
                f"{', '.join(shipped) or 'none'}.{did_you_mean(name, shipped)}"
            )
        own = load_prompt_file(folder / path)
        if set(own.header.inputs) != set(shipped[name].header.inputs):
            raise PlanError(
                f"{where}.prompts.{name}: '{path}' takes inputs {sorted(own.header.inputs)}; the stage gives "
                f"{sorted(shipped[name].header.inputs)}"
            )
        shipped[name] = own
    return shipped


def _settle_engines(engines: Mapping[str, Engine], planned: Mapping[str, PlannedStage]) -> None:
    """Tell each engine what it is used for, so that it can refuse what it cannot serve before it loads anything."""
    for name, engine in engines.items():
        uses = [
            EngineUse(p.id, role, p.stage.engine_roles[role], _max_tokens(p.stage), p.stage.copies_prompt)
            for p in planned.values()
            for role, bound in p.roles.items()
            if bound == name
        ]
        engine.settle(uses)


def _max_tokens(stage: AnyStage) -> int | None:
    value = getattr(stage.config, "max_tokens", None)
    return value if isinstance(value, int) else None


def _refuse_unused(engines: Mapping[str, Engine], planned: Mapping[str, PlannedStage]) -> None:
    used = {name for s in planned.values() for name in s.roles.values()}
    for name in engines:
        if name not in used:
            raise PlanError(f"engines.{name}: no stage is bound to it; bind it with 'roles:' or remove it")
