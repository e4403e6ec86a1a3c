"""Check a recipe's `audit:` against its stages: that verdicts and labels are where the audit will look for them.

Needs no row. Which source is labelled is told by its columns, since no stage is known by name here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import PlanError
from pipeline.plan.recipe import AnnotatorSpec
from pipeline.registry import did_you_mean

if TYPE_CHECKING:
    from pipeline.plan.plan import PlannedStage

LABELLED = ("id", "prompt_id", "label", "subset")
"""Columns of every labelled source."""
RESPONSE_ROWS = (*LABELLED, "response")
PAIR_ROWS = (*LABELLED, "response_a", "response_b", "response_a_id", "response_b_id")


def check_audit(annotators: Sequence[AnnotatorSpec], planned: Mapping[str, PlannedStage]) -> None:
    """Check every annotator.

    Raises:
        PlanError: if a stage or column is missing, of a wrong type, or does not come from labelled rows.
    """
    for i, spec in enumerate(annotators):
        where = f"audit[{i}] '{spec.name}'"
        if spec.stage not in planned:
            known = ", ".join(planned)
            raise PlanError(
                f"{where}: no stage '{spec.stage}'; stages: {known}.{did_you_mean(spec.stage, list(planned))}"
            )
        _check_source(where, spec, root_of(spec.stage, planned))
        schema = planned[spec.stage].schema_out
        for column, fits, kind in _wanted(spec):
            _check_column(where, spec.stage, schema, column, fits, kind)


def root_of(stage_id: str, planned: Mapping[str, PlannedStage]) -> PlannedStage:
    """Return the source that a stage's rows come from."""
    stage = planned[stage_id]
    return stage if stage.upstream is None else root_of(stage.upstream, planned)


def _check_source(where: str, spec: AnnotatorSpec, source: PlannedStage) -> None:
    wanted, kind = (RESPONSE_ROWS, "responses") if spec.score else (PAIR_ROWS, "pairs")
    missing = [column for column in wanted if column not in source.schema_out.names]
    if missing:
        raise PlanError(
            f"{where}: its rows come from stage '{source.id}', which lacks {', '.join(missing)}; an audit needs "
            f"labelled rows, as load_preferences gives them with 'rows: {kind}'"
        )


def _wanted(spec: AnnotatorSpec) -> list[tuple[str, Callable[[pa.DataType], bool], str]]:
    found: list[tuple[str, Callable[[pa.DataType], bool], str]] = []
    verdict = spec.score or spec.preference
    assert verdict is not None
    found.append((verdict, _is_number, "a number"))
    if spec.per is not None:
        found.append((spec.per, _is_number, "a number"))
    if spec.consistent is not None:
        found.append((spec.consistent, pa.types.is_boolean, "yes or no"))
    if spec.flips is not None:
        found.append((spec.flips, lambda kind: _is_number(kind) or pa.types.is_boolean(kind), "a number or yes or no"))
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _check_column(
    where: str, stage_id: str, schema: pa.Schema, column: str, fits: Callable[[pa.DataType], bool], kind: str
) -> None:
    if column not in schema.names:
        raise PlanError(
            f"{where}: stage '{stage_id}' gives no column '{column}'; its columns: {', '.join(schema.names)}."
            f"{did_you_mean(column, schema.names)}"
        )
    if not fits(schema.field(column).type):
        raise PlanError(
            f"{where}: column '{column}' of stage '{stage_id}' has type {schema.field(column).type}; expected {kind}"
        )
