"""`prefmill trace` shows the whole descent of a pair, from its two responses up to the skills."""

from __future__ import annotations

import json

import pytest

from pipeline.prompts import load_prompt
from pipeline.store.manifest import open_run
from tests.support import changed, pair_recipe, prefmill, run, skillmix_recipe, write

TEMPLATES = ("topics.v2", "skills.v2", "query_types.v2")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mix")
    assert run(write(folder, skillmix_recipe()), folder / "run").code == 0
    return folder / "run"


def rows(folder, stage):
    return [r for table in open_run(folder).stages[stage].tables() for r in table.to_pylist()]


@pytest.fixture(scope="module")
def pair(made):
    return rows(made, "pairs")[0]


@pytest.fixture(scope="module")
def text(made, pair):
    result = prefmill("trace", made, pair["id"])
    assert result.code == 0 and result.err == ""
    return result.out


@pytest.fixture(scope="module")
def levels(made, pair):
    return {level["stage"]: level for level in prefmill("trace", made, pair["id"], "--json").json}


def test_the_levels_lead_from_the_pair_to_the_domain(levels):
    assert list(levels) == [
        "pairs",
        "reward",
        "weak_lp",
        "strong_lp",
        "responses",
        "instructions",
        "plan",
        "skills",
        "domains",
    ]


def test_both_responses_are_shown(text, levels, pair):
    responses = {r["id"]: r["response"] for r in levels["responses"]["rows"]}
    assert (responses[pair["chosen_id"]], responses[pair["rejected_id"]]) == (pair["chosen"], pair["rejected"])
    assert pair["chosen"][:80] in text and pair["rejected"][:80] in text


def test_both_log_probabilities_of_both_responses_are_shown(text, levels, pair):
    for side in ("strong", "weak"):
        found = {r["id"]: r[f"{side}_logprob"] for r in levels[f"{side}_lp"]["rows"]}
        assert found.keys() == {pair["chosen_id"], pair["rejected_id"]}
        assert all(f"{side}_logprob: {json.dumps(v)}" in text for v in found.values())


def test_the_rewards_are_the_ones_that_chose_the_pair(text, levels, pair):
    found = {r["id"]: r["reward"] for r in levels["reward"]["rows"]}
    assert (found[pair["chosen_id"]], found[pair["rejected_id"]]) == (pair["score_chosen"], pair["score_rejected"])
    assert f"reward: {json.dumps(pair['score_chosen'])}" in text


def test_the_skills_of_the_instruction_are_shown_by_name_and_definition(text, levels):
    planned = levels["plan"]["rows"][0]
    skills = {r["id"]: r for r in levels["skills"]["rows"]}
    assert [skills[i]["name"] for i in planned["skill_ids"]] == planned["skills"] and len(planned["skills"]) == 2
    assert skills[planned["query_type_id"]]["kind"] == "query_type"
    assert all(
        name in text and skills[i]["definition"] in text
        for name, i in zip(planned["skills"], planned["skill_ids"], strict=True)
    )


def test_prompt_templates_are_named_with_their_digests(text, levels):
    asked = [
        ("synthesize_skillmix", "generate.v2", "instructions"),
        *(("extract_skills", t, "skills") for t in TEMPLATES),
    ]
    for stage, name, level in asked:
        digest = load_prompt(stage, name).digest
        assert levels[level]["made_by"]["prompts"][name] == digest and f"template {name}: sha256 {digest}" in text


def test_models_and_revisions_are_named(text, levels):
    expected = {
        "skills": ("generator", "g7"),
        "instructions": ("generator", "g7"),
        "responses": ("policy", "r1"),
        "strong_lp": ("strong", "r1"),
        "weak_lp": ("weak", "r1"),
    }
    for level, (model, revision) in expected.items():
        (engine,) = levels[level]["made_by"]["engines"].values()
        assert (engine["model"], engine["revision"]) == (model, revision)
        assert f"model {model}, revision {revision}" in text


def test_the_seeds_of_run_and_sample_are_shown(text, levels):
    assert "run seed 17" in text and all(level["made_by"].get("seed", 17) == 17 for level in levels.values())
    seeds = {r["sample_seed"] for r in levels["responses"]["rows"]}
    assert len(seeds) == 1 and f"sample_seed: {seeds.pop()}" in text


def test_options_and_columns_are_shown_where_they_were_set(text, levels):
    assert levels["responses"]["made_by"]["config"]["system"] == "Be brief."
    assert "domain: home cooking" in text and levels["domains"]["made_by"]["source"] == {"domains": ["home cooking"]}
    assert "response" not in levels["reward"]["rows"][0] and "reward_guard" in levels["reward"]["rows"][0]


def test_a_row_of_a_middle_stage_is_shown_from_its_last_stage_upwards(made, pair):
    levels = prefmill("trace", made, pair["prompt_id"], "--json").json
    assert [level["stage"] for level in levels] == ["instructions", "plan", "skills", "domains"]


def test_an_id_that_no_stage_holds_is_refused(made):
    result = prefmill("trace", made, "0" * 32)
    assert result.code == 2 and f"no row '{'0' * 32}' in run 'mix'" in result.err


def test_a_further_pair_of_a_prompt_is_traced_through_its_two_sides(tmp_path):
    value = changed(pair_recipe(), "stages.responses.with.n", 4)
    value = changed(value, "stages.pairs.with", {"rule": "margin", "max_pairs_per_prompt": 3})
    assert run(write(tmp_path, value), tmp_path / "run").code in (0, 6)
    further = next(r for r in rows(tmp_path / "run", "pairs") if not r["candidate_ids"])
    levels = {v["stage"]: v for v in prefmill("trace", tmp_path / "run", further["id"], "--json").json}
    assert {r["response"] for r in levels["responses"]["rows"]} == {further["chosen"], further["rejected"]}
    assert len(levels["prompts"]["rows"]) == 1
