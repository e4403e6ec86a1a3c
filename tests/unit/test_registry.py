"""Stages and engines found by registered name, ours and those of other distributions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.errors import PlanError, PrerequisiteError
from pipeline.registry import ENGINES, STAGES, did_you_mean, engine_class, registered, stage_class
from tests.support import plug_in

GOOD = '''
from pipeline.api import RowStage, StageConfig
from pipeline.engines.scripted import ScriptedEngine

class Options(StageConfig):
    """Options."""

class Mine(RowStage):
    """Keeps every row."""

    name, version, config_type = "mine", 1, Options

    async def process_row(self, row, ctx):
        return [row]

class Echo(ScriptedEngine):
    kind = "echo"

class NoStage:
    name = "no_stage"
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install distributions into a folder of the search path, with modules named after them."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(distribution, group, code=GOOD, **entries):
        monkeypatch.delitem(sys.modules, distribution, raising=False)
        plug_in(tmp_path, distribution, group, entries, code)

    yield put
    for module in [m for m in sys.modules if m.startswith("plug_")]:
        del sys.modules[module]


def test_our_own_stages_and_engines_are_registered_under_our_distribution():
    assert {"load_prompts", "select_pairs"} <= registered(STAGES).keys()
    assert list(registered(ENGINES)) == ["classifier", "openai", "scripted", "transformers", "vllm", "vllm_server"]
    assert {e.distribution for e in registered(STAGES).values()} == {"prefmill"}


@pytest.mark.parametrize("name", registered(STAGES))
def test_each_stage_is_imported_by_its_name(name):
    assert stage_class(name, "here").name == name


@pytest.mark.parametrize("kind", registered(ENGINES))
def test_each_engine_is_imported_by_its_kind(kind):
    assert engine_class(kind, "here").kind == kind


def test_listing_imports_no_stage_and_no_engine():
    code = (
        "import sys; from pipeline.registry import *; registered(STAGES), registered(ENGINES);"
        "print([m for m in sys.modules if m.startswith(('stages', 'pipeline.engines.', 'torch', 'openai'))])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['pipeline.engines.base']"


def test_a_plug_ins_stage_and_engine_are_found(install):
    install("plug_good", STAGES, mine="plug_good:Mine")
    install("plug_echo", ENGINES, echo="plug_echo:Echo")
    entry = registered(STAGES)["mine"]
    assert (entry.target, entry.distribution, entry.distribution_version) == ("plug_good:Mine", "plug_good", "1.0")
    assert stage_class("mine", "here").name == "mine" and engine_class("echo", "here").kind == "echo"


def test_one_name_claimed_by_two_distributions_names_both(install):
    install("plug_a", STAGES, mine="plug_a:Mine")
    install("plug_b", STAGES, mine="plug_b:Mine")
    with pytest.raises(PlanError, match=r"'mine' is claimed by 'plug_a' \(plug_a:Mine\) and by 'plug_b'"):
        stage_class("mine", "here")


def test_a_plug_in_that_cannot_be_imported_fails_only_who_asks_for_it(install):
    install("plug_bad", STAGES, code="import no_such_module_at_all", mine="plug_bad:Mine")
    assert "mine" in registered(STAGES) and stage_class("load_domains", "here")
    with pytest.raises(
        PrerequisiteError, match="'mine' of 'plug_bad' cannot be imported: ModuleNotFoundError: No module"
    ):
        stage_class("mine", "here")


def test_a_plug_in_without_the_attribute_it_names_is_reported(install):
    install("plug_gone", STAGES, mine="plug_gone:Gone")
    with pytest.raises(PrerequisiteError, match="AttributeError"):
        stage_class("mine", "here")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"no_stage": "plug_odd:NoStage"}, "which is no Source, RowStage or TableStage"),
        ({"other": "plug_odd:Mine"}, "'other' is registered for class Mine whose name is 'mine'"),
        ({"module": "plug_odd"}, "which is no Source"),
    ],
)
def test_a_stage_entry_must_lead_to_a_stage_of_its_name(install, entries, reason):
    install("plug_odd", STAGES, **entries)
    with pytest.raises(PlanError, match=reason):
        stage_class(next(iter(entries)), "here")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [({"mine": "plug_off:Mine"}, "which is no Engine"), ({"other": "plug_off:Echo"}, "whose kind is 'echo'")],
)
def test_an_engine_entry_must_lead_to_an_engine_of_its_kind(install, entries, reason):
    install("plug_off", ENGINES, **entries)
    with pytest.raises(PlanError, match=reason):
        engine_class(next(iter(entries)), "here")


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(
        PlanError, match=r"here: stage 'load_prompt' is not registered; known: .*Did you mean 'load_prompts'"
    ):
        stage_class("load_prompt", "here")
    assert did_you_mean("zzz", ["load_prompts"]) == "" and did_you_mean("ab", []) == ""
