"""The shipped recipes fit our stages: options are known, columns flow, every prompt of ours can be used."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from pipeline.api import Reject
from pipeline.registry import stage_class
from pipeline.schema import merge, missing_or_unlike
from pipeline.stage import keeps_columns

RECIPES = Path(__file__).parents[3] / "recipes"


def load(path):
    return YAML(typ="safe", pure=True).load(path.read_text("utf-8"))


def build(entry):
    cls = stage_class(entry["use"], entry["id"])
    config = dict(entry["with"])
    if "base_folder" in cls.config_type.model_fields:
        config["base_folder"] = str(RECIPES)
    return cls(cls.config_type(**config))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_columns_flow_through_the_recipe(path):
    recipe, present = load(path), {}
    for entry in recipe["stages"]:
        stage = build(entry)
        before = present.get(entry.get("from"), pa.schema([]))
        have = merge(before, pa.schema([("id", pa.string())]))
        assert not missing_or_unlike(stage.inputs, have), entry["id"]
        assert set(entry.get("roles", {})) == set(stage.engine_roles)
        assert set(entry.get("roles", {}).values()) <= set(recipe["engines"])
        present[entry["id"]] = merge(before if keeps_columns(stage) else pa.schema([]), stage.outputs)


def test_quickstart_instructions_are_distinct_and_name_two_skills_each():
    lines = (RECIPES / "data/quickstart_instructions.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({r["prompt"].casefold() for r in rows}) == len(rows) >= 72
    assert all(len(set(r["skills"])) == 2 and r["query_type"] for r in rows)


def test_quickstart_prompts_are_all_read():
    stage = build(load(RECIPES / "quickstart.yaml")["stages"][0])
    stage.digest()
    items = [item for part in stage.partitions() for item in stage.read(part)]
    assert not any(isinstance(item, Reject) for item in items) and sum(item.num_rows for item in items) >= 72
