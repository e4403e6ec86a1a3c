"""Decide before any call which skills and which query type each instruction gets.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 2's draw of k skills and one query type; planned first, so that a
resumed run is exact. `balanced` and `iid` query types are both offered because the released script and the released
data disagree. Knows no engine.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from pipeline.api import (
    PrerequisiteError,
    Reject,
    Row,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    columns,
    lineage_id,
)
from stages.synthesis.skill_draws import balanced_types, iid_types, release_sets, unrepeated_sets


class PlanSkillmixConfig(StageConfig):
    """Options of `plan_skillmix`."""

    n: int = Field(ge=1)
    """Instructions to plan."""
    k: int = Field(2, ge=1)
    """Skills of each."""
    query_type_sampling: Literal["balanced", "iid"] = "balanced"
    sampler: Literal["unrepeated", "release"] = "unrepeated"
    """`release` repeats the released script, in which the same set can come twice."""


class PlanSkillmix(TableStage):
    """Makes `n` rows of `k` distinct skills and one query type; equal names from several domains count once.

    Reject codes:
        plan.bad_row: `kind` is neither `skill` nor `query_type`, or the name is null or empty.
    """

    name: ClassVar[str] = "plan_skillmix"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = PlanSkillmixConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "derived"
    lineage: ClassVar[tuple[str, ...]] = ("skill_ids", "query_type_id")

    inputs = columns(id=str, kind=str, name=str, definition=str, examples=list[str])
    outputs = columns(
        id=str,
        skills=list[str],
        skill_ids=list[str],
        query_type=str,
        query_type_definition=str,
        query_type_examples=list[str],
        query_type_id=str,
        k=int,
    )

    config: PlanSkillmixConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Draw the plan; no rows at all (every domain was rejected) give an empty plan.

        Raises:
            PrerequisiteError: if there are too few skills or query types for it.
        """
        if not table.num_rows:
            return TableResult(self.outputs.empty_table())
        rows = table.select(self.inputs.names).to_pylist()
        bad = [i for i, r in enumerate(rows) if r["kind"] not in ("skill", "query_type") or not r["name"]]
        rejects = [
            Reject(
                row,
                "plan.bad_row",
                f"kind {row['kind']!r}, name {row['name']!r}; expected kind 'skill' or 'query_type' and a name",
            )
            for row in table.take(pa.array(bad, pa.int64())).to_pylist()
        ]
        skills, types = _by_name(rows, "skill"), _by_name(rows, "query_type")
        planned = [
            _row(i, [skills[s] for s in chosen], types[t])
            for i, (chosen, t) in enumerate(self._draw(len(skills), len(types), ctx.seed("plan")))
        ]
        return TableResult(pa.Table.from_pylist(planned, schema=self.outputs), rejects)

    def _draw(self, skills: int, types: int, seed: int) -> list[tuple[tuple[int, ...], int]]:
        config = self.config
        if skills < config.k or not types:
            raise PrerequisiteError(
                f"plan_skillmix needs at least {config.k} distinct skills and 1 query type; the "
                f"stages before it left {skills:,} and {types:,}. Look at their rejects"
            )
        try:
            draw_sets = release_sets if config.sampler == "release" else unrepeated_sets
            sets = draw_sets(skills, config.k, config.n, seed)
        except ValueError as e:
            raise PrerequisiteError(f"plan_skillmix: {e}; lower n, or extract more skills") from None
        draw_types = balanced_types if config.query_type_sampling == "balanced" else iid_types
        return list(zip(sets, draw_types(types, config.n, seed), strict=True))


def _by_name(rows: list[Row], kind: str) -> list[Row]:
    """Return the rows of a kind, the first of each name."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == kind and row["name"]:
            first.setdefault(row["name"], row)
    return list(first.values())


def _row(position: int, skills: list[Row], query_type: Row) -> dict[str, Any]:
    names = [s["name"] for s in skills]
    return {
        "id": lineage_id("skillmix", str(position), *names),
        "skills": names,
        "skill_ids": [s["id"] for s in skills],
        "query_type": query_type["name"],
        "query_type_definition": query_type["definition"],
        "query_type_examples": query_type["examples"] or [],
        "query_type_id": query_type["id"],
        "k": len(skills),
    }
