"""The books of a stage (`StageBooks`) held in memory, for tests of reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.api import Reject


@dataclass(frozen=True)
class BooksInMemory:
    """What a stage was given and gave."""

    rows_in: int
    table: pa.Table
    given: pa.Table | None = None
    refused: Sequence[Reject] = ()

    @property
    def rows_out(self):
        return self.table.num_rows

    @property
    def rejects(self):
        return Counter(r.code for r in self.refused)

    def rows(self, columns):
        yield from self.table.select(list(columns)).to_batches()

    def input_rows(self, columns):
        yield from () if self.given is None else self.given.select(list(columns)).to_batches()

    def rejected(self):
        yield from self.refused
