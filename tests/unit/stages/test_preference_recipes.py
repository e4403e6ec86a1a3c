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


def run(name, folder, **limits):
    recipe = YAML(typ="safe", pure=True).load((RECIPES / f"{name}.yaml").read_text("utf-8"))
    recipe["engines"] = {"policy": ENGINE}
    recipe["limits"] |= limits
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


def exported(folder, to):
    assert prefmill("export", folder, "--to", to).code == 0
    return {file.name.split("-")[0]: pq.read_table(file) for file in (to / "data").glob("*.parquet")}


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("sppo", {"chosen_probs", "chosen_probs_win", "chosen_probs_lose", "iteration", "policy_model"}),
        ("inpo", {"preference_prob", "ref_chosen_logps", "ref_rejected_logps", "prev_chosen_logps"}),
        ("inpo", {"prev_rejected_logps", "chosen_ref_logprob_tokens", "ref_logprob_tokenizer", "ref_logprob_eos"}),
    ],
)
def test_what_a_trainer_reads_is_exported_and_a_prompt_lies_in_one_split(name, named, request, tmp_path):
    splits = exported(request.getfixturevalue(name), tmp_path / "data")
    assert all(named <= set(table.column_names) for table in splits.values())
    prompts = [prompt for table in splits.values() for prompt in table.column("prompt_id").to_pylist()]
    assert len(prompts) == len(set(prompts)) > 1
    first = next(iter(splits.values())).to_pylist()[0]
    assert first["prompt"][-1]["role"] == "user" and [turn["role"] for turn in first["chosen"]] == ["assistant"]


def test_the_size_of_shards_changes_no_pair(sppo, tmp_path):
    small = rows(run("sppo", tmp_path, shard_rows=1), "pairs")
    assert sorted(small, key=lambda r: r["id"]) == sorted(rows(sppo, "pairs"), key=lambda r: r["id"])


def test_par_measures_against_references_of_another_model_in_the_same_recipe(tmp_path):
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Why {i}?"}) + "\n" for i in range(3)))
    stages = [
        ("prompts", "load_prompts", {}, {"path": "prompts.jsonl"}),
        ("references", "sample_responses", {"policy": "start"}, {"n": 2}),
        ("ref_scored", "score_logprobs", {"scorer": "judge"}, {"column": "reference_reward"}),
        ("groups", "group_responses", {}, {"lists": {"reference_reward": "float"}}),
        ("responses", "sample_responses", {"policy": "policy"}, {"n": 3}),
        ("scored", "score_logprobs", {"scorer": "judge"}, {"column": "reward"}),
        ("shaped", "shape_rewards", {}, {"reference_rewards": "reference_reward", "max_references": None}),
    ]
    recipe = {"recipe": 1, "name": "par", "seed": 5, "limits": {"shard_rows": 1}}
    recipe["engines"] = {name: {"kind": "scripted", "model": name} for name in ("start", "policy", "judge")}
    recipe["stages"] = [{"id": i, "use": use, "roles": roles, "with": given} for i, use, roles, given in stages]
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")
    assert prefmill("run", tmp_path / "recipe.yaml", "--run-dir", tmp_path / "run").code == 0
    references = rows(tmp_path / "run", "ref_scored")
    shaped = rows(tmp_path / "run", "shaped")
    assert len(shaped) == 9
    for row in shaped:
        own = [r["reference_reward"] for r in references if r["prompt_id"] == row["prompt_id"]]
        expected = sum(1 / (1 + math.exp(r - row["reward"])) for r in own) / 2
        assert len(own) == 2 and row["shaped_reward"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sppo", "inpo"])
def test_the_books_of_every_stage_balance(name, request):
    folder = request.getfixturevalue(name)
    assert prefmill("verify", folder).code == 0
    shown = prefmill("status", folder)
    assert shown.code == 0 and "pairs" in shown.out
