"""The result of an audit as one HTML file that stands alone: remarks, plots and all tables.

No script, no font and nothing else from elsewhere; every text that comes from data or recipe is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from pipeline.audit.figures import Figures
from pipeline.audit.measure import ALL, Audit
from pipeline.audit.plots import Dot, dot_plot
from pipeline.audit.tables import tables
from pipeline.intervals import wilson_interval
from pipeline.plan.recipe import LENGTH
from pipeline.stage import ReportTable
from pipeline.types import Json

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1b1b1b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
th { border-bottom: 1px solid #999; } td { border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums; }
.note { color: #555; max-width: 50rem; } li { margin: .2rem 0; } .wide { overflow-x: auto; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #1b1b1b; }
.grid { stroke: #e4e4e4; } .tick { fill: #555; } .mark { stroke: #b3261e; stroke-dasharray: 4 3; }
.bar { stroke: #1f5f9e; stroke-width: 2; } circle { fill: #1f5f9e; }
"""


def page(audit: Audit) -> str:
    """Return the HTML text."""
    return "".join(_parts(audit))


def _parts(audit: Audit) -> Iterator[str]:
    title = escape(f"Audit of {audit.run}")
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
    yield f"<h1>{title}</h1><p>{escape(_counts(audit))}</p>"
    if audit.remarks:
        yield "<h2>Remarks</h2><ul>" + "".join(f"<li>{escape(r)}</li>" for r in audit.remarks) + "</ul>"
    yield from _plots(audit)
    for table in tables(audit):
        yield _table(table, "h2")
    for stage, found in audit.reports.items():
        yield f"<h2>Stage {escape(stage)}</h2>" + "".join(_table(table, "h3") for table in found)
    yield "</body></html>\n"


def _counts(audit: Audit) -> str:
    told = ", ".join(f"{n:,} {kind}" for kind, n in audit.items.items())
    return f"Items: {told}. Run folder: {audit.folder}"


def _plots(audit: Audit) -> Iterator[str]:
    for subset, found in audit.figures.items():
        dots = [_accuracy(name, f) for name, f in found.items()]
        guessing = next(iter(found.values())).guessing
        yield f"<h2>Accuracy: {escape(subset)}</h2>" + dot_plot(dots, "accuracy; dashed: guessing", guessing)
    overall = audit.figures[ALL]
    yield "<h2>Share of pairs that the longer response wins</h2>" + dot_plot(
        [_longer(name, f) for name, f in overall.items() if name != LENGTH],
        "share won by the longer response; dashed: among people",
        audit.people.longer_wins,
    )
    for name, f in overall.items():
        if name != LENGTH and len(f.bands) > 1:
            dots = [
                Dot(f"margin {b.low:.3g} to {b.high:.3g}", b.accuracy, b.accuracy_low, b.accuracy_high, f"n={b.n:,}")
                for b in f.bands
            ]
            axis = "share of pairs judged right; dashed: guessing"
            yield f"<h2>Accuracy by margin: {escape(name)}</h2>" + dot_plot(dots, axis, 0.5)


def _accuracy(name: str, f: Figures) -> Dot:
    return Dot(name, f.accuracy, f.accuracy_low, f.accuracy_high, f"n={f.judged:,}")


def _longer(name: str, f: Figures) -> Dot:
    low, high = wilson_interval(f.longer_wins * f.unlike_lengths if f.unlike_lengths else 0, f.unlike_lengths)
    return Dot(name, f.longer_wins, low, high, f"n={f.unlike_lengths:,}")


def _table(table: ReportTable, heading: str) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in table.headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(c))}</td>" for c in row) + "</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<{heading}>{escape(table.title)}</{heading}>"
        f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{note}'
    )


def _cell(value: Json) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
