"""Figures of engines: added up over processes, rates made from sums, shown by `prefmill status`."""

import json

import pytest

from pipeline.store.figures import added_up, described
from tests.support import prefmill, run, short_recipe, write

ONE = {
    "vllm": "0.32.0",
    "context": 2048,
    "busy_s": 2.0,
    "prompt_tokens": 100,
    "generated_tokens": 300,
    "drafts": 10,
    "draft_tokens": 40,
    "accepted_tokens": 30,
    "acceptance": 0.75,
    "mean_accepted_length": 4.0,
    "deaths": 1,
    "asked_again": 5,
}
OTHER = {
    **ONE,
    "drafts": 30,
    "draft_tokens": 120,
    "accepted_tokens": 10,
    "acceptance": 0.0833,
    "deaths": 0,
    "asked_again": 0,
}


def test_numbers_are_added_and_rates_made_from_the_sums():
    sums = added_up([ONE, OTHER])
    assert (sums["generated_tokens"], sums["busy_s"], sums["deaths"]) == (600, 4.0, 1)
    assert sums["acceptance"] == pytest.approx(40 / 160) and sums["mean_accepted_length"] == 2.0


def test_facts_that_are_no_numbers_are_listed_once_and_a_context_is_not_added():
    sums = added_up([ONE, OTHER])
    assert sums["vllm"] == ["0.32.0"] and sums["context"] == [2048]


def test_a_line_says_tokens_rate_faults_and_acceptance():
    assert described("policy", added_up([ONE, OTHER])) == (
        "engine policy: 200 tokens read, 600 made; 200 tokens/s over 4 s; died 1 times, 5 requests asked again; "
        "proposals accepted 25.0%, mean accepted length 2.00"
    )


def test_an_engine_without_figures_says_so():
    assert described("weak", {}) == "engine weak: no figures kept"


def test_status_shows_what_engines_left(tmp_path):
    recipe = write(tmp_path, short_recipe())
    assert run(recipe, tmp_path / "run").code == 0
    (tmp_path / "run/engines/policy").mkdir(parents=True)
    (tmp_path / "run/engines/policy/a-0.json").write_text(json.dumps(ONE))
    assert "proposals accepted 75.0%" in prefmill("status", tmp_path / "run").out
    assert prefmill("status", tmp_path / "run", "--json").json["engines"]["policy"]["drafts"] == 10
