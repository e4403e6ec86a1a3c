"""Plots of an audit as SVG text: shares with intervals as dots and bars, one line of text for each row.

No library and no script: the page must open anywhere, years later. All text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LABEL, _PLOT, _VALUE, _ROW = 240, 420, 150, 22
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TOP = 8


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a plot: a share in [0, 1] with its interval; NaN draws the label alone."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""


def dot_plot(dots: Sequence[Dot], axis: str, line: float | None = None) -> str:
    """Return an SVG of shares from 0 to 1, one row for each dot.

    Args:
        dots: the rows, top to bottom.
        axis: what the shares are; stands below them, and names the plot for those who hear it.
        line: a share to mark in all rows, such as what guessing is worth.
    """
    height = _TOP + _ROW * len(dots) + 42
    bottom = _TOP + _ROW * len(dots)
    parts = [
        f'<svg viewBox="0 0 {_LABEL + _PLOT + _VALUE} {height}" role="img" width="{_LABEL + _PLOT + _VALUE}" '
        f'height="{height}" aria-label="{escape(axis)}">'
    ]
    for tick in _TICKS:
        parts.append(f'<line class="grid" x1="{_x(tick)}" x2="{_x(tick)}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{_x(tick)}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    middle = _x(0.5)
    parts.append(f'<text class="tick" x="{middle}" y="{bottom + 34}" text-anchor="middle">{escape(axis)}</text>')
    if line is not None and not math.isnan(line):
        parts.append(f'<line class="mark" x1="{_x(line)}" x2="{_x(line)}" y1="{_TOP}" y2="{bottom}"/>')
    for i, dot in enumerate(dots):
        parts += _row(dot, _TOP + _ROW * i + _ROW // 2)
    return "".join([*parts, "</svg>"])


def _row(dot: Dot, y: int) -> list[str]:
    parts = [f'<text x="{_LABEL - 10}" y="{y + 4}" text-anchor="end">{escape(_clipped(dot.label))}</text>']
    if math.isnan(dot.value):
        return parts
    parts.append(f'<line class="bar" x1="{_x(dot.low)}" x2="{_x(dot.high)}" y1="{y}" y2="{y}"/>')
    parts.append(f'<circle cx="{_x(dot.value)}" cy="{y}" r="4"/>')
    told = f"{dot.value:.3f}{'  ' if dot.note else ''}{dot.note}"
    parts.append(f'<text class="value" x="{_LABEL + _PLOT + 14}" y="{y + 4}">{escape(told)}</text>')
    return parts


def _x(share: float) -> float:
    return round(_LABEL + _PLOT * min(1.0, max(0.0, share)), 1)


def _clipped(text: str, most: int = 38) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
