"""The recipes of SPPO and INPO from prompts to pairs, with a scripted policy and a judge that decides by the seed."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.support import prefmill

RECIPES = Path(__file__).parents[3] / "recipes"
ENGINE = {
    "kind": "scripted",
    "model": "policy",
    "rules": [{"when": "Which response is better", "replies": ["first", "second"]}],
}
PROMPTS = 6


def run(name, folder):
    recipe = YAML(typ="safe", pure=True).load((RECIPES / f"{name}.yaml").read_text("utf-8"))
    recipe["engines"] = {"policy": ENGINE}
    for stage in recipe["stages"]:
        if stage["use"] == "load_prompts":
            stage["with"]["path"] = str(RECIPES / stage["with"]["path"])
        if stage["use"] == "rate_preferences":
            del stage["with"]["verdict"]  # the scripted engine finds a word as likely whatever it answers
    (folder / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")
    done = prefmill("run", folder / "recipe.yaml", "--run-dir", folder / "run", "--limit", PROMPTS)
    assert done.code in (0, 6), done.err
    return folder / "run"


def rows(folder, stage):
    files = sorted((folder / "stages" / stage).glob("*/data/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.fixture(scope="module")
def sppo(tmp_path_factory):
    return run("sppo", tmp_path_factory.mktemp("sppo"))


@pytest.fixture(scope="module")
def inpo(tmp_path_factory):
    return run("inpo", tmp_path_factory.mktemp("inpo"))


def test_sppo_pairs_have_the_probabilities_and_targets_of_their_matrix(sppo):
    rated = {r["prompt_id"]: r for r in rows(sppo, "preferences")}
    pairs = rows(sppo, "pairs")
    assert len(rated) == PROMPTS and pairs
    for pair in pairs:
        row = rated[pair["prompt_id"]]
        chosen, rejected = (row["response_ids"].index(pair[f"{side}_id"]) for side in ("chosen", "rejected"))
        assert pair["chosen_probs"] == row["preference_matrix"][chosen][rejected]
        assert pair["chosen_probs_win"] == max(row["win_rates"]) > min(row["win_rates"]) == pair["chosen_probs_lose"]
        assert pair["target_chosen"] == pytest.approx(1000 * (pair["chosen_probs_win"] - 0.5))
        assert pair["policy_model"] and pair["chosen"] == row["responses"][chosen]


def test_all_pairs_of_responses_were_compared_in_both_orders(sppo):
    for row in rows(sppo, "preferences"):
        assert len(row["raw_verdicts"]) == 5 * 4 and row["comparisons"] == 10 and row["unreadable"] == 0
        assert sum(row["win_rates"]) == pytest.approx(2.5) and row["nash_value"] == pytest.approx(0.5)


def test_inpo_pairs_carry_the_log_probabilities_of_both_models(inpo):
    responses = {r["id"]: r for r in rows(inpo, "previous_logprob")}
    pairs = rows(inpo, "pairs")
    assert pairs and {len(r["bracket"]) for r in rows(inpo, "preferences")} == {10}
    for pair in pairs:
        for side in ("chosen", "rejected"):
            response = responses[pair[f"{side}_id"]]
            assert pair[side] == response["response"] and response["prompt_id"] == pair["prompt_id"]
            assert pair[f"ref_{side}_logps"] == response["ref_logprob"]
            assert pair[f"prev_{side}_logps"] == response["prev_logprob"]
            assert math.isclose(pair[f"mixed_{side}_logps"], response["ref_logprob"])  # the first round: both are one
        assert pair["preference_prob"] is None or 0 <= pair["preference_prob"] <= 1


@pytest.mark.parametrize("name", ["sppo", "inpo"])
def test_the_books_of_every_stage_balance(name, request):
    folder = request.getfixturevalue(name)
    assert prefmill("verify", folder).code == 0
    shown = prefmill("status", folder)
    assert shown.code == 0 and "pairs" in shown.out
