"""Reports of stages, computed from what is committed, whatever state the run is in."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.canonical import canonical_json
from pipeline.errors import PlanError, PrerequisiteError, StageBug
from pipeline.publish.stage_reports import CommittedBooks, stage_reports
from pipeline.registry import STAGES, stage_class
from pipeline.schema import columns
from pipeline.types import Reject
from tests.support import plug_in

PLUG = '''
from pipeline.api import ReportTable, RowStage, StageConfig, columns

class CountConfig(StageConfig):
    """Options."""
    unit: str = "rows"

class Count(RowStage):
    """Counts what it was given."""
    name, version, config_type = "own_count", 2, CountConfig
    async def process_row(self, row, ctx):
        return [row]
    def report(self, books):
        lost = [(r.row["id"], r.row["why"], r.code) for r in books.rejected()]
        rows = sum(b.num_rows for b in books.rows(["id"]))
        given = sum(b.num_rows for b in books.input_rows(["id"]))
        table = ReportTable(self.config.unit, ("in", "out", "read", "given", "lost"),
                            ((books.rows_in, books.rows_out, rows, given, lost),), note="a note")
        return [table, ReportTable("codes", ("code", "n"), tuple(sorted(books.rejects.items())))]

class Fails(Count):
    """Has a report that fails."""
    name = "own_fails"
    def report(self, books):
        return 1 / 0
'''
IDS = columns(id=str)
CASES, FILES = {}, {}
for part in sorted((Path(__file__).parents[2] / "contract/cases").glob("*.py")):
    made = runpy.run_path(str(part))
    CASES |= made["CASES"]
    FILES |= made.get("FILES", {})


@pytest.fixture(autouse=True)
def own_stages(tmp_path, monkeypatch):
    classes = {"own_count": "plug_report:Count", "own_fails": "plug_report:Fails"}
    plug_in(tmp_path / "site", "plug_report", STAGES, classes, PLUG)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    sys.modules.pop("plug_report", None)


def rows(prefix, n):
    return [{"id": f"{prefix}{i}"} for i in range(n)]


def lost(row_id):
    return Reject({"id": row_id, "why": "odd"}, "own.odd", "it is odd")


def add_counted(builder, shards, rejects=None, **changes):
    facts = {"version": 2, "config": {"unit": "prompts"}, "upstream_stage": "prompts"} | changes
    builder.add("counted", changes.pop("use", "own_count"), IDS, shards, rejects, **facts)


def only_table(view):
    return stage_reports(view, "counted")["counted"][0]


def test_a_report_sees_rows_rejects_and_input(builder):
    add_counted(builder, [rows("p", 4), rows("q", 3), rows("r", 4)], [[], [lost("q3")], []])
    tables = stage_reports(builder.write(), "counted")["counted"]
    assert tables[0].rows == ((12, 11, 11, 12, [("q3", "odd", "own.odd")]),)
    assert (tables[0].title, tables[0].note, tables[1].rows) == ("prompts", "a note", (("own.odd", 1),))


def test_a_stage_without_a_report_is_left_out(builder):
    view = builder.write()
    assert stage_reports(view, "prompts") == {} and stage_reports(view, "responses") == {}


def test_input_of_an_unfinished_stage_is_what_its_committed_shards_were_made_from(builder):
    add_counted(builder, [rows("p", 4), rows("q", 3)], [[], [lost("q3")]])
    view = builder.write(unfinished=("counted",))
    assert not view.finished and only_table(view).rows[0][:4] == (8, 7, 7, 8)


def test_a_stage_that_waits_for_all_rows_was_given_all_of_them_once_it_has_run(builder):
    add_counted(builder, [rows("p", 12)], barrier=True)
    assert only_table(builder.write()).rows[0][:4] == (12, 12, 12, 12)


@pytest.mark.parametrize("barrier", [True, False])
def test_a_stage_that_has_not_begun_was_given_nothing(builder, barrier):
    add_counted(builder, [], barrier=barrier)
    assert only_table(builder.write(unfinished=("counted",))).rows == ((0, 0, 0, 0, []),)


def test_a_source_has_no_input(view):
    assert list(CommittedBooks(view, view.stages["prompts"]).input_rows(["id"])) == []


def test_one_stage_may_be_asked_for(builder):
    add_counted(builder, [rows("p", 12)])
    view = builder.write()
    assert list(stage_reports(view, "counted")) == ["counted"] and stage_reports(view, "responses") == {}


def test_a_stage_that_is_not_there_is_named_with_those_that_are(view):
    with pytest.raises(PrerequisiteError, match="run 'demo' has no stage 'pears'; its stages: prompts, responses"):
        stage_reports(view, "pears")


def test_rows_of_another_version_are_not_counted_by_this_one(builder):
    add_counted(builder, [rows("p", 12)], version=1)
    with pytest.raises(PrerequisiteError, match="run as version 1 of 'own_count'; version 2 is installed"):
        stage_reports(builder.write(), "counted")


def test_a_stage_that_is_not_installed_is_named(builder):
    add_counted(builder, [rows("p", 12)], use="own_gone")
    with pytest.raises(PlanError, match="own_gone"):
        stage_reports(builder.write(), "counted")


def test_a_report_that_fails_is_a_bug_of_its_stage(builder):
    add_counted(builder, [rows("p", 12)], use="own_fails")
    with pytest.raises(StageBug, match=r"report of stage 'counted' \(own_fails\) raised ZeroDivisionError"):
        stage_reports(builder.write(), "counted")


@pytest.mark.parametrize("name", CASES)
def test_a_shipped_stage_is_built_again_from_what_its_fingerprint_keeps(name, tmp_path, monkeypatch):
    for file, text in FILES.items():
        (tmp_path / file).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    cls = stage_class(name, "here")
    fields = cls.config_type(**CASES[name][0]).fingerprint_fields()
    again = cls(cls.config_type.model_validate(json.loads(canonical_json(fields))))
    assert again.config.fingerprint_fields() == fields


class NothingYet:
    """The books of a stage that has not begun."""

    rows_in = rows_out = 0
    rejects: Mapping[str, int] = {}

    def rows(self, columns):
        return iter(())

    def input_rows(self, columns):
        return iter(())

    def rejected(self):
        return iter(())


@pytest.mark.parametrize("name", CASES)
def test_a_shipped_stage_that_has_not_begun_reports_whole_tables(name, tmp_path, monkeypatch):
    for file, text in FILES.items():
        (tmp_path / file).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    cls = stage_class(name, "here")
    tables = cls(cls.config_type(**CASES[name][0])).report(NothingYet())
    assert all(len(row) == len(t.headings) for t in tables for row in t.rows)
    assert all(t.title and t.headings for t in tables)
