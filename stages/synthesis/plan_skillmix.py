"""Decide before any call which skills, which query type and which persona each instruction gets.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 2's draw of k skills and one query type; planned first, so that a
resumed run is exact. `balanced` and `iid` query types are both offered because the released script and the released
data disagree. The persona as a third axis is ours. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import comb
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from pipeline.api import (
    Factor,
    PrerequisiteError,
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
    lineage_id,
)
from stages.synthesis.plan_report import coverage_tables
from stages.synthesis.skill_draws import balanced, iid, release_sets, unrepeated_sets

_KINDS = ("skill", "query_type", "persona")
_ROWS_A_BATCH = 50_000


class PlanSkillmixConfig(StageConfig):
    """Options of `plan_skillmix`."""

    n: int = Field(ge=1)
    """Instructions to plan."""
    k: int = Field(2, ge=1)
    """Skills of each."""
    query_type_sampling: Literal["balanced", "iid"] = "balanced"
    """`balanced`: counts differ by at most one. `iid`: each row draws for itself, as in the released rows."""
    persona: Literal["none", "balanced", "iid"] = "none"
    """Give each row a persona too, from the rows of kind `persona`; `none` leaves such rows unused."""
    sampler: Literal["unrepeated", "release"] = "unrepeated"
    """`release` repeats the released script, in which the same set can come twice; slow for large plans."""
    too_few_sets: Literal["error", "take_all"] = "error"
    """What to do when the skills give fewer than `n` different sets: end the run, or plan each set once."""


class PlanSkillmix(TableStage):
    """Makes `n` rows of `k` distinct skills, one query type and, if asked, a persona; equal names count once.

    `skill_definitions` is as long as `skills`, null where a skill has none. `persona` is the definition of the persona,
    or its name where it has none. `id` is the lineage id of the row's number in the plan and its sources.

    Reject codes:
        plan.bad_row: `kind` is neither `skill`, `query_type` nor `persona`, or the name is null or empty.
    """

    name: ClassVar[str] = "plan_skillmix"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = PlanSkillmixConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "derived"
    lineage: ClassVar[tuple[str, ...]] = ("skill_ids", "query_type_id", "persona_id")
    max_rows: ClassVar[int] = 2_000_000

    inputs = columns(id=str, kind=str, name=str, definition=str, examples=list[str])
    outputs = columns(
        id=str,
        skills=list[str],
        skill_ids=list[str],
        skill_definitions=list[str],
        query_type=str,
        query_type_definition=str,
        query_type_examples=list[str],
        query_type_id=str,
        persona=str,
        persona_id=str,
        k=int,
    )

    config: PlanSkillmixConfig

    def yields(self) -> Yield:
        """Return `n` rows in all."""
        return Yield(total=Factor("n of plan_skillmix", self.config.n))

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Draw the plan; no rows at all (every domain was rejected) give an empty plan.

        Raises:
            PrerequisiteError: if there are too few skills, query types or personas for it.
        """
        if not table.num_rows:
            return TableResult(self.outputs.empty_table())
        table = table.select(self.inputs.names).combine_chunks()
        kinds, names = table["kind"].to_pylist(), table["name"].to_pylist()
        bad = [i for i, (kind, name) in enumerate(zip(kinds, names, strict=True)) if kind not in _KINDS or not name]
        skills, types, personas = (_first_of_each_name(table, kinds, names, kind) for kind in _KINDS)
        self._check(len(skills), len(types), len(personas))
        seed = ctx.seed("plan")
        sets = self._draw_sets(len(skills), seed)
        drawn_types = _axis(self.config.query_type_sampling, len(types), len(sets), seed, "query type")
        drawn_personas = _axis(self.config.persona, len(personas), len(sets), seed, "persona")
        batches = _batches(self.outputs, (skills, types, personas), sets, drawn_types, drawn_personas)
        return TableResult(pa.Table.from_batches(batches, self.outputs), _rejects(table, bad))

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many skills and pairs came up against their expectation, and how even the other axes are."""
        return coverage_tables(books, self.config.k, repeated=self.config.sampler == "release", axes=self._axes())

    def _axes(self) -> dict[str, str]:
        axes: dict[str, str] = {"query_type": self.config.query_type_sampling, "persona": self.config.persona}
        return {axis: sampling for axis, sampling in axes.items() if sampling != "none"}

    def _check(self, skills: int, types: int, personas: int) -> None:
        k = self.config.k
        if skills < k or not types:
            raise PrerequisiteError(
                f"plan_skillmix needs at least {k} distinct skills and 1 query type; the "
                f"stages before it left {skills:,} and {types:,}. Look at their rejects"
            )
        if self.config.persona != "none" and not personas:
            raise PrerequisiteError(
                f"plan_skillmix: persona is '{self.config.persona}', but no row of kind 'persona' came in; "
                "load some with load_skills, or set persona: none"
            )

    def _draw_sets(self, skills: int, seed: int) -> NDArray[np.int64]:
        config = self.config
        if config.sampler == "release":
            return release_sets(skills, config.k, config.n, seed)
        n = min(config.n, comb(skills, config.k)) if config.too_few_sets == "take_all" else config.n
        try:
            return unrepeated_sets(skills, config.k, n, seed)
        except ValueError as e:
            raise PrerequisiteError(
                f"plan_skillmix: {e}; lower n, extract more skills, or set too_few_sets: take_all"
            ) from None


def _axis(sampling: str, kinds: int, rows: int, seed: int, axis: str) -> NDArray[np.int64] | None:
    if sampling == "none":
        return None
    return (balanced if sampling == "balanced" else iid)(kinds, rows, seed, axis)


def _first_of_each_name(table: pa.Table, kinds: list[str], names: list[str], kind: str) -> pa.Table:
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if kinds[i] == kind and name:
            first.setdefault(name, i)
    return table.take(pa.array(first.values(), pa.int64())).combine_chunks()


def _rejects(table: pa.Table, bad: list[int]) -> list[Reject]:
    return [
        Reject(
            {"id": row["id"]},
            "plan.bad_row",
            f"kind {row['kind']!r}, name {row['name']!r}; expected kind {', '.join(_KINDS)} and a name",
        )
        for row in table.take(pa.array(bad, pa.int64())).to_pylist()
    ]


def _batches(
    schema: pa.Schema,
    found: tuple[pa.Table, pa.Table, pa.Table],
    sets: NDArray[np.int64],
    types: NDArray[np.int64] | None,
    personas: NDArray[np.int64] | None,
) -> Iterator[pa.RecordBatch]:
    """Put names and ids in place of numbers, some rows at a time: one string array holds at most 2 GB."""
    skills, query_types, people = found
    described = pc.coalesce(people["definition"], people["name"])
    for start in range(0, len(sets), _ROWS_A_BATCH):
        part = slice(start, start + _ROWS_A_BATCH)
        rows, k = sets[part].shape
        members, offsets = pa.array(sets[part].ravel()), pa.array(np.arange(0, rows * k + 1, k), pa.int32())
        of_type = _numbers(types, part, rows)
        of_person = _numbers(personas, part, rows)
        skill_ids = _taken(skills["id"], members)
        type_ids, person_ids = _taken(query_types["id"], of_type), _taken(people["id"], of_person)
        columns_ = [
            pa.array(_ids(start, k, skill_ids, type_ids, person_ids)),
            pa.ListArray.from_arrays(offsets, _taken(skills["name"], members)),
            pa.ListArray.from_arrays(offsets, skill_ids),
            pa.ListArray.from_arrays(offsets, _taken(skills["definition"], members)),
            _taken(query_types["name"], of_type),
            _taken(query_types["definition"], of_type),
            pc.fill_null(_taken(query_types["examples"], of_type), []),
            type_ids,
            _taken(described, of_person),
            person_ids,
            pa.array(np.full(rows, k)),
        ]
        yield pa.RecordBatch.from_arrays(columns_, schema=schema)


def _numbers(drawn: NDArray[np.int64] | None, part: slice, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.int64()) if drawn is None else pa.array(drawn[part])


def _taken(values: pa.ChunkedArray, positions: pa.Array) -> pa.Array:
    return values.combine_chunks().take(positions)


def _ids(start: int, k: int, skill_ids: pa.Array, type_ids: pa.Array, person_ids: pa.Array) -> list[str]:
    members = skill_ids.to_pylist()
    rest = zip(type_ids.to_pylist(), person_ids.to_pylist(), strict=True)
    return [
        lineage_id(
            "skillmix", str(start + i), *members[i * k : i * k + k], type_id, *([] if person is None else [person])
        )
        for i, (type_id, person) in enumerate(rest)
    ]
