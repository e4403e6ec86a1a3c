"""What only some stages depend on: files of their own, and what their engine offers. Others stay what they were."""

from __future__ import annotations

import sys

import pytest

from pipeline.errors import PlanError
from pipeline.plan.fingerprint import changes, fingerprint_plan
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import load_recipe
from pipeline.registry import STAGES
from pipeline.store.manifest import open_run
from tests.support import changed, files, folders, plug_in, prefmill, run, short_recipe, write

PLUG = '''
import hashlib
from pathlib import Path
import pyarrow as pa
from pipeline.api import (
    CHAT, GenRequest, PrerequisiteError, Reject, RowError, RowStage, Source, StageConfig, TableResult,
    TableStage, columns
)

class NoOptions(StageConfig):
    """No options."""

class Words(Source):
    """Three words."""
    name, version, config_type = "own_words", 1, NoOptions
    outputs = columns(word=str)
    def partitions(self):
        return ["all"]
    def read(self, partition):
        yield pa.RecordBatch.from_pylist([{"word": w} for w in ("red", "green", "blue")], schema=self.outputs)
    def digest(self):
        return {"words": "three"}

class Asks(RowStage):
    """Asks about each word."""
    name, version, config_type = "own_asks", 1, NoOptions
    inputs, outputs, engine_roles = columns(word=str), columns(answer=str), {"teller": CHAT}
    async def process_row(self, row, ctx):
        request = GenRequest(({"role": "user", "content": row["word"]},), max_tokens=8, seed=ctx.seed(row["id"]))
        result = await ctx.engine("teller").generate(request)
        return [{**row, "answer": result.samples[0].text}]

class ListOptions(StageConfig):
    """A list of words to set aside."""
    base_folder: str = "."
    list: str = "words.txt"

class SetsAside(TableStage):
    """Sets the words of a list aside."""
    name, version, config_type = "own_sets_aside", 1, ListOptions
    inputs = columns(word=str)
    def digest(self):
        path = Path(self.config.base_folder) / self.config.list
        if not path.exists():
            raise PrerequisiteError(f"no list at {path}")
        return {self.config.list: hashlib.sha256(path.read_bytes()).hexdigest()}
    def process_table(self, table, ctx):
        listed = (Path(self.config.base_folder) / self.config.list).read_text().split()
        kept = [w not in listed for w in table.column("word").to_pylist()]
        lost = [Reject({"id": r["id"], "listed": True}, "own.listed", "it is on the list")
                for r, keep in zip(table.to_pylist(), kept) if not keep]
        return TableResult(table.filter(pa.array(kept)), lost)

class Filters(SetsAside):
    """The same, and setting rows aside is its purpose."""
    name, filters = "own_filters", True

class AsksForMore(Asks):
    """Would ask for more where the engine offers it."""
    name, optional_capabilities = "own_asks_for_more", {"teller": ("json_schema", "regex")}
    async def process_row(self, row, ctx):
        offered = [c for c in ("chat", "json_schema", "regex") if ctx.engine("teller").offers(c)]
        return [{**row, "answer": " ".join(offered)}]

class AsksUnseen(AsksForMore):
    """Looks at an offer that it has not named."""
    name, optional_capabilities = "own_asks_unseen", {"teller": ("json_schema",)}
'''
CLASSES = {
    "own_words": "Words",
    "own_asks": "Asks",
    "own_asks_for_more": "AsksForMore",
    "own_asks_unseen": "AsksUnseen",
    "own_sets_aside": "SetsAside",
    "own_filters": "Filters",
}

BEFORE_THEY_EXISTED = {
    "words": "34cca511536da36923bcca3c663de309bfb4de4e11b5395fe42e0ac0f67ee61b",
    "asked": "705df388a6d7728556881499f44a5dff3415aaff60515a00300823a90234f883",
}
"""Recorded from the code before stages could name files and offers (commit 1f1f2a7)."""


@pytest.fixture(autouse=True)
def own_stages(tmp_path, monkeypatch):
    plug_in(tmp_path / "site", "plug_own", STAGES, {k: f"plug_own:{v}" for k, v in CLASSES.items()}, PLUG)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    sys.modules.pop("plug_own", None)


def recipe(*, asks="own_asks", aside=None, **limits):
    value = short_recipe()
    value["engines"] = {"teller": {"kind": "scripted", "model": "m", "revision": "r"}}
    asked = {"id": "asked", "use": asks, "roles": {"teller": "teller"}}
    further = [{"id": "aside", "use": aside}] if aside else []
    value["stages"] = [{"id": "words", "use": "own_words"}, *further, asked]
    value["limits"] |= limits
    return value


def planned(folder, value):
    return build_plan(load_recipe(write(folder, value)), folder)


def listed(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "words.txt").write_text(text)


def test_a_stage_without_files_and_offers_has_the_fingerprint_it_always_had(tmp_path):
    prints = fingerprint_plan(planned(tmp_path, recipe()))
    assert {i: f.digest for i, f in prints.items()} == BEFORE_THEY_EXISTED
    assert all(not {"files", "offered"} & f.document.keys() for f in prints.values())


