"""A scripted judge for the tests of judging stages: it remembers its requests, and offers what a test says."""

from __future__ import annotations

import pyarrow as pa

from pipeline.api import CHAT, GenResult, Sample
from pipeline.testing import process_row, scripted_engine
from tests.unit.stages.books_in_memory import BooksInMemory

PROMPT = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Elbe."},
    {"role": "user", "content": "Name another one."},
]


class ScriptedJudge:
    """Answers `reply`: a text or `Sample`, a list of them used in turn, or a function of the request."""

    def __init__(self, reply, *offered):
        self.engine = scripted_engine()
        self.engine.capabilities = lambda: frozenset({CHAT, *offered})
        self.engine.generate, self.requests, self._reply = self._generate, [], reply

    async def _generate(self, request):
        self.requests.append(request)
        reply = self._reply(request) if callable(self._reply) else self._reply
        if isinstance(reply, list):
            reply = reply[min(len(self.requests), len(reply)) - 1]
        return GenResult((reply if isinstance(reply, Sample) else Sample(reply, "stop"),))

    def judge(self, stage, row):
        """Run a row through a stage and return what becomes of it."""
        (out,) = process_row(stage, dict(row), engines={"judge": self.engine})
        return out

    @property
    def text(self):
        """Return the last turn of the only request, the one that is not an example."""
        ((*_, turn),) = [request.messages for request in self.requests]
        assert turn["role"] == "user"
        return turn["content"]


def books(stage, *rows):
    """Return the books of a stage that gave these rows."""
    made = [{name: row[name] for name in stage.outputs.names} for row in rows]
    return BooksInMemory(len(rows), pa.Table.from_pylist(made, schema=stage.outputs))


CUT_OFF = Sample("I could go on", "length")
FILTERED = Sample("", "content_filter")
