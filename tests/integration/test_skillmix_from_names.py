"""The recipe `skillmix_from_names.yaml` bound to a server: instruction and response from given lists of names."""

from __future__ import annotations

import json
import runpy
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.harness import ROOT, assert_sound, prefmill, rows
from tests.integration.server import Ask, Server

SCRIPT = runpy.run_path(str(ROOT / "tests/integration/skillmix_script.py"))
RELEASED = ROOT.parent / "shared/data/methods_annotation/skillmix_sda_k2_1k_skills_and_query_types.json"


def reply(ask: Ask, index: int) -> str:
    return SCRIPT["reply"](ask.body, ask.text, (ask.body.get("seed") or 0) * 1000 + index)


def finished(folder: Path, *sets: str) -> Path:
    """Run the recipe in a folder to its end."""
    shutil.copy(ROOT / "recipes/skillmix_from_names.yaml", folder / "recipe.yaml")
    shutil.copytree(ROOT / "recipes/data", folder / "data")
    with Server(reply) as server:
        engine = {"generator": {"kind": "openai", "base_url": server.url, "model": "generator"}}
        (folder / "engines.yaml").write_text(json.dumps(engine))
        given = [x for s in sets for x in ("--set", s)]
        done = prefmill(folder, "run", "recipe.yaml", "--run-dir", "runs/test", "--engines", "engines.yaml", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_instructions_have_responses_personas_are_dealt_out_and_a_share_is_degraded(tmp_path):
    folder = finished(tmp_path, "stages.responses.with.share=0.5")
    written = {r["id"]: r for r in rows(folder, "instructions")}
    assert len(written) == 16 and all(r["response"] and r["critique"] for r in written.values())
    assert sorted(Counter(r["persona"] for r in written.values()).values()) == [4, 4, 4, 4]
    out = rows(folder, "responses")
    flagged = [r for r in out if r["degraded"]]
    assert 3 <= len(flagged) <= 13 and len(out) == 16
    for row in out:
        before = written[row["prompt_id"]]
        assert row["instruction"] == before["instruction"] and row["prompt"] == before["prompt"]
        assert (row["original_response"] or row["response"]) == before["response"]
    assert_sound(folder)


@pytest.mark.skipif(not RELEASED.exists(), reason="the released names lie beside the checkout, not in it")
def test_the_released_names_are_planned_with_a_fair_coverage(tmp_path):
    names = json.loads(RELEASED.read_text("utf-8"))
    (tmp_path / "skills.txt").write_text("\n".join(names["skills"]), "utf-8")
    (tmp_path / "types.txt").write_text("\n".join(names["query_type_counts"]), "utf-8")
    files = ["skills.txt", {"path": "types.txt", "kind": "query_type"}]
    plan = {"n": 1000, "k": 2, "query_type_sampling": "iid"}
    recipe = {
        "recipe": 1,
        "name": "released",
        "seed": 17,
        "stages": [
            {"id": "names", "use": "load_skills", "with": {"files": files}},
            {"id": "plan", "use": "plan_skillmix", "with": plan},
        ],
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = prefmill(tmp_path, "run", "recipe.yaml", "--run-dir", "runs/test")
    assert done.returncode == 0, done.stderr
    told = prefmill(tmp_path, "report", "runs/test", "--stage", "plan", "--json")
    coverage, evenness = json.loads(told.stdout)["plan"]
    skills = dict(zip(coverage["headings"], coverage["rows"][0], strict=True))
    assert skills["there are"] == 942 and abs(skills["z"]) < 4
    assert coverage["rows"][1][1] == 1000 and evenness["rows"][0][2] == 16
