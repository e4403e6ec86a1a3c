"""Tables about length control: the slope, what was left alone and why, how far scores follow length before and after.

Reads only what is committed; lengths are counted anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api import ReportTable, StageBooks
from stages.shaping.length_debiasing import EXCEPTED
from stages.shaping.length_features import Array, IntArray, longest_wins, mean_spearman


@dataclass
class _Collected:
    before: list[Array] = field(default_factory=list)
    after: list[Array] = field(default_factory=list)
    lengths: list[Array] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    slope: tuple[float | None, ...] = (None, None, None)


def length_tables(books: StageBooks, column: str, sides: Sequence[str], counted: Sequence[str]) -> list[ReportTable]:
    """Return the tables of a stage.

    Args:
        books: what is committed.
        column: the score, or the probability that A wins.
        sides: the text columns: one for scores, two for pairs.
        counted: the columns of lengths that the fit used; empty if it counted characters.
    """
    found = _collect(books, column, sides, counted)
    gamma, low, high = found.slope
    rows = [("gamma", gamma), ("its interval from", low), ("to", high), *sorted(found.statuses.items())]
    note = "Gamma: the slope over all rows; each prompt was corrected by that of the other folds. Then rows by status."

    tables = [ReportTable("Length control", ("what", "value"), tuple(rows), note)]
    if not found.before:
        return tables
    before, after, lengths = (np.concatenate(v) for v in (found.before, found.after, found.lengths))
    if len(sides) == 1:
        prompts = pa.array(found.prompts, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
        tables.append(_score_table(before, after, lengths, prompts))
    else:
        tables.append(_pair_table(before, after, lengths))
    return tables


def _score_table(before: Array, after: Array, lengths: Array, prompts: IntArray) -> ReportTable:
    measures = (
        ("Spearman of score and length", mean_spearman),
        ("share of prompts whose longest response is best", longest_wins),
    )
    rows = tuple(
        (what, _rounded(measure(before, lengths, prompts)), _rounded(measure(after, lengths, prompts)))
        for what, measure in measures
    )
    note = "Within prompts, the mean over them; without excepted categories. Lengths as they are, not winsorized."
    return ReportTable("Score and length", ("what", "before", "after"), rows, note)


def _pair_table(before: Array, after: Array, longer: Array) -> ReportTable:
    shares = []
    for outcomes in (before, after):
        decided = (outcomes != 0.5) & (longer != 0)
        hits = (outcomes > 0.5) == (longer > 0)
        shares.append(_rounded(float(hits[decided].mean())) if decided.any() else None)
    moved = int(((before - 0.5) * (after - 0.5) < 0).sum())
    rows = (("share won by the longer response", *shares), ("pairs whose winner changed", 0, moved))
    return ReportTable("Outcome and length", ("what", "before", "after"), rows, "Without excepted categories and ties.")


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _collect(books: StageBooks, column: str, sides: Sequence[str], counted: Sequence[str]) -> _Collected:
    names = ("debiased", "status", "gamma", "gamma_low", "gamma_high")
    out, made = _Collected(), [f"{column}_length_{name}" for name in names]
    for batch in books.rows([*dict.fromkeys(["prompt_id", column, *made, *(counted or sides)])]):
        for first in batch.slice(0, 1).to_pylist():
            out.slope = tuple(first[name] for name in made[2:])
        statuses = batch.column(made[1])
        out.statuses.update(statuses.to_pylist())
        kept = batch.filter(pc.not_equal(statuses, EXCEPTED))
        sizes = [_sizes(kept.column(name)) for name in (counted or sides)]
        out.lengths.append(sizes[0] if len(sizes) == 1 else sizes[0] - sizes[1])
        out.before.append(kept.column(column).cast(pa.float64()).to_numpy(zero_copy_only=False))
        out.after.append(kept.column(made[0]).to_numpy(zero_copy_only=False))
        out.prompts += kept.column("prompt_id").to_pylist()
    return out


def _sizes(column: pa.Array) -> Array:
    counted = pc.utf8_length(column) if pa.types.is_string(column.type) else column
    sizes: Array = counted.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return sizes
