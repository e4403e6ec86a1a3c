"""A whole run: a scorer that is the policy takes the log-probabilities of sampling; any other is asked for each row."""

from __future__ import annotations

import json

import pytest

from pipeline.store.manifest import open_run
from tests.support import QUESTIONS, changed, pair_recipe, run, stage, write

ROWS = 2 * len(QUESTIONS)


def one_engine_twice():
    """Up to the scores; the policy scores as well, as in the quickstart, and sees the prompts as they are."""
    value = changed(pair_recipe(), "stages.strong_lp.roles.scorer", "policy")
    del value["engines"]["strong"]
    del stage(value, "responses")["with"]["system"]
    value["stages"] = value["stages"][:-2]
    return value


def scored(folder, value):
    """Run a recipe; return how many requests the strong scorer got, and its rows."""
    assert run(write(folder, value), folder / "run").code == 0
    progress = json.loads((folder / "run" / "progress.json").read_bytes())["stages"]
    rows = [r for t in open_run(folder / "run").stages["strong_lp"].tables() for r in t.to_pylist()]
    return next(s["requests"] for s in progress if s["stage_id"] == "strong_lp"), rows


def test_a_scorer_that_is_the_policy_is_asked_nothing(tmp_path):
    requests, rows = scored(tmp_path, one_engine_twice())
    assert requests == 0 and len(rows) == ROWS
    assert all(r["strong_logprob_reused"] and r["strong_logprob"] == r["policy_logprob"] for r in rows)


def test_reused_figures_are_those_of_a_second_pass(tmp_path):
    _, taken = scored(tmp_path / "a", one_engine_twice())
    requests, asked = scored(tmp_path / "b", changed(one_engine_twice(), "stages.strong_lp.with.reuse", False))
    assert requests == ROWS
    assert [r | {"strong_logprob_reused": False} for r in taken] == asked


def test_two_engines_of_one_identity_count_as_one(tmp_path):
    value = changed(one_engine_twice(), "stages.strong_lp.roles.scorer", "twin")
    value["engines"]["twin"] = value["engines"]["policy"] | {"latency_ms": 1.0}
    assert scored(tmp_path, value)[0] == 0


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("stages.strong_lp.roles.scorer", "weak"),
        ("stages.responses.with.system", "Be brief."),
        ("stages.responses.with.max_tokens", 3),
        ("stages.responses.with.logprobs", False),
        ("stages.strong_lp.with.include_eos", False),
    ],
    ids=["another_engine", "system_text", "cut_off", "no_logprobs", "no_end_token"],
)
def test_the_scorer_is_asked_for_each_row(tmp_path, path, new):
    requests, rows = scored(tmp_path, changed(one_engine_twice(), path, new))
    assert requests == ROWS
    assert not any(r["strong_logprob_reused"] for r in rows)