def test_files_of_a_stage_are_in_its_fingerprint_and_no_others(tmp_path):
    listed(tmp_path, "green")
    prints = fingerprint_plan(planned(tmp_path, recipe(aside="own_sets_aside")))
    assert prints["aside"].document["files"].keys() == {"words.txt"}
    assert "files" not in prints["words"].document and "files" not in prints["asked"].document


def test_a_changed_file_changes_the_stage_and_what_follows_and_is_named(tmp_path):
    found = []
    for text in ("green", "green blue"):
        listed(tmp_path, text)
        found.append(fingerprint_plan(planned(tmp_path, recipe(aside="own_sets_aside"))))
    before, after = found
    assert [i for i in before if before[i].digest != after[i].digest] == ["aside", "asked"]
    assert [c.field for c in changes(before["aside"].document, after["aside"].document)] == ["files.words.txt"]


def test_a_file_that_is_not_there_is_told_by_plan_and_run_before_anything_is_written(tmp_path):
    path = write(tmp_path, recipe(aside="own_sets_aside"))
    for command in ("plan", "run"):
        result = prefmill(command, path, "--run-dir", tmp_path / "run")
        assert result.code == 2 and "no list at" in result.err and not (tmp_path / "run").exists()


def test_a_changed_file_is_refused_on_resume_and_made_again_when_asked(tmp_path):
    listed(tmp_path, "green")
    path = write(tmp_path, recipe(aside="own_sets_aside", max_reject_rate=1.0))
    assert run(path, tmp_path / "run").code == 6
    before = folders(tmp_path / "run")
    listed(tmp_path, "green blue")
    refused = run(path, tmp_path / "run")
    assert refused.code == 3 and "stage 'aside' changed in files.words.txt (" in refused.err
    assert folders(tmp_path / "run") == before
    assert run(path, tmp_path / "run", "--resume", "recompute").code == 6
    after = folders(tmp_path / "run")
    assert [i for i in before if before[i] != after[i]] == ["aside", "asked"]
    assert prefmill("status", tmp_path / "run", "--json").json["stages"][2]["rows_out"] == 1


def test_an_unchanged_file_costs_nothing_on_resume(tmp_path):
    listed(tmp_path, "green")
    path = write(tmp_path, recipe(aside="own_sets_aside"))
    run(path, tmp_path / "run")
    before = files(tmp_path / "run")
    listed(tmp_path, "green")
    assert run(path, tmp_path / "run").code == 6
    stages = {k: v for k, v in files(tmp_path / "run").items() if k.startswith("stages/")}
    assert stages == {k: v for k, v in before.items() if k.startswith("stages/")}


def test_what_an_engine_offers_is_in_the_fingerprint_of_a_stage_that_asks_for_more(tmp_path):
    document = fingerprint_plan(planned(tmp_path, recipe(asks="own_asks_for_more")))["asked"].document
    assert document["offered"] == {"teller": ["json_schema"]}


def test_a_stage_sees_the_offers_it_has_named(tmp_path):
    assert run(write(tmp_path, recipe(asks="own_asks_for_more")), tmp_path / "run").code == 0
    rows = open_run(tmp_path / "run").stages["asked"].tables(["answer"])
    assert {a for table in rows for a in table.column("answer").to_pylist()} == {"chat json_schema"}


def test_an_offer_that_is_not_in_the_fingerprint_is_not_told(tmp_path):
    result = run(write(tmp_path, recipe(asks="own_asks_unseen")), tmp_path / "run")
    assert result.code == 1 and "'regex' is not among what the stage may ask role 'teller' for" in result.err


def test_offers_of_a_role_that_the_stage_does_not_have_are_refused(tmp_path):
    code = PLUG.replace(
        'optional_capabilities = "own_asks_for_more", {"teller"',
        'optional_capabilities = "own_asks_for_more", {"judge"',
    )
    (tmp_path / "site/plug_own.py").write_text(code)
    with pytest.raises(PlanError, match="asks role 'judge' for more than it needs, but has no such role"):
        planned(tmp_path, recipe(asks="own_asks_for_more"))


@pytest.mark.parametrize(
    ("use", "of_recipe", "of_stage", "rate"),
    [
        ("own_filters", 0.1, None, 1.0),
        ("own_filters", 0.1, 0.5, 0.5),
        ("own_filters", 0.1, 0.0, 0.0),
        ("own_sets_aside", 0.1, None, 0.1),
        ("own_sets_aside", 0.1, 0.5, 0.5),
    ],
)
def test_a_filter_may_set_all_aside_unless_the_recipe_says_so_on_it(tmp_path, use, of_recipe, of_stage, rate):
    value = recipe(aside=use, max_reject_rate=of_recipe)
    if of_stage is not None:
        value = changed(value, "stages.aside.max_reject_rate", of_stage)
    plan = planned(tmp_path, value)
    assert plan.stages["aside"].max_reject_rate == rate and plan.stages["asked"].max_reject_rate == of_recipe


@pytest.mark.parametrize(("use", "code"), [("own_filters", 6), ("own_sets_aside", 5)])
def test_only_a_filter_may_set_aside_more_than_the_recipes_rate(tmp_path, use, code):
    listed(tmp_path, "green blue")
    path = write(tmp_path, recipe(aside=use, max_reject_rate=0.1))
    assert run(path, tmp_path / "run").code == code
