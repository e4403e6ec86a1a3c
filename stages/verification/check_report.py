"""How often each check passed, failed, or had no verdict: a verifier that cannot read most responses shows here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from pipeline.api import Json, ReportTable, wilson_interval


@dataclass(slots=True)
class _Tally:
    """Counts of one check."""

    passed: int = 0
    failed: int = 0
    none: int = 0

    @property
    def made(self) -> int:
        """Return how many verdicts were made."""
        return self.passed + self.failed


def check_table(batches: Iterable[pa.RecordBatch]) -> ReportTable:
    """Return one line for each check.

    Args:
        batches: rows whose two columns are the names of the checks and their verdicts.
    """
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    for batch in batches:
        for names, verdicts in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            for name, passed in zip(names, verdicts, strict=True):
                tally = tallies[name]
                tally.passed += passed is True
                tally.failed += passed is False
                tally.none += passed is None
    headings = ("check", "passed", "failed", "no verdict", "share passed", "95 % interval")
    note = "The share is of the verdicts that were made."
    return ReportTable("Checks", headings, tuple(_line(name, tally) for name, tally in tallies.items()), note)


def _line(name: str, tally: _Tally) -> tuple[Json, ...]:
    if not tally.made:
        return (name, 0, 0, tally.none, None, None)
    low, high = wilson_interval(tally.passed, tally.made)
    share = round(tally.passed / tally.made, 3)
    return (name, tally.passed, tally.failed, tally.none, share, f"{low:.3f} to {high:.3f}")
