"""Rejects of table stages: the row as it was, under the evidence that the stage gives."""

from __future__ import annotations

import json
import sys

import pytest

from pipeline.registry import STAGES
from pipeline.store.manifest import open_run
from tests.support import plug_in, run, short_recipe, write

PLUG = '''
import pyarrow as pa
from pipeline.api import Reject, StageConfig, TableResult, TableStage, columns

class Options(StageConfig):
    """Options."""
    say: str
    scope: str = "shard"

class Aside(TableStage):
    """Sets every row aside but those about books, saying of each what the option names."""
    name, version, config_type, filters = "own_aside", 1, Options, True
    inputs = columns(prompt_text=str)
    def process_table(self, table, ctx):
        rows = [r for r in table.to_pylist() if "book" not in r["prompt_text"]]
        kept = table.filter(pa.array(["book" in t for t in table.column("prompt_text").to_pylist()], pa.bool_()))
        says = {
            "id": lambda r: {"id": r["id"]},
            "evidence": lambda r: {"id": r["id"], "similar_to": "x1", "share": 0.5},
            "row": lambda r: r,
            "row_and_evidence": lambda r: {**r, "share": 0.5},
            "nothing": lambda r: {},
            "foreign": lambda r: {"id": "nobody"},
        }
        lost = [Reject(says[self.config.say](r), "own.aside", "not about books") for r in rows]
        return TableResult(kept, lost)

class AsideOfAll(Aside):
    """The same over all rows."""
    name, scope = "own_aside_of_all", "dataset"
'''


@pytest.fixture(autouse=True)
def own_stages(tmp_path, monkeypatch):
    classes = {"own_aside": "plug_aside:Aside", "own_aside_of_all": "plug_aside:AsideOfAll"}
    plug_in(tmp_path / "site", "plug_aside", STAGES, classes, PLUG)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    sys.modules.pop("plug_aside", None)


def made(folder, use, say):
    value = short_recipe()
    source = {"path": "prompts.jsonl", "keep_columns": {"prompt_text": "string"}}
    value["stages"] = [{"id": "prompts", "use": "load_prompts", "with": source}]
    value["stages"].append({"id": "aside", "use": use, "with": {"say": say}})
    del value["engines"]
    path = write(folder, value)
    lines = [{"prompt": t, "prompt_text": t} for t in ("bread", "a book", "the sky", "more bread", "two books")]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run(path, folder / "run")


def rejected(folder):
    tables = open_run(folder / "run").stages["aside"].reject_tables()
    return [{**r, "row": json.loads(r["row"])} for t in tables for r in t.to_pylist()]


@pytest.mark.parametrize("use", ["own_aside", "own_aside_of_all"])
@pytest.mark.parametrize(
    ("say", "evidence"),
    [
        ("id", {}),
        ("evidence", {"similar_to": "x1", "share": 0.5}),
        ("row", {}),
        ("row_and_evidence", {"share": 0.5}),
    ],
)
def test_the_original_row_is_kept_under_the_evidence(tmp_path, use, say, evidence):
    assert made(tmp_path, use, say).code == 6
    lost = rejected(tmp_path)
    assert [r["row"]["prompt_text"] for r in lost] == ["bread", "the sky", "more bread"]
    assert all(r["id"] == r["input_id"] == r["row"]["id"] for r in lost)
    assert all(r["row"] == {k: r["row"][k] for k in ("id", "prompt", "prompt_text")} | evidence for r in lost)
    assert lost[0]["row"]["prompt"] == [{"role": "user", "content": "bread"}]


@pytest.mark.parametrize(
    ("say", "reason"), [("nothing", "rejected a row without saying its 'id'"), ("foreign", "3 not accounted for")]
)
def test_a_reject_of_no_row_is_a_bug_of_the_stage(tmp_path, say, reason):
    result = made(tmp_path, "own_aside_of_all", say)
    assert result.code == 1 and reason in result.err
