"""`prefmill report`: what stages say about their own work, as tables or as JSON."""

from __future__ import annotations

import sys

import pytest

from pipeline.registry import STAGES
from tests.support import files, plug_in, prefmill, run, short_recipe, write

PLUG = '''
from pipeline.api import ReportTable, RowError, RowStage, StageConfig, columns

class NoOptions(StageConfig):
    """No options."""

class Talks(RowStage):
    """Reports a table with every kind of cell."""
    name, version, config_type, filters = "own_talks", 1, NoOptions, True
    inputs = columns(response=str)
    async def process_row(self, row, ctx):
        if "bread" in row["response"]:
            raise RowError("own.bread", "it is about bread")
        return [row]
    def report(self, books):
        cells = (("kept", books.rows_out, 2 / 3, None), ("a\\nb" * 60, 1234567, 0.5, True))
        return [ReportTable("what was kept", ("what", "rows", "share", "more"), cells, note="counted by hand"),
                ReportTable("nothing", ("what", "rows"), ())]

class Silent(Talks):
    """Has nothing to say."""
    name = "own_silent"
    def report(self, books):
        return []
'''


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    classes = {"own_talks": "plug_talks:Talks", "own_silent": "plug_talks:Silent"}
    plug_in(folder / "site", "plug_talks", STAGES, classes, PLUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "site")
        for name in ("talks", "silent"):
            value = short_recipe()
            value["stages"].append({"id": name, "use": f"own_{name}"})
            assert run(write(folder / name, value), folder / name / "run").code == 6
        yield folder
    sys.modules.pop("plug_talks", None)


def test_tables_are_printed_with_title_and_note(made):
    result = prefmill("report", made / "talks/run")
    lines = result.out.splitlines()
    assert result.code == 0 and lines[1] == "talks: what was kept"
    assert lines[2].split() == ["what", "rows", "share", "more"] and lines[3].split() == ["kept", "2", "0.6667", "-"]
    assert "1,234,567" in lines[4] and lines[4].endswith("True") and "a ba b" in lines[4] and "..." in lines[4]
    assert lines[5:] == ["counted by hand", "", "talks: nothing", "what  rows"]


def test_json_has_the_cells_as_they_are(made):
    tables = prefmill("report", made / "talks/run", "--json").json["talks"]
    assert tables[0]["rows"][0] == ["kept", 2, 2 / 3, None] and tables[0]["headings"][3] == "more"
    assert [t["note"] for t in tables] == ["counted by hand", None]


def test_one_stage_may_be_asked_for_and_an_unknown_one_is_refused(made):
    assert prefmill("report", made / "talks/run", "--stage", "talks").out.startswith("\ntalks: ")
    result = prefmill("report", made / "talks/run", "--stage", "walks")
    assert result.code == 2 and "run 'short' has no stage 'walks'; its stages: prompts, responses, talks" in result.err


@pytest.mark.parametrize("options", [("silent/run",), ("talks/run", "--stage", "prompts")])
def test_a_run_whose_stages_say_nothing_points_to_status(made, options):
    result = prefmill("report", made / options[0], *options[1:])
    assert (result.code, result.out) == (0, "no stage of run 'short' has more to say than 'prefmill status'\n")


def test_nothing_is_written(made):
    before = files(made / "talks/run")
    prefmill("report", made / "talks/run")
    assert files(made / "talks/run") == before


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    assert prefmill("report", tmp_path).code == 2
