"""What annotators said: their scores or preferences, read from the rows of the stages that made them, joined by id."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.audit.items import Item
from pipeline.errors import PrerequisiteError
from pipeline.plan.recipe import LENGTH, AnnotatorSpec
from pipeline.store.manifest import RunView, StageView


@dataclass(frozen=True)
class Verdicts:
    """One annotator's verdicts on the items of one source.

    Attributes:
        name: the annotator.
        items: what it was to judge, by id.
        scores: one number for each response of an item, higher is better; an item that is absent was not judged.
        flips: by item, the share of orders of showing that disagree, in [0, 1]; empty where no order is known.
        path: stages from the source to the one that holds the verdicts; empty for the audit's own annotator.
    """

    name: str
    items: Mapping[str, Item]
    scores: Mapping[str, Sequence[float]]
    flips: Mapping[str, float] = field(default_factory=dict)
    path: Sequence[str] = ()


def by_length(items: Mapping[str, Item]) -> Verdicts:
    """Return the verdicts of the annotator that prefers the longer response, in characters."""
    return Verdicts(LENGTH, items, {i: [float(n) for n in item.lengths] for i, item in items.items()})


def by_people(items: Mapping[str, Item]) -> Verdicts:
    """Return the labels as if an annotator had given them, to show how far people prefer the longer response."""
    return Verdicts("people", items, {i: item.known for i, item in items.items() if item.kind == "labelled"})


def read_verdicts(view: RunView, spec: AnnotatorSpec, items: Mapping[str, Item]) -> Verdicts:
    """Return an annotator's verdicts.

    Raises:
        PrerequisiteError: if the stage has rows, but none with an id of the source, or a preference is not in [0, 1].
            Verdicts that are null or missing are no error: their items were not judged.
    """
    stage = view.stages[spec.stage]
    path = path_to(view, spec.stage)
    if spec.score is not None:
        found, joined = _scores(stage, spec.score, spec.per, items)
        flips: dict[str, float] = {}
    else:
        found, flips, joined = _preferences(stage, spec, items)
    if stage.rows_out and not joined:
        raise PrerequisiteError(
            f"audit '{spec.name}': none of the {stage.rows_out:,} rows of stage '{spec.stage}' has an id of "
            f"'{path[0]}'; verdicts are joined with labels by id, and a stage between them makes new rows"
        )
    return Verdicts(spec.name, items, found, flips, path)


def path_to(view: RunView, stage_id: str) -> list[str]:
    """Return the ids of the stages from a source to a stage, both included."""
    upstream = view.stages[stage_id].upstream
    return [*(path_to(view, upstream) if upstream is not None else ()), stage_id]


def _scores(
    stage: StageView, column: str, per: str | None, items: Mapping[str, Item]
) -> tuple[dict[str, list[float]], bool]:
    """Return the scores by item, and whether any row is a response of one."""
    asked = {response for item in items.values() for response in item.responses}
    known: dict[str, float] = {}
    joined = False
    for table in stage.tables(["id", column, *([per] if per else [])]):
        for row in table.to_pylist():
            joined = joined or row["id"] in asked
            size = row[per] if per else 1
            if _usable(row[column]) and _usable(size) and size != 0 and _usable(row[column] / size):
                known[row["id"]] = float(row[column]) / size
    found = {
        item.id: [known[response] for response in item.responses]
        for item in items.values()
        if all(response in known for response in item.responses)
    }
    return found, joined


def _preferences(
    stage: StageView, spec: AnnotatorSpec, items: Mapping[str, Item]
) -> tuple[dict[str, list[float]], dict[str, float], bool]:
    """Return the scores by item, the flips by item, and whether any row is an item."""
    assert spec.preference is not None
    order = spec.consistent or spec.flips
    found: dict[str, list[float]] = {}
    flips: dict[str, float] = {}
    joined = False
    for table in stage.tables(["id", spec.preference, *([order] if order else [])]):
        for row in table.to_pylist():
            joined = joined or row["id"] in items
            if row["id"] not in items or not _usable(row[spec.preference]):
                continue
            preference = _share(row, spec.preference, spec)
            found[row["id"]] = [preference, 1.0 - preference]
            if order and _usable(row[order]):
                flip = _share(row, order, spec)
                flips[row["id"]] = flip if spec.flips else 1.0 - flip
    return found, flips, joined


def _share(row: Mapping[str, Any], column: str, spec: AnnotatorSpec) -> float:
    """Return a value that must lie in [0, 1]: on another scale, such as -1 to 1, a tie would be taken for a win."""
    value = float(row[column])
    if not 0 <= value <= 1:
        raise PrerequisiteError(
            f"audit '{spec.name}': column '{column}' of stage '{spec.stage}' holds {value:g} in row '{row['id']}'; "
            "expected 0 to 1 (of a preference: 1 for response a, 0.5 for a tie)"
        )
    return value


def _usable(value: float | int | None) -> bool:
    return value is not None and math.isfinite(value)
