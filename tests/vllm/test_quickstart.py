"""The quickstart with its engines switched to vLLM: a dataset, under other fingerprints than the embedded engine's."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from pipeline.plan.fingerprint import fingerprint_plan
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import load_engines, load_recipe
from pipeline.store.manifest import open_run
from tests.integration.harness import prefmill, start

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
QUICKSTART, ENGINES = RECIPES / "quickstart.yaml", RECIPES / "engines/quickstart-vllm.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("quickstart")
    process = start(place, "run", QUICKSTART, "--engines", ENGINES, "--run-dir", "run", "--limit", 12)
    _, err = process.communicate(timeout=850)
    assert process.returncode in (0, 6), err
    return place


def test_it_ends_in_a_dataset_that_loads(folder, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    done = prefmill(folder, "export", "run", "--to", "dataset")
    assert done.returncode == 0, done.stderr
    pairs = datasets.load_dataset(str(folder / "dataset"), split="train")
    assert len(pairs) >= 6 and {"prompt", "chosen", "rejected"} <= set(pairs.column_names)


def test_strong_scores_of_samples_that_read_back_alike_are_reused_and_weak_ones_never(folder):
    tables = open_run(folder / "run").stages["weak_logprob"].tables()
    rows = [row for table in tables for row in table.to_pylist()]
    assert any(r["strong_logprob_reused"] for r in rows) and not any(r["weak_logprob_reused"] for r in rows)


def test_the_run_keeps_figures_of_each_engine(folder):
    found = {p.parent.name: json.loads(p.read_bytes()) for p in (folder / "run/engines").glob("*/*.json")}
    assert found["policy"]["generated_tokens"] > 0 and found["weak"]["scored"] > 0
    assert found["policy"]["vllm"].startswith("0.3") and found["weak"]["deaths"] == 0


def test_fingerprints_differ_from_those_of_the_embedded_engine():
    plans = [build_plan(load_recipe(QUICKSTART, o), RECIPES) for o in ({}, load_engines(ENGINES))]
    plain, switched = (fingerprint_plan(plan) for plan in plans)
    assert plain["prompts"] == switched["prompts"]
    assert all(plain[i].digest != switched[i].digest for i in plain if i != "prompts")
