"""Counting the rows of a plan's sources."""

import copy
import json

import pytest

from pipeline.errors import PrerequisiteError, StageBug
from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import validate_recipe
from pipeline.run.probe import count_rows
from stages.sources.load_prompts import LoadPrompts
from tests.support import QUESTIONS, short_recipe, write


def planned(tmp_path, value=None):
    value = value or short_recipe()
    write(tmp_path, value)
    return build_plan(validate_recipe(copy.deepcopy(value), "test"), tmp_path)


def test_rows_are_counted_up_to_the_limit_of_the_run(tmp_path):
    plan = planned(tmp_path)
    assert count_rows(plan) == {"prompts": len(QUESTIONS)}
    assert count_rows(plan, limit=2) == {"prompts": 2}


def test_a_source_with_more_rows_than_are_worth_counting_is_unknown(tmp_path):
    assert count_rows(planned(tmp_path), most=2) == {"prompts": None}


def test_records_that_are_set_aside_are_not_counted(tmp_path):
    plan = planned(tmp_path)
    lines = [json.dumps({"prompt": q}) for q in QUESTIONS]
    (tmp_path / "prompts.jsonl").write_text("\n".join([*lines, json.dumps({"prompt": 5})]) + "\n")
    assert count_rows(plan) == {"prompts": len(QUESTIONS)}


def test_a_missing_file_is_told_as_such(tmp_path):
    plan = planned(tmp_path)
    (tmp_path / "prompts.jsonl").unlink()
    with pytest.raises(PrerequisiteError):
        count_rows(plan)


def test_a_source_that_breaks_is_named(tmp_path):
    class Broken(LoadPrompts):
        def read(self, partition):
            raise KeyError("x")

    plan = planned(tmp_path)
    broken = Broken(plan.stages["prompts"].stage.config)
    object.__setattr__(plan.stages["prompts"], "stage", broken)
    with pytest.raises(StageBug, match="'load_prompts' raised KeyError while its rows were counted"):
        count_rows(plan)


def test_a_source_on_the_hub_is_not_asked_for_a_plan(tmp_path):
    value = short_recipe()
    value["stages"][0]["with"] = {"dataset": "someone/prompts", "revision": "abc123"}
    assert count_rows(planned(tmp_path, value), most=10) == {"prompts": None}
