"""Write the expected rows and rejects of every golden case: `python tests/golden/regenerate.py`.

A case is a folder `tests/golden/<stage>/` (or `<stage>/<case>/`) with `case.json`: config, input rows (none for a
source), files to write, scripted replies. The result lies beside it as `expected.json`; review its difference before
a commit.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import pyarrow as pa

from pipeline.api import GenResult, PoolResult, Reject, RowError, RowStage, Sample, ScoreResult, Source, messages_of
from pipeline.engines.base import Engine
from pipeline.registry import stage_class
from pipeline.testing import ScriptedContext, process_table
from pipeline.types import EngineConfig

HERE = Path(__file__).resolve().parent


class RecordedEngine(Engine):
    """Answers from a case: the first rule whose text is in the last turn (or in the response to score).

    A rule's replies are used in turn; each is text, or an object with text, finish_reason, tokens, logprob, values.
    """

    kind, config_type, resident = "recorded", EngineConfig, False

    def __init__(self, rules):
        super().__init__(EngineConfig())
        self._rules = [(rule["when"], list(rule["replies"])) for rule in rules]

    def capabilities(self):
        return frozenset({"chat", "score_tokens", "embed"})

    def check(self):
        pass

    def identity(self):
        return {"kind": "recorded", "model": "recorded", "revision": None}

    async def open(self):
        pass

    async def close(self):
        pass

    def _next(self, text):
        replies = next(replies for when, replies in self._rules if when in text)
        return replies.pop(0) if len(replies) > 1 else replies[0]

    async def generate(self, request):
        texts = [self._next(request.messages[-1]["content"]) for _ in range(request.n)]
        samples = [Sample(**({"finish_reason": "stop"} | (t if isinstance(t, dict) else {"text": t}))) for t in texts]
        return GenResult(tuple(samples), 7, "recorded")

    async def score_tokens(self, request):
        value = self._next(request.response)
        return ScoreResult(float(value["logprob"]), value["tokens"], 7, "recorded")

    async def pool(self, request):
        return PoolResult(tuple(self._next(request.text)["values"]), 7, "recorded")


def cases():
    """Return the folders of all cases, sorted."""
    return sorted(p.parent for p in HERE.rglob("case.json"))


def stage_of(folder):
    """Return the stage that a case is about: the first folder below `tests/golden`."""
    return stage_class(folder.relative_to(HERE).parts[0], "golden")


def compute(folder):
    """Return rows and rejects of a case as JSON values."""
    cls, case = stage_of(folder), json.loads((folder / "case.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as base:
        for name, text in case.get("files", {}).items():
            (Path(base) / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        config = dict(case["config"])
        if "base_folder" in cls.config_type.model_fields:
            config["base_folder"] = base
        stage = cls(cls.config_type(**config))
        if isinstance(stage, Source):
            return _source_result(stage)
        if isinstance(stage, RowStage):
            return asyncio.run(_row_results(stage, case))
        text_columns = [pa.field(n, pa.string()) for n in case.get("text_columns", [])]
        result = process_table(stage, case["rows"], pa.schema([pa.field("id", pa.string()), *text_columns]))
        return _json(result.table.to_pylist(), result.rejects)


def _source_result(stage):
    rows, rejects = [], []
    for part in stage.partitions():
        for item in stage.read(part):
            if isinstance(item, Reject):
                rejects.append(item)
            else:
                rows += item.to_pylist()
    return _json(rows, rejects)


async def _row_results(stage, case):
    engine = RecordedEngine(case["replies"])
    context = ScriptedContext(stage, dict.fromkeys(stage.engine_roles, engine))
    out = []
    for row in case["rows"]:
        if isinstance(row.get("prompt"), str):
            row = {**row, "prompt": list(messages_of(row["prompt"]))}
        try:
            out += await stage.process_row(row, context)
        except RowError as e:
            out.append(Reject(row, e.code, e.message))
    return _json([r for r in out if not isinstance(r, Reject)], [r for r in out if isinstance(r, Reject)])


def _json(rows, rejects):
    value = {"rows": rows, "rejects": [{"row": r.row, "code": r.code, "message": r.message} for r in rejects]}
    return json.loads(json.dumps(value))


def main():
    """Write `expected.json` of every case."""
    for folder in cases():
        text = json.dumps(compute(folder), indent=1, ensure_ascii=True) + "\n"
        (folder / "expected.json").write_text(text, "utf-8")
        print(folder.relative_to(HERE))


if __name__ == "__main__":
    sys.exit(main())
