"""From a recipe to a plan: columns, roles, segments, the JSON Schema; and fingerprints field by field."""

from __future__ import annotations

import copy
import re
import sys

import pyarrow as pa
import pytest

from pipeline.errors import PlanError
from pipeline.plan.fingerprint import changes, fingerprint_plan
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import load_recipe
from pipeline.plan.schema_json import recipe_schema
from pipeline.plan.segments import cut_segments
from pipeline.registry import ENGINES, STAGES
from tests.support import changed, pair_recipe, plug_in, prefmill, run, short_recipe, skillmix_recipe, write


def planned(folder, value):
    return build_plan(load_recipe(write(folder, value)), folder)


def test_columns_follow_the_stages(tmp_path):
    plan = planned(tmp_path, pair_recipe())
    made = {i: s.schema_out.names for i, s in plan.stages.items()}
    assert made["prompts"] == ["id", "prompt"] and made["responses"][:3] == ["id", "prompt", "parent_id"]
    beside = ("tokens", "model", "tokenizer", "eos", "prompt", "reused")
    assert made["weak_lp"] == [*made["strong_lp"], "weak_logprob", *(f"weak_logprob_{what}" for what in beside)]
    assert made["pairs"][0] == "id" and "response" not in made["pairs"]
    assert plan.stages["reward"].schema_in == plan.stages["weak_lp"].schema_out


def test_a_stage_takes_the_rows_of_the_one_before_unless_told(tmp_path):
    plan = planned(tmp_path, short_recipe())
    assert (plan.stages["prompts"].upstream, plan.stages["responses"].upstream) == (None, "prompts")
    assert plan.consumers("prompts") == ["responses"] and plan.consumers("responses") == []
    assert planned(tmp_path, pair_recipe()).downstream("weak_lp") == ["reward", "pairs"]


def test_the_rate_of_a_stage_goes_before_that_of_the_recipe(tmp_path):
    plan = planned(tmp_path, changed(short_recipe(), "stages.responses.max_reject_rate", 0.25))
    assert [s.max_reject_rate for s in plan.stages.values()] == [1.0, 0.25]


def test_templates_of_ones_own_stand_in_for_shipped_ones(tmp_path):
    value = skillmix_recipe()
    value["stages"][3]["prompts"] = {"generate.v2": "own.md"}
    text = prefmill("prompts", "synthesize_skillmix/generate.v2").out + "More.\n"
    (tmp_path / "own.md").write_text(text)
    prompts = planned(tmp_path, value).stages["instructions"].prompts
    assert prompts["generate.v2"].text == text and prompts["critique.v2"].where.endswith("critique.v2.md")


PLUG = '''
import pyarrow as pa
from pipeline.api import RowStage, StageConfig, TableStage, columns

class Options(StageConfig):
    """Options."""

class TakesId(RowStage):
    """Sets what the runner sets."""
    name, version, config_type = "takes_id", 1, Options
    outputs = columns(id=str, parent_id=str)
    async def process_row(self, row, ctx):
        return [row]

class NoId(TableStage):
    """Makes new rows without ids."""
    name, version, config_type = "no_id", 1, Options
    accounting = "derived"
    outputs = columns(a=str)
    def process_table(self, table, ctx):
        return table
'''


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("takes_id", "declares ['id', 'parent_id'] as outputs; the runner sets them"),
        ("no_id", "makes new rows, so its outputs must have 'id'"),
    ],
)
def test_a_stage_whose_declaration_cannot_work_is_refused(tmp_path, monkeypatch, stage, reason):
    plug_in(tmp_path / "site", "plug_decl", STAGES, {"takes_id": "plug_decl:TakesId", "no_id": "plug_decl:NoId"}, PLUG)
    monkeypatch.syspath_prepend(tmp_path / "site")
    value = short_recipe()
    value["stages"].append({"id": "odd", "use": stage})
    with pytest.raises(PlanError, match=re.escape(reason)):
        planned(tmp_path, value)
    sys.modules.pop("plug_decl", None)


class Resident:
    """What `cut_segments` asks of an engine."""

    def __init__(self, resident):
        self.resident = resident


class Stage:
    """What `cut_segments` asks of a stage."""

    def __init__(self, name, *engines, barrier=False):
        self.id, self.roles, self.is_barrier = name, dict(zip("abc", engines, strict=False)), barrier


ENGINES_OF_TEST = {"big": Resident(True), "large": Resident(True), "far": Resident(False)}


@pytest.mark.parametrize(
    ("stages", "most", "expected"),
    [
        ([Stage("p"), Stage("r", "big"), Stage("s", "big")], 1, [("p", "r", "s")]),
        ([Stage("p"), Stage("r", "big"), Stage("s", "large"), Stage("t")], 1, [("p", "r"), ("s", "t")]),
        ([Stage("r", "big"), Stage("s", "large")], 2, [("r", "s")]),
        ([Stage("r", "big"), Stage("f", "far"), Stage("s", "big")], 1, [("r", "f", "s")]),
        ([Stage("r", "big"), Stage("s", "large"), Stage("t", "big")], 1, [("r",), ("s",), ("t",)]),
        ([Stage("p"), Stage("both", "big", "large"), Stage("t")], 1, [("p", "both", "t")]),
        ([Stage("p"), Stage("b", barrier=True), Stage("r", "big")], 1, [("p",), ("b", "r")]),
        ([Stage("r", "big"), Stage("b", "big", barrier=True)], 1, [("r",), ("b",)]),
        ([], 1, []),
    ],
)
def test_segments_end_where_another_model_must_be_loaded_or_all_rows_be_there(stages, most, expected):
    assert cut_segments(stages, ENGINES_OF_TEST, most) == tuple(expected)


