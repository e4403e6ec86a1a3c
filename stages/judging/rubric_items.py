"""Weighted criteria for the responses to one prompt, and the score that verdicts on them add up to.

Source: Rubrics as Rewards, arXiv:2507.17746 (criteria per prompt with an importance each; explicit, as a weighted share
of what is met, or implicit, as one score by a judge who sees the criteria). The figures behind the four names and the
scale in [0, 1] with pitfalls that subtract are ours. Pure; knows no judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.api import Row, RowError

RUBRIC = pa.list_(
    pa.struct([pa.field("text", pa.string()), pa.field("importance", pa.string()), pa.field("weight", pa.float64())])
)
"""Type of the column `rubric`; a negative weight marks a pitfall, whose text names a fault."""
IMPORTANCES = ("essential", "important", "optional", "pitfall")


@dataclass(frozen=True, slots=True)
class RubricItem:
    """One criterion; `importance` is None where the model gave a number as its weight."""

    text: str
    importance: str | None
    weight: float

    def to_row(self) -> Row:
        """Return the item as it stands in the column `rubric`."""
        return {"text": self.text, "importance": self.importance, "weight": self.weight}


@dataclass(frozen=True, slots=True)
class RubricScore:
    """The sum of the weights of what holds, the most it could be, and the share, cut to [0, 1]."""

    earned: float
    possible: float
    score: float


def rubric_score(verdicts: Sequence[bool | None], weights: Sequence[float]) -> RubricScore | None:
    """Return the score of verdicts, one for each weight, in order.

    An unread verdict leaves both sums. A pitfall that holds is subtracted and adds nothing to what could be earned.
    None if no verdict on a positive weight was read: there is nothing to take a share of.

    Raises:
        ValueError: if there are not as many verdicts as weights.
    """
    read = [(v, w) for v, w in zip(verdicts, weights, strict=True) if v is not None]
    possible = sum(w for _, w in read if w > 0)
    if possible <= 0:
        return None
    earned = sum(w for v, w in read if v)
    return RubricScore(earned, possible, min(1.0, max(0.0, earned / possible)))


def require_rubric(items: Sequence[Row] | None) -> None:
    """Refuse a rubric by which nothing can be scored: rows may bring one that `make_rubric` did not make.

    Raises:
        RowError: `rubric.no_rubric`.
    """
    for number, item in enumerate(items or (), 1):
        weight = item["weight"]
        if not (item["text"] or "").strip() or weight is None or not math.isfinite(weight):
            raise RowError("rubric.no_rubric", f"item {number} of the column 'rubric' has no text, or no finite weight")
    if not any(item["weight"] > 0 for item in items or ()):
        raise RowError("rubric.no_rubric", "the column 'rubric' is null or has no item to fulfil")


def rubric_lines(items: Sequence[Row]) -> str:
    """Return the items as numbered lines, each with its importance or weight, for a judge to read.

    An item stays on one line: a line break in its text would let it pass for two.
    """
    return "\n".join(f"{i}. [{_told(item)}] {' '.join(item['text'].split())}" for i, item in enumerate(items, 1))


def _told(item: Row) -> str:
    if item["importance"]:
        return str(item["importance"])
    return "pitfall" if item["weight"] < 0 else f"weight {item['weight']:g}"
