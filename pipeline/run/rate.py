"""The allowed share of rejects: what it counts and how a run that passes it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pipeline.errors import RejectRateError
from pipeline.plan.plan import PlannedStage
from pipeline.run.control import StageProgress
from pipeline.store.commits import CommitRecord
from pipeline.store.run_store import StageStore


def check_reject_rate(planned: PlannedStage, progress: StageProgress, store: StageStore) -> None:
    """Raise `RejectRateError` if a stage has rejected more than it may.

    The rate is rejects over input rows, or over the rows made where a stage makes several from one. With the number
    of input rows unknown nothing is decided.
    """
    if progress.total is None:
        return
    rows = max(progress.total, progress.rows_out + progress.rejected)
    if progress.rejected <= planned.max_reject_rate * rows:
        return
    top = count_by_code(store.records.values()).most_common(3)
    codes = ": " + ", ".join(f"{code} {n:,}" for code, n in top) if top else ""
    raise RejectRateError(
        f"stage '{planned.id}' rejected {progress.rejected:,} of {rows:,} rows ({progress.rejected / rows:.1%}), above "
        f"max_reject_rate {planned.max_reject_rate:.1%}{codes}. First row: prefmill rejects RUN --stage {planned.id} "
        "--limit 1. Output written so far is kept; raise limits.max_reject_rate to go on"
    )


def count_by_code(records: Iterable[CommitRecord]) -> Counter[str]:
    """Return how many rejects of each code the records name."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.rejected_by_code)
    return counts
