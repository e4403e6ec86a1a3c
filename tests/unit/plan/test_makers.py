"""Columns that do not fit together because of how they were made are refused before any model is loaded."""

import json

import pytest

from pipeline.errors import PlanError
from pipeline.plan.fingerprint import fingerprint_plan
from pipeline.plan.makers import maker_of
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import load_recipe
from tests.support import changed, pair_recipe, prefmill, stage, write

PER_TOKEN = {"normalize": "per_own_token"}


def model_folder(path, *words):
    """A model that nobody loads: a vocabulary, and files of the names that are looked for."""
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(path.name.encode())
    vocabulary = {"model": {"vocab": {w: i for i, w in enumerate(words)}}, "added_tokens": []}
    (path / "tokenizer.json").write_text(json.dumps(vocabulary))
    return {"kind": "transformers", "model": str(path)}


def two_models(folder, weak_words, **ratio):
    value = pair_recipe()
    value["engines"]["strong"] = model_folder(folder / "strong", "a", "b")
    value["engines"]["weak"] = model_folder(folder / "weak", *weak_words)
    stage(value, "reward")["with"] = ratio
    return write(folder / "recipe", value)


def planned(recipe):
    return build_plan(load_recipe(recipe), recipe.parent)


def test_a_ratio_of_means_over_two_tokenizers_is_refused_by_plan_and_run(tmp_path):
    pytest.importorskip("transformers")
    recipe = two_models(tmp_path, ["a", "c"], **PER_TOKEN)
    for command in ("plan", "run"):
        result = prefmill(command, recipe, "--run-dir", tmp_path / "run")
        assert result.code == 2 and not (tmp_path / "run").exists()
        assert "stage 'reward' (density_ratio): the engines of stages 'strong_lp' and 'weak_lp'" in result.err


def test_one_vocabulary_or_sums_pass(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    fingerprint_plan(planned(two_models(tmp_path / "one", ["a", "b"], **PER_TOKEN)))
    fingerprint_plan(planned(two_models(tmp_path / "two", ["a", "c"], normalize="sum")))


def test_unlike_end_tokens_are_refused(tmp_path):
    recipe = write(tmp_path, changed(pair_recipe(), "stages.weak_lp.with.include_eos", False))
    with pytest.raises(PlanError, match=r"stage 'reward' \(density_ratio\).*set include_eos alike"):
        fingerprint_plan(planned(recipe))


def test_the_maker_of_a_column_is_the_nearest_stage_that_makes_it(tmp_path):
    value = pair_recipe()
    again = {"id": "again", "use": "score_logprobs", "from": "weak_lp", "roles": {"scorer": "weak"}}
    value["stages"].insert(-2, again | {"with": {"column": "strong_logprob"}})
    stage(value, "reward")["from"] = "again"
    plan = planned(write(tmp_path, value))
    reward = plan.stages["reward"]
    maker = maker_of(plan, reward, "strong_logprob")
    assert (maker.stage_id, maker.stage, maker.options["column"]) == ("again", "score_logprobs", "strong_logprob")
    assert maker.tokenizers == {"scorer": plan.engines["weak"].tokenizer_digest}
    assert maker_of(plan, reward, "weak_logprob").stage_id == "weak_lp"
    assert maker_of(plan, reward, "response").stage_id == "responses"


def test_no_stage_makes_what_the_runner_makes_or_what_a_regrouping_stage_left_behind(tmp_path):
    value = pair_recipe()
    value["stages"].append({"id": "kept", "use": "deduplicate", "with": {"column": "chosen"}})
    plan = planned(write(tmp_path, value))
    assert maker_of(plan, plan.stages["reward"], "parent_id") is None
    assert maker_of(plan, plan.stages["kept"], "weak_logprob") is None
    assert maker_of(plan, plan.stages["kept"], "chosen").stage_id == "pairs"


def test_a_column_of_another_branch_is_none_of_the_readers(tmp_path):
    value = pair_recipe()
    branch = {"id": "branch", "use": "score_logprobs", "from": "strong_lp", "roles": {"scorer": "policy"}}
    value["stages"].insert(-2, branch | {"with": {"column": "weak_logprob", "include_eos": False}})
    stage(value, "reward")["from"] = "weak_lp"
    plan = planned(write(tmp_path, value))
    assert maker_of(plan, plan.stages["reward"], "weak_logprob").stage_id == "weak_lp"
    fingerprint_plan(plan)
    stage(value, "reward")["from"] = "branch"
    with pytest.raises(PlanError, match="stages 'strong_lp' and 'branch' one scores the end-of-turn token"):
        fingerprint_plan(planned(write(tmp_path, value)))


def test_columns_of_other_names_are_followed_too(tmp_path):
    pytest.importorskip("transformers")
    value = json.loads(json.dumps(pair_recipe()).replace("strong_logprob", "above").replace("weak_logprob", "below"))
    value["engines"]["strong"] = model_folder(tmp_path / "strong", "a", "b")
    value["engines"]["weak"] = model_folder(tmp_path / "weak", "a", "c")
    stage(value, "reward")["with"] = {"numerator": "below", "denominator": "above", **PER_TOKEN}
    with pytest.raises(PlanError, match="stages 'weak_lp' and 'strong_lp' have different tokenizers"):
        fingerprint_plan(planned(write(tmp_path / "recipe", value)))
