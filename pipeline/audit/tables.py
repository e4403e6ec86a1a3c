"""The result of an audit as tables of text, for a terminal and for the page, and as JSON values.

Every figure is spelled here once; nothing is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.audit.figures import Figures
from pipeline.audit.measure import ALL, Audit
from pipeline.plan.recipe import LENGTH
from pipeline.stage import ReportTable
from pipeline.store.usage import Usage
from pipeline.types import Json


def tables(audit: Audit) -> Iterator[ReportTable]:
    """Yield the tables in the order in which they are shown; every cell is text."""
    yield _accuracy(audit.figures[ALL])
    yield _length(audit)
    if len(audit.figures) > 1:
        yield _subsets(audit.figures)
    if any(f.people_tied for f in audit.figures[ALL].values()):
        yield _people_tied(audit.figures[ALL])
    if audit.agreements:
        yield _agreements(audit)
    yield _annotator_costs(audit)
    yield _stage_costs(audit)


def _accuracy(found: Mapping[str, Figures]) -> ReportTable:
    first = next(iter(found.values()))
    return ReportTable(
        f"accuracy on {first.labelled:,} labelled items (guessing: {share(first.guessing)})",
        ("annotator", "judged", "accuracy", "95 % interval", "all items", "tied", "flips", "margin"),
        tuple(
            (
                name,
                f"{f.judged:,}" + ("" if f.labelled == first.labelled else f" of {f.labelled:,}"),
                share(f.accuracy),
                interval(f.accuracy_low, f.accuracy_high) if f.judged else "-",
                share(f.accuracy_of_all),
                f"{f.ties:,}",
                share(f.flip_rate),
                number(f.mean_margin),
            )
            for name, f in found.items()
        ),
        "accuracy: over the items judged, a tie of m responses that holds the right one worth 1/m; all items: those "
        "not judged worth a guess; flips: verdicts that change with the order of showing; margin: mean score of the "
        "right response minus the highest wrong one, in the annotator's own units",
    )


def _length(audit: Audit) -> ReportTable:
    rows = {"people": audit.people} | {name: f for name, f in audit.figures[ALL].items() if name != LENGTH}
    return ReportTable(
        "length",
        ("annotator", "longer wins", "of pairs", "slope", "95 % interval", "gain", "95 % interval"),
        tuple(
            (
                name,
                share(f.longer_wins),
                f"{f.unlike_lengths:,}",
                number(f.slope),
                interval(f.slope_low, f.slope_high, 2) if f.unlike_lengths else "-",
                number(f.gain),
                interval(f.gain_low, f.gain_high) if not math.isnan(f.gain_low) else "-",
            )
            for name, f in rows.items()
        ),
        "longer wins: share of pairs with unlike lengths (characters) that the longer response wins. slope: of a "
        "logistic regression on tanh of the length difference; 0 is no preference. gain: accuracy minus that of the "
        "longer response on the same items",
    )


def _subsets(figures: Mapping[str, Mapping[str, Figures]]) -> ReportTable:
    return ReportTable(
        "accuracy by subset",
        ("subset", "annotator", "judged", "of", "accuracy", "95 % interval", "longer wins"),
        tuple(
            (
                subset,
                name,
                f"{f.judged:,}",
                f"{f.labelled:,}",
                share(f.accuracy),
                interval(f.accuracy_low, f.accuracy_high) if f.judged else "-",
                share(f.longer_wins),
            )
            for subset, found in figures.items()
            if subset != ALL
            for name, f in found.items()
        ),
    )


def _people_tied(found: Mapping[str, Figures]) -> ReportTable:
    return ReportTable(
        "items that people call a tie",
        ("annotator", "judged", "tied too"),
        tuple((name, f"{f.people_tied:,}", f"{f.tied_too:,}") for name, f in found.items()),
        "not part of the accuracy",
    )


def _agreements(audit: Audit) -> ReportTable:
    return ReportTable(
        "agreement",
        ("annotator", "with", "pairs", "same verdict", "kappa"),
        tuple((a.one, a.other, f"{a.pairs:,}", share(a.same), number(a.kappa)) for a in audit.agreements),
        "over the pairs of responses with unlike labels that both judged; kappa counts each pair in both orders",
    )


def _annotator_costs(audit: Audit) -> ReportTable:
    return ReportTable(
        "cost by annotator",
        ("annotator", "requests", "tokens read", "tokens made"),
        tuple((name, *_usage(usage)) for name, usage in audit.usage.items()),
        "every stage on the way to the verdict; one that several annotators need counts for each",
    )


def _stage_costs(audit: Audit) -> ReportTable:
    return ReportTable(
        "cost by stage",
        ("stage", "rows in", "rows out", "rejects", "requests", "tokens read", "tokens made"),
        tuple(
            (
                cost.stage,
                f"{cost.rows_in:,}",
                f"{cost.rows_out:,}",
                ", ".join(f"{code} {n:,}" for code, n in cost.rejects.items()) or "-",
                *(("-", "-", "-") if cost.usage is None else _usage(cost.usage)),
            )
            for cost in audit.costs
        ),
    )


def _usage(usage: Usage) -> tuple[str, str, str]:
    """Word requests and tokens; a sum that misses requests whose engine told no tokens is marked as a lower bound."""
    if usage.untold == usage.requests > 0:
        return f"{usage.requests:,}", "-", "-"
    mark = ">=" if usage.untold else ""
    return f"{usage.requests:,}", f"{mark}{usage.prompt_tokens:,}", f"{mark}{usage.new_tokens:,}"


def share(value: float) -> str:
    """Return a share with three digits, a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def number(value: float) -> str:
    """Return a number with three significant digits, a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3g}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """Return an interval as `low to high`."""
    return f"{low:.{digits}f} to {high:.{digits}f}"


def as_json(audit: Audit) -> dict[str, Json]:
    """Return the whole result as JSON values; NaN becomes null."""
    kept: dict[str, Json] = _plain(
        {
            "run": audit.run,
            "folder": audit.folder,
            "items": dict(audit.items),
            "figures": {s: {n: asdict(f) for n, f in found.items()} for s, found in audit.figures.items()},
            "people": asdict(audit.people),
            "agreements": [asdict(a) for a in audit.agreements],
            "costs": [asdict(c) for c in audit.costs],
            "usage": {name: asdict(u) for name, u in audit.usage.items()},
            "remarks": list(audit.remarks),
            "reports": {stage: [asdict(t) for t in found] for stage, found in audit.reports.items()},
        }
    )
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
