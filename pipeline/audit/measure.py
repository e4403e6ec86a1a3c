"""Measure every annotator that a recipe's `audit:` names on a finished run: the whole result, as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.audit.agreement import agreement
from pipeline.audit.costs import StageCosts, cost_of, stage_costs
from pipeline.audit.figures import Figures, figures, preferences
from pipeline.audit.items import Item, Kind, read_items
from pipeline.audit.labels import unlabelled
from pipeline.audit.remarks import remarks
from pipeline.audit.verdicts import Verdicts, by_length, by_people, path_to, read_verdicts
from pipeline.plan.recipe import AnnotatorSpec
from pipeline.publish.stage_reports import stage_reports
from pipeline.stage import ReportTable
from pipeline.store.manifest import RunView
from pipeline.store.usage import Usage

ALL = "all"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two annotators agree, over the pairs of responses that both judged."""

    one: str
    other: str
    pairs: int
    same: float
    kappa: float


@dataclass(frozen=True)
class Audit:
    """The result.

    Attributes:
        run: name of the run.
        folder: where it lies.
        items: number of items by kind.
        figures: by subset (`all` first), then by annotator.
        people: the same figures for the labels themselves, over all items.
        agreements: of each two annotators.
        costs: of every stage on the way to a verdict.
        usage: requests and tokens by annotator; stages that several need count for each.
        remarks: sentences about what is wrong with an annotator.
        reports: what those stages say about their own work.
    """

    run: str
    folder: str
    items: Mapping[Kind, int]
    figures: Mapping[str, Mapping[str, Figures]]
    people: Figures
    agreements: Sequence[Agreement]
    costs: Sequence[StageCosts]
    usage: Mapping[str, Usage]
    remarks: Sequence[str]
    reports: Mapping[str, Sequence[ReportTable]]


def measure(view: RunView, annotators: Sequence[AnnotatorSpec]) -> Audit:
    """Measure.

    Args:
        view: a run of the recipe, finished.
        annotators: at least one.

    Raises:
        PrerequisiteError: if there is no labelled item, or an annotator's rows do not join with the items or hold no
            preferences.
    """
    sources = {spec.name: path_to(view, spec.stage)[0] for spec in annotators}
    items = {source: read_items(view.stages[source]) for source in dict.fromkeys(sources.values())}
    first = items[sources[annotators[0].name]]
    if not any(item.kind == "labelled" for item in first.values()):
        raise unlabelled(sources[annotators[0].name], len(first))
    judged = [read_verdicts(view, spec, items[sources[spec.name]]) for spec in annotators]
    everyone = [*judged, by_length(first)]
    by_subset = {
        shown: {v.name: figures(v, _of(v, subset)) for v in everyone} for shown, subset in _subsets(first).items()
    }
    path = list(dict.fromkeys(stage for v in judged for stage in v.path))
    costs = stage_costs(view, path)
    reports = {i: tables for stage in path for i, tables in stage_reports(view, stage).items()}
    return Audit(
        run=view.name,
        folder=str(view.folder),
        items=Counter(item.kind for item in first.values()),
        figures=by_subset,
        people=figures(by_people(first), list(first.values())),
        agreements=_agreements(everyone),
        costs=costs,
        usage={v.name: cost_of(costs, v.path) for v in judged},
        remarks=remarks(by_subset[ALL]),
        reports=reports,
    )


def _subsets(items: Mapping[str, Item]) -> dict[str, str | None]:
    """Return by the name to show: None for all items, and the subsets if there are several."""
    named = sorted({item.subset for item in items.values()})
    shown: dict[str, str | None] = {ALL: None}
    if len(named) > 1:
        shown |= {f"subset '{ALL}'" if name == ALL else name: name for name in named}
    return shown


def _of(verdicts: Verdicts, subset: str | None) -> list[Item]:
    return [item for item in verdicts.items.values() if subset is None or item.subset == subset]


def _agreements(everyone: Sequence[Verdicts]) -> list[Agreement]:
    said = {v.name: preferences(v) for v in everyone}
    found = []
    for one, other in combinations(said, 2):
        both = [pair for pair in said[one] if pair in said[other]]
        same, kappa = agreement([said[one][p] for p in both], [said[other][p] for p in both])
        found.append(Agreement(one, other, len(both), same, kappa))
    return found
