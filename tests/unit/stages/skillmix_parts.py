"""What the tests of the SkillMix stages share: an engine that gives set replies, and books over given rows."""

from dataclasses import dataclass, field

import pyarrow as pa

from pipeline.api import GenResult, Sample
from pipeline.testing import scripted_engine


def engine_with(*samples):
    """Return an engine that gives one sample after another, the last one for ever."""
    engine, left = scripted_engine(), list(samples)

    async def generate(request):
        engine.generate_calls.append(request)
        sample = left.pop(0) if len(left) > 1 else left[0]
        return GenResult((sample if isinstance(sample, Sample) else Sample(sample, "stop"),))

    engine.generate = generate
    return engine


@dataclass
class Books:
    """Committed rows, in batches of two, the rows they were made from, and rejects."""

    table: pa.Table
    given: pa.Table | None = None
    refused: list = field(default_factory=list)

    @property
    def rows_in(self):
        return self.given.num_rows

    @property
    def rows_out(self):
        return self.table.num_rows

    @property
    def rejects(self):
        return {r.code: 1 for r in self.refused}

    def rows(self, columns):
        return iter(self.table.select(columns).to_batches(max_chunksize=2))

    def input_rows(self, columns):
        return iter(self.given.select(columns).to_batches(max_chunksize=2))

    def rejected(self):
        return iter(self.refused)
