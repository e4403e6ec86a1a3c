"""What the pairs of `preference_pairs` look like as a set: how far apart, how often against the oracle, how long.

Source: the checks that need no training of section 11 of our training notes. Computed from what is committed.
"""

from __future__ import annotations

import numpy as np

from pipeline.api import ReportTable, StageBooks

_READ = ("chosen_probs_win", "chosen_probs_lose", "preference_prob", "chosen", "rejected")
_QUANTILES = (("5 %", 0.05), ("median", 0.5), ("95 %", 0.95))
_NOTE = (
    "A pair is against the oracle if P(chosen beats rejected) is below 1/2, as win rates may give where preferences go "
    "round in circles. Where the chosen response is mostly the longer one, look at `control_length`."
)


def pair_report(books: StageBooks) -> ReportTable:
    """Return quantiles of the difference of win rates and of the preference, and shares of pairs."""
    margins: list[float] = []
    preferences: list[float] = []
    pairs = longer = 0
    for batch in books.rows(_READ):
        for win, lose, preference, chosen, rejected in zip(
            *(batch.column(name).to_pylist() for name in _READ), strict=True
        ):
            pairs, longer = pairs + 1, longer + (len(chosen) > len(rejected))
            if win is not None:
                margins.append(win - lose)
            if preference is not None:
                preferences.append(preference)
    against = sum(p < 0.5 for p in preferences)
    rows: list[tuple[str, float | None]] = [("pairs", pairs)]
    for name, values in (("difference of win rates", margins), ("P(chosen beats rejected)", preferences)):
        rows += [(f"{name}, {label}", _quantile(values, q)) for label, q in _QUANTILES]
    rows += [
        ("share of pairs against the oracle", _share(against, len(preferences))),
        ("share of pairs never compared", _share(pairs - len(preferences), pairs)),
        ("share of pairs with the longer response chosen", _share(longer, pairs)),
    ]
    return ReportTable("Pairs", ("", "value"), tuple(rows), _NOTE)


def _quantile(values: list[float], q: float) -> float | None:
    return round(float(np.quantile(values, q)), 4) if values else None


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
