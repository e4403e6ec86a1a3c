"""Tables about selected pairs: how far apart chosen and rejected lie in score and in length.

Reads only what is committed. Lengths are characters, and the unit of the length limits where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.api import Json, ReportTable, StageBooks

Array = NDArray[np.float64]
_PERCENTILES = (5, 20, 50, 80, 95)


def pair_tables(books: StageBooks, unit: str | None) -> list[ReportTable]:
    """Return the tables of a stage; none without pairs.

    Args:
        books: what is committed.
        unit: column of lengths that pairs carry as `chosen_<unit>` and `rejected_<unit>`; None for none.
    """
    margins: list[Array] = []
    lengths: dict[str, list[Array]] = {}
    tied = pairs = 0
    counted = [f"chosen_{unit}", f"rejected_{unit}"] if unit else []
    for batch in books.rows(["chosen", "rejected", "margin", "tied", *counted]):
        pairs += batch.num_rows
        tied += int((batch.column("tied").to_numpy() > 1).sum())
        margins.append(_numbers(batch.column("margin")))
        sides = {"characters": [pc.utf8_length(batch.column(n)) for n in ("chosen", "rejected")]}
        if unit:
            sides[unit] = [batch.column(n) for n in counted]
        for name, (chosen, rejected) in sides.items():
            lengths.setdefault(name, []).append(np.stack([_numbers(chosen), _numbers(rejected)]))
    if not pairs:
        return []
    rows = [("margin of scores", *_spread(np.concatenate(margins)), None)]
    for name, parts in lengths.items():
        chosen, rejected = np.concatenate(parts, axis=1)
        longer = chosen - rejected
        known = longer[~np.isnan(longer)]
        share = round(float((known > 0).mean()), 4) if len(known) else None
        rows.append((f"chosen minus rejected, {name}", *_spread(longer), share))
        whole = rejected > 0
        rows.append((f"chosen over rejected, {name}", *_spread(chosen[whole] / rejected[whole]), None))
    headings = ("what", *(f"{p} %" for p in _PERCENTILES), "share above 0")
    note = f"Percentiles over {pairs} pairs; in {tied} of them several candidates shared the best score."
    return [ReportTable("Pairs", headings, tuple(rows), note)]


def _numbers(column: pa.Array) -> Array:
    numbers: Array = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _spread(values: Array) -> Sequence[Json]:
    known = values[~np.isnan(values)]
    if not len(known):
        return [None] * len(_PERCENTILES)
    return [round(float(v), 4) for v in np.percentile(known, _PERCENTILES)]