def test_a_plan_without_resident_engines_is_cut_at_barriers_only(tmp_path):
    assert [s[0] for s in planned(tmp_path, skillmix_recipe()).segments] == ["domains", "plan"]


def test_fingerprints_name_all_that_changes_rows(tmp_path):
    document = fingerprint_plan(planned(tmp_path, pair_recipe()))["responses"].document
    assert document["engines"]["policy"]["revision"] == "r1" and document["config"]["system"] == "Be brief."
    assert (document["seed"], document["from"], document["lineage"], document["package"]) == (
        17,
        "prompts",
        ["parent_id"],
        None,
    )


def test_equal_recipes_give_equal_fingerprints_wherever_they_lie(tmp_path):
    first, second = (fingerprint_plan(planned(tmp_path / n, pair_recipe())) for n in "ab")
    assert {i: f.digest for i, f in first.items()} == {i: f.digest for i, f in second.items()}
    assert all(f.short == f.digest[:16] and len(f.digest) == 64 for f in first.values())


def test_a_change_reaches_everything_after_it_and_is_told_once(tmp_path):
    before = fingerprint_plan(planned(tmp_path, pair_recipe()))
    after = fingerprint_plan(planned(tmp_path, changed(pair_recipe(), "stages.weak_lp.with.reuse", False)))
    assert [i for i in before if before[i].digest != after[i].digest] == ["weak_lp", "reward", "pairs"]
    assert [str(c) for c in changes(before["weak_lp"].document, after["weak_lp"].document)] == [
        "config.reuse (True -> False)"
    ]
    assert changes(before["reward"].document, after["reward"].document) == []


def test_the_limit_belongs_to_the_source_only(tmp_path):
    plan = planned(tmp_path, short_recipe())
    whole, part = fingerprint_plan(plan), fingerprint_plan(plan, 2)
    assert [str(c) for c in changes(whole["prompts"].document, part["prompts"].document)] == ["limit (None -> 2)"]
    assert "limit" not in part["responses"].document


def test_a_foreign_stages_distribution_is_part_of_the_fingerprint(tmp_path, monkeypatch):
    code = PLUG.replace("columns(id=str, parent_id=str)", "columns(extra=str)").replace("takes_id", "fine")
    plug_in(tmp_path / "site", "plug_fine", STAGES, {"fine": "plug_fine:TakesId"}, code)
    monkeypatch.syspath_prepend(tmp_path / "site")
    value = short_recipe()
    value["stages"].append({"id": "more", "use": "fine"})
    assert fingerprint_plan(planned(tmp_path, value))["more"].document["package"] == "plug_fine==1.0"
    sys.modules.pop("plug_fine", None)


def test_changes_are_worded_by_dotted_path_and_cut():
    old = {"a": {"b": 1, "c": "x" * 80}, "upstream": "u", "d": "0" * 64, "e": {}}
    new = {"a": {"b": 2, "c": "y" * 80}, "upstream": "v", "d": "1" * 64, "f": None}
    words = [str(c) for c in changes(old, new)]
    assert words == [
        "a.b (1 -> 2)",
        f"a.c ({'x' * 57}... -> {'y' * 57}...)",
        "d (00000000.. -> 11111111..)",
        "e ({} -> None)",
        "f (None -> None)",
    ]


def resolve(schema, reference):
    return schema["$defs"][reference["$ref"].removeprefix("#/$defs/")]


def test_the_json_schema_covers_the_options_of_every_stage_and_engine():
    schema = recipe_schema()
    rules = {
        r["if"]["properties"]["use"]["const"]: r["then"]["properties"]["with"]
        for r in schema["$defs"]["StageSpec"]["allOf"]
    }
    assert "temperature" in resolve(schema, rules["sample_responses"])["properties"]
    assert "base_folder" not in resolve(schema, rules["load_prompts"])["properties"]
    assert set(rules) == set(schema["$defs"]["StageSpec"]["properties"]["use"]["enum"])
    engines = schema["properties"]["engines"]["additionalProperties"]
    kinds = {r["if"]["properties"]["kind"]["const"]: resolve(schema, r["then"]) for r in engines["allOf"]}
    assert set(kinds) == set(engines["properties"]["kind"]["enum"]) and "model" in kinds["openai"]["properties"]
    assert kinds["scripted"]["properties"]["kind"] == {"const": "scripted"}


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from references(item)


def test_every_reference_of_the_json_schema_leads_somewhere():
    schema = recipe_schema()
    found = set(references(copy.deepcopy(schema)))
    assert found and all(r.removeprefix("#/$defs/") in schema["$defs"] for r in found)


def test_broken_plug_ins_are_left_out_of_the_json_schema(tmp_path, monkeypatch):
    plug_in(tmp_path, "plug_broken", STAGES, {"broken": "plug_broken:X"}, "raise RuntimeError('no')")
    plug_in(tmp_path, "plug_broken_engine", ENGINES, {"broken": "plug_broken_engine:X"}, "raise RuntimeError('no')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "stage_broken" not in recipe_schema()["$defs"]


def test_what_the_source_gives_is_what_was_planned(tmp_path):
    value = changed(short_recipe(), "stages.prompts.with.keep_columns", {"n": "int"})
    path = write(tmp_path, value)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a", "n": 3}\n')
    assert build_plan(load_recipe(path), tmp_path).stages["prompts"].schema_out.field("n").type == pa.int64()
    assert run(path, tmp_path / "run").code == 0
