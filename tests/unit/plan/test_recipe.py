"""Recipes as files: what is read, what `--set` does; broken ones are in tests/integration/test_broken_recipes.py."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import RecipeError
from pipeline.plan.recipe import load_recipe, parse_override, parse_recipe_text, validate_recipe
from pipeline.plan.wording import explain_validation
from tests.support import pair_recipe, write

TEXT = """\
# a comment
recipe: 1
name: small
seed: 17
stages:
  - id: prompts   # another
    use: load_prompts
    with: {path: a.jsonl}
"""


def overridden(tmp_path, *texts):
    return load_recipe(write(tmp_path, pair_recipe()), dict(parse_override(t) for t in texts))


def test_a_recipe_of_few_lines_is_filled_with_defaults():
    recipe = validate_recipe(parse_recipe_text(TEXT.encode(), "a"), "a")
    assert (recipe.name, recipe.seed, recipe.stages[0].from_, recipe.engines) == ("small", 17, None, {})
    assert (recipe.limits.shard_rows, recipe.dataset.test_fraction) == (1000, 0.05)


def test_a_byte_order_mark_is_allowed():
    assert parse_recipe_text(b"\xef\xbb\xbf" + TEXT.encode(), "a")["name"] == "small"


def test_a_recipe_is_read_from_a_file(tmp_path):
    recipe = load_recipe(write(tmp_path, pair_recipe()))
    assert [s.id for s in recipe.stages][-1] == "pairs" and recipe.stages[1].with_["n"] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=0.2", ("a.b", 0.2)),
        ("a=true", ("a", True)),
        ("a=[x, y]", ("a", ["x", "y"])),
        ("a=b=c", ("a", "b=c")),
        (" a =text", ("a", "text")),
        ("a=", ("a", "")),
        ("a=null", ("a", None)),
        ("a={b: {c: 1}}", ("a", {"b": {"c": 1}})),
        ("a='0.2'", ("a", "0.2")),
        ("a=http://127.0.0.1:80/v1", ("a", "http://127.0.0.1:80/v1")),
    ],
)
def test_an_override_is_a_path_and_a_yaml_value(text, expected):
    assert parse_override(text) == expected


def test_overrides_reach_stages_by_id_and_make_missing_sections(tmp_path):
    recipe = overridden(
        tmp_path,
        "stages.pairs.with.min_margin=0.5",
        "dataset.license=mit",
        "seed=3",
        "stages.reward.max_reject_rate=0.5",
        "engines.policy.rules=[]",
    )
    stages = {s.id: s for s in recipe.stages}
    assert (stages["pairs"].with_["min_margin"], recipe.dataset.license, recipe.seed) == (0.5, "mit", 3)
    assert stages["reward"].max_reject_rate == 0.5 and recipe.engines["policy"]["rules"] == []


def test_an_override_fills_a_section_that_is_null(tmp_path):
    value = pair_recipe()
    value["stages"][4]["with"] = None
    recipe = load_recipe(write(tmp_path, value), {"stages.reward.with.normalize": "sum"})
    assert recipe.stages[4].with_ == {"normalize": "sum"}


def test_an_override_of_an_entry_that_is_no_mapping_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="'stages.a' names no entry; ids are "):
        load_recipe(write(tmp_path, {**pair_recipe(), "stages": ["a"]}), {"stages.a.use": "x"})


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inners: list[Inner] = []
    maybe: Inner | None = None


class Secret(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)
    url: int


def explained(model, value, prefix=""):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return explain_validation(caught.value, model, prefix)


def test_options_of_nested_models_are_suggested():
    assert explained(Outer, {"inners": [{}, {"sice": 1}]}) == (
        "inners[1].sice: unknown option 'sice'; known options: size. Did you mean 'size'?"
    )
    assert "maybe.sixe: unknown option 'sixe'" in explained(Outer, {"maybe": {"sixe": 1}}, "a")


def test_at_most_five_mistakes_are_listed():
    lines = explained(Outer, {f"x{i}": 1 for i in range(7)}, "engines.a").splitlines()
    assert len(lines) == 6 and lines[-1] == "and 2 more" and lines[0].startswith("engines.a.x0: unknown option")


def test_long_values_are_cut_and_secret_ones_left_out():
    assert explained(Outer, {"inners": [{"size": "y" * 500}]}).endswith("yyy...")
    assert "hunter2" not in explained(Secret, {"url": "hunter2"})


def test_a_mistake_of_the_whole_is_placed_at_the_recipe():
    assert explained(Outer, 3).startswith("recipe: input should be")
