"""What the plan says of the AutoRule recipes: requests as products, and a rule set that cannot be used told at once."""

import json
from pathlib import Path

import pytest
import yaml

from pipeline.api import PrerequisiteError
from pipeline.plan.cost import plan_costs
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import validate_recipe
from tests.support import changed

RECIPES = Path(__file__).parents[3] / "recipes"


def costs(name, count, **changes):
    """Return formula and number of requests by stage, if the recipe's source has so many rows."""
    value = yaml.safe_load((RECIPES / f"{name}.yaml").read_text("utf-8"))
    for path, new in changes.items():
        value = changed(value, path.replace("__", "."), new)
    plan = build_plan(validate_recipe(value, name), RECIPES)
    found = plan_costs(plan, {value["stages"][0]["id"]: count})
    return {c.stage_id: (c.calls.formula, c.calls.value, c.calls.at_most) for c in found}


@pytest.mark.parametrize(("prompts", "n", "k"), [(80, 2, 10), (7, 8, 3)])
def test_scores_cost_a_request_for_each_prompt_response_and_rule(tmp_path, prompts, n, k):
    (tmp_path / "r.json").write_text(json.dumps([f"The response has part {i}." for i in range(k)]), "utf-8")
    given = {"stages__responses__with__n": n, "stages__scores__with": {"rules": str(tmp_path / "r.json")}}
    given["engines__verifier"] = {"kind": "scripted"}
    assert costs("autorule", prompts, **given)["scores"] == ("prompts x n x K", prompts * n * k, False)
    given["stages__scores__with"] |= {"verdict_from": "scoring"}
    assert costs("autorule", prompts, **given)["scores"] == ("prompts x n x K x verdicts", 3 * prompts * n * k, False)


def test_merging_is_asked_for_once_a_run_whatever_the_number_of_pairs():
    found = costs("autorule_extract", 12)
    assert found["explained"] == ("pairs", 12, False) and found["rules"] == ("pairs", 12, False)
    assert found["merged"] == ("1 x merge_batches", None, False)


def test_checking_rules_costs_a_verdict_for_each_response_and_rule():
    assert costs("autorule_validate", 20)["verdicts"] == ("responses x K x verdicts", 600, False)


def test_a_rule_set_of_which_no_rule_was_kept_is_told_before_a_model_is_loaded(tmp_path):
    (tmp_path / "kept.jsonl").write_text('{"rule": "The response is kind.", "kept": false}\n' * 2, "utf-8")
    with pytest.raises(PrerequisiteError, match="none of its 2 rows is 'kept'"):
        costs("autorule", 1, stages__scores__with__rules=str(tmp_path / "kept.jsonl"))
