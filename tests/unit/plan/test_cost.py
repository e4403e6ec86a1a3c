"""Requests of a plan as products of factors; the stages are the shipped ones."""

import copy

import pytest

from pipeline.api import Factor
from pipeline.plan.cost import Quantity, plan_costs
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import validate_recipe
from tests.support import changed, pair_recipe, skillmix_recipe, write


def costs(tmp_path, value, counts):
    write(tmp_path, value)
    plan = build_plan(validate_recipe(copy.deepcopy(value), "test"), tmp_path)
    return {(c.stage_id, c.role): c.calls for c in plan_costs(plan, counts)}


def test_requests_multiply_down_the_chain(tmp_path):
    found = costs(tmp_path, pair_recipe(), {"prompts": 100})
    assert {k[0]: (q.formula, q.value) for k, q in found.items()} == {
        "responses": ("prompts", 100),
        "strong_lp": ("prompts x n", 200),
        "weak_lp": ("prompts x n", 200),
    }


def test_a_count_that_is_not_known_leaves_a_formula(tmp_path):
    found = costs(tmp_path, pair_recipe(), {"prompts": None})
    assert (found["weak_lp", "scorer"].formula, found["weak_lp", "scorer"].value) == ("prompts x n", None)


def test_a_stage_that_may_lose_rows_makes_the_rest_an_upper_bound(tmp_path):
    value = pair_recipe()
    value["stages"].insert(1, {"id": "distinct", "use": "deduplicate", "from": "prompts", "with": {"column": "prompt"}})
    found = costs(tmp_path, changed(value, "stages.responses.from", "distinct"), {"prompts": 3})
    assert found["responses", "policy"].at_most and found["responses", "policy"].value == 3


def test_no_filter_is_thought_to_keep_everything(tmp_path):
    benchmark = tmp_path / "items.jsonl"
    benchmark.write_text('{"question": "Who was the first to walk on the moon in that year?"}\n')
    value = pair_recipe()
    against = [{"name": "b", "path": str(benchmark), "columns": ["question"]}]
    clean = {"id": "clean", "use": "decontaminate", "from": "prompts", "with": {"benchmarks": against}}
    value["stages"].insert(1, clean)
    found = costs(tmp_path, changed(value, "stages.responses.from", "clean"), {"prompts": 3})
    assert found["responses", "policy"].at_most and found["responses", "policy"].value == 3


def test_a_plan_of_n_instructions_starts_a_count_of_its_own(tmp_path):
    found = costs(tmp_path, skillmix_recipe(), {"domains": 2})
    made = next(q for (stage, _), q in found.items() if stage == "instructions")
    assert made.value is not None and "n of plan_skillmix" in made.formula
    assert found[next(k for k in found if k[0] == "skills")].value is None


@pytest.mark.parametrize(("factor", "shown"), [("n", "rows x n"), ("n - 1", "rows x (n - 1)")])
def test_a_formula_puts_what_has_spaces_in_brackets(factor, shown):
    assert Quantity((Factor("rows", 2), Factor(factor, 3))).formula == shown
