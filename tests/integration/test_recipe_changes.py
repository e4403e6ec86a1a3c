"""A changed recipe is refused with the field named; `--resume recompute` makes exactly the affected stages again."""

from __future__ import annotations

import copy
import json
import shutil

import pytest

from pipeline.plan.plan import build_plan
from pipeline.plan.recipe import load_recipe
from tests.support import (
    changed,
    files,
    folders,
    pair_recipe,
    prefmill,
    requests_made,
    run,
    skillmix_recipe,
    stage,
    write,
)

AFTER = {
    "prompts": ["prompts", "responses", "strong_lp", "weak_lp", "reward", "other", "pairs"],
    "responses": ["responses", "strong_lp", "weak_lp", "reward", "other", "pairs"],
    "strong_lp": ["strong_lp", "weak_lp", "reward", "other", "pairs"],
    "weak_lp": ["weak_lp", "reward", "other", "pairs"],
    "reward": ["reward", "pairs"],
    "other": ["other"],
    "pairs": ["pairs"],
}

RECORDS = [{"prompt": f"Question {i}?", "longer": f"Tell me about {i}.", "key": f"k{i}"} for i in range(5)]
SCORES = {"numerator": "strong_logprob", "denominator": "weak_logprob"}


def pairs_value():
    """The recipe under test: two rewards, the pairs from the first."""
    value = changed(pair_recipe(), "limits.shard_rows", 3)
    stage(value, "reward")["with"] = {**SCORES, "normalize": "per_own_token"}
    guarded = {**SCORES, "normalize": "per_byte", "guard_repetition": True, "repetition_reward": -2.0}
    value["stages"].insert(-1, {"id": "other", "use": "density_ratio", "from": "weak_lp", "with": guarded})
    return value


def write_pairs(folder, value, records=RECORDS):
    path = write(folder, value)
    (folder / "prompts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    shutil.copy(folder / "prompts.jsonl", folder / "same.jsonl")
    return path


def option(stage_id, name, new, field=None):
    """One option of a stage, flipped; the field that the message must name; the first stage affected."""
    return (
        f"stages.{stage_id}.with.{name}",
        new,
        f"stage '{stage_id}' changed in {field or f'config.{name} ('}",
        stage_id,
    )


def engine(name, option, new, field, first):
    return (f"engines.{name}.{option}", new, f"engines.{field} (", first)


RULE = [{"when": ".", "replies": ["One {seed}", "Two"]}]
FLIPS = {
    "seed": ("seed", 18, "seed (17 -> 18)", "responses"),
    "path": option("prompts", "path", "same.jsonl", "config.path (prompts.jsonl -> same.jsonl) and source.files ("),
    "column": option("prompts", "column", "longer"),
    "id_column": option("prompts", "id_column", "key", "config.id_column (None -> key)"),
    "keep_columns": option("prompts", "keep_columns", {"key": "string"}, "config.keep_columns"),
    "split": option("prompts", "split", "train"),
    "n": option("responses", "n", 3, "config.n (2 -> 3)"),
    "temperature": option("responses", "temperature", 1.0, "config.temperature (0.8 -> 1.0)"),
    "top_p": option("responses", "top_p", 0.9),
    "max_tokens": option("responses", "max_tokens", 64),
    "stop": option("responses", "stop", ["END"]),
    "system": option("responses", "system", "Be long.", "config.system (Be brief. -> Be long.)"),
    "logprobs": option("responses", "logprobs", False),
    "reuse": option("strong_lp", "reuse", False),
    "numerator": option("other", "numerator", "policy_logprob", "config.numerator"),
    "denominator": option("other", "denominator", "policy_logprob", "config.denominator"),
    "normalize": option("other", "normalize", "sum"),
    "guard_low_likelihood": option("reward", "guard_low_likelihood", True),
    "guard_repetition": option("reward", "guard_repetition", True),
    "repetition_reward": option("other", "repetition_reward", -3.0),
    "sigmoid_temperature": option("reward", "sigmoid_temperature", 0.5),
    "reward_column": option("other", "column", "better"),
    "score": option("pairs", "score", "strong_logprob"),
    "carry": option("pairs", "carry", {"draw": "int"}),
    "prompt_columns": option("pairs", "prompt_columns", {"prompt_tokens": "int"}),
    "rule": option("pairs", "rule", "margin"),
    "min_margin": option("pairs", "min_margin", 0.01),
    "max_pairs_per_prompt": option("pairs", "max_pairs_per_prompt", 2),
    "ties": option("pairs", "ties", "drop"),
    "tie_break_by": option("pairs", "tie_break_by", "strong_logprob"),
    "source_column": option("pairs", "source_column", "policy_scored_by"),
    "on_policy_column": option("pairs", "on_policy_column", "ours"),
    "length": option("pairs", "length", {"max_ratio": 2.0}),
    "min_candidates": option("pairs", "min_candidates", 3),
    "allow_truncated_chosen": option("pairs", "allow_truncated_chosen", True),
    "drop_truncated": option("pairs", "drop_truncated", True),
    "from": ("stages.pairs.from", "other", "stage 'pairs' changed in from (reward -> other)", "pairs"),
    "policy_model": engine("policy", "model", "policy-2", "policy.model", "responses"),
    "policy_revision": engine("policy", "revision", "r2", "policy.revision", "responses"),
    "policy_default": engine("policy", "default", "No {seed}", "policy.script", "responses"),
    "policy_rules": engine("policy", "rules", RULE, "policy.script", "responses"),
    "policy_context": engine("policy", "context_chars", 5000, "policy.script", "responses"),
    "strong_revision": engine("strong", "revision", "r2", "scorer.revision", "strong_lp"),
    "weak_revision": engine("weak", "revision", None, "scorer.revision", "weak_lp"),
    "engine_bound": ("stages.weak_lp.roles.scorer", "policy", "engines.scorer.model (weak -> policy)", "weak_lp"),
}
NOT_FOR_FILES = {"dataset", "revision", "config_name"}
NAMES_COLUMNS = {"column"}
"""For score_logprobs; the stages after it must then name the new column too."""
APART = {"include_eos", "prompt_column", "ladder", "policy_mix"}
"""Changed in tests of their own: two scores that are compared must span the same tokens; the prompt must be there."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    assert run(write_pairs(folder, pairs_value()), folder / "run").code == 0
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "work")
    return tmp_path / "work"


def check_refused(folder, path, *fields, options=()):
    """Exit code 3, the fields named, no file changed."""
    before = files(folder / "run")
    result = run(path, folder / "run", *options)
    assert (result.code, result.out) == (3, ""), result
    assert all(f in result.err for f in fields) and "Use --resume recompute" in result.err, result.err
    assert files(folder / "run") == before


def check_recomputed(folder, path, affected, options=()):
    """The affected stages have one folder more, the others the one they had; all is sound and stays so."""
    before = folders(folder / "run")
    result = run(path, folder / "run", "--resume", "recompute", *options)
    assert result.code in (0, 6), result
    after = folders(folder / "run")
    assert {s for s in after if after[s] != before.get(s)} == set(affected)
    assert all(before.get(s, set()) < after[s] and len(after[s] - before.get(s, set())) == 1 for s in affected)
    check_sound(folder, path, options)


def check_sound(folder, path, options=()):
    for record in (folder / "run/stages").glob("*/*/commits/*.json"):
        assert json.loads(record.read_bytes())["fingerprint"].startswith(record.parent.parent.name)
    assert prefmill("verify", folder / "run").code == 0
    assert run(path, folder / "run", *options).code in (0, 6) and requests_made(folder / "run") == 0


@pytest.mark.parametrize("name", FLIPS)
def test_one_changed_field_is_refused_by_name_and_recomputed_on_request(folder, name):
    path, new, field, first = FLIPS[name]
    value = changed(pairs_value(), path, new)
    if name == "engine_bound":
        del value["engines"]["weak"]
    recipe = write_pairs(folder, value)
    check_refused(folder, recipe, field)
    check_recomputed(folder, recipe, AFTER[first])


def test_every_option_that_changes_results_is_flipped_above(made):
    plan = build_plan(load_recipe(made / "recipe.yaml"), made)
    flipped = {p.split(".")[-1] for p, *_ in FLIPS.values()} | NOT_FOR_FILES | NAMES_COLUMNS | APART
    for planned in plan.stages.values():
        assert set(planned.stage.config.fingerprint_fields()) <= flipped, planned.id
    for one in plan.engines.values():
        assert set(one.config.fingerprint_fields()) <= flipped


def test_a_renamed_score_column_is_followed_by_the_stages_that_read_it(folder):
    value = changed(pairs_value(), "stages.weak_lp.with.column", "low")
    for reader in ("reward", "other"):
        value = changed(value, f"stages.{reader}.with.denominator", "low")
    recipe = write_pairs(folder, value)
    check_refused(folder, recipe, "config.column (weak_logprob -> low)", "config.denominator (weak_logprob -> low)")
    check_recomputed(folder, recipe, AFTER["weak_lp"])


def test_another_span_of_both_scores_is_refused_and_recomputed(folder):
    value = changed(pairs_value(), "stages.strong_lp.with.include_eos", False)
    recipe = write_pairs(folder, changed(value, "stages.weak_lp.with.include_eos", False))
    check_refused(folder, recipe, "stage 'strong_lp' changed in config.include_eos (True -> False)", "stage 'weak_lp'")
    check_recomputed(folder, recipe, AFTER["strong_lp"])


def test_two_scores_over_different_spans_are_no_recipe(folder):
    recipe = write_pairs(folder, changed(pairs_value(), "stages.strong_lp.with.include_eos", False))
    before = files(folder / "run")
    result = run(recipe, folder / "run", "--resume", "recompute")
    assert result.code == 2 and "set include_eos alike" in result.err and files(folder / "run") == before


def test_another_prompt_in_front_of_the_response_is_refused_and_recomputed(folder):
    value = pairs_value()
    value["stages"].insert(1, {"id": "conditioned", "use": "condition_prompts", "with": {"domain": "chat"}})
    stage(value, "responses")["from"] = "conditioned"
    recipe = write_pairs(folder, value)
    assert run(recipe, folder / "run", "--resume", "recompute").code in (0, 6)
    recipe = write_pairs(folder, changed(value, "stages.strong_lp.with.prompt_column", "conditioned_prompt"))
    check_refused(folder, recipe, "config.prompt_column (prompt -> conditioned_prompt)")
    check_recomputed(folder, recipe, AFTER["strong_lp"])


def test_changed_input_is_refused_by_file_and_recomputed(folder):
    recipe = write_pairs(folder, pairs_value(), [*RECORDS, {"prompt": "One more?"}])
    check_refused(folder, recipe, "stage 'prompts' changed in source.files (", "prompts.jsonl")
    check_recomputed(folder, recipe, AFTER["prompts"])


def test_another_way_to_write_the_same_input_is_another_input(folder):
    recipe = write_pairs(folder, pairs_value())
    (folder / "prompts.jsonl").write_text("\n" + (folder / "prompts.jsonl").read_text())
    check_refused(folder, recipe, "source.files (")


def test_a_renamed_stage_is_refused_and_made_under_its_new_name(folder):
    value = changed(pairs_value(), "stages.pairs.id", "best")
    recipe = write_pairs(folder, value)
    check_refused(folder, recipe, "stage 'pairs' is no longer in the recipe")
    check_recomputed(folder, recipe, ["best"])


def test_a_removed_stage_is_refused_and_nothing_is_made_for_it(folder):
    value = pairs_value()
    del value["stages"][-1]
    recipe = write_pairs(folder, value)
    check_refused(folder, recipe, "stage 'pairs' is no longer in the recipe")
    check_recomputed(folder, recipe, [])
    assert prefmill("status", folder / "run", "--json").json["stages"][-1]["stage"] == "other"


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (
            {"rule": "model_ladder", "ladder": ["strong", "weak"], "source_column": "policy_scored_by"},
            ["config.ladder", "config.rule (best_worst -> model_ladder)"],
        ),
        ({"policy_mix": "on_on", "on_policy_column": "strong_logprob_reused"}, ["config.policy_mix (any -> on_on)"]),
    ],
    ids=["ladder", "policy_mix"],
)
def test_options_of_pairs_that_need_others_are_refused_and_recomputed(folder, options, fields):
    value = pairs_value()
    stage(value, "pairs")["with"] |= options
    recipe = write_pairs(folder, value)
    check_refused(folder, recipe, *fields)
    check_recomputed(folder, recipe, AFTER["pairs"])


def test_an_added_stage_contradicts_nothing(folder):
    value = pairs_value()
    value["stages"].append({"id": "wide", "use": "select_pairs", "from": "other", "with": {"min_margin": 0.5}})
    recipe = write_pairs(folder, value)
    before = folders(folder / "run")
    assert run(recipe, folder / "run").code in (0, 6) and requests_made(folder / "run") == 0
    assert {k: v for k, v in folders(folder / "run").items() if k != "wide"} == before
    check_sound(folder, recipe)


def test_several_changes_are_all_named(folder):
    value = changed(changed(pairs_value(), "stages.responses.with.n", 3), "stages.pairs.with.ties", "drop")
    check_refused(folder, write_pairs(folder, value), "config.n (2 -> 3)", "config.ties (first -> drop)")


def test_the_refusal_counts_what_would_be_made_again(folder):
    value = changed(pairs_value(), "stages.reward.with.sigmoid_temperature", 1.0)
    check_refused(folder, write_pairs(folder, value), "4 committed shards of reward, pairs would be made again")


def test_overrides_and_limits_count_as_changes(folder):
    recipe = folder / "recipe.yaml"
    flip = ("--set", "stages.pairs.with.min_margin=0.01")
    check_refused(folder, recipe, "config.min_margin (0.0 -> 0.01)", options=flip)
    check_refused(folder, recipe, "limit (None -> 2)", options=("--limit", 2))
    check_recomputed(folder, recipe, AFTER["pairs"], options=flip)


def test_going_back_uses_the_rows_that_are_still_there(folder):
    recipe = write_pairs(folder, changed(pairs_value(), "stages.responses.with.temperature", 1.0))
    check_recomputed(folder, recipe, AFTER["responses"])
    before = folders(folder / "run")
    recipe = write_pairs(folder, pairs_value())
    check_refused(folder, recipe, "config.temperature (1.0 -> 0.8)")
    assert run(recipe, folder / "run", "--resume", "recompute").code == 0
    assert requests_made(folder / "run") == 0 and folders(folder / "run") == before


def yaml_of(value):
    """The recipe with comments and every mapping's keys the other way round."""

    def turned(item):
        if isinstance(item, dict):
            return {k: turned(item[k]) for k in reversed(item)}
        return [turned(i) for i in item] if isinstance(item, list) else item

    return "# the same\n" + json.dumps(turned(value), indent=3) + "\n# as before\n"


def renamed_engines():
    value = pairs_value()
    value["engines"] = {f"the-{k}": v for k, v in value["engines"].items()}
    for entry in value["stages"]:
        entry["roles"] = {role: f"the-{name}" for role, name in entry.get("roles", {}).items()}
    return value


def without_from():
    value = pairs_value()
    for entry in value["stages"]:
        if entry["id"] not in ("pairs", "other"):
            entry.pop("from", None)
    return value


def with_defaults():
    value = changed(pairs_value(), "stages.responses.with.temperature", 0.8)
    return changed(value, "stages.pairs.with.min_margin", 0)


SAME = {
    "comment_and_key_order": yaml_of(pairs_value()),
    "renamed_engines": renamed_engines(),
    "implied_from": without_from(),
    "defaults_written_out": with_defaults(),
    "rows_in_flight": changed(pairs_value(), "limits.rows_in_flight", 3),
    "rows_ahead": changed(pairs_value(), "limits.rows_ahead", 4),
    "shard_rows": changed(pairs_value(), "limits.shard_rows", 1),
    "shard_bytes": changed(pairs_value(), "limits.shard_bytes", 1000),
    "max_reject_rate": changed(pairs_value(), "limits.max_reject_rate", 0.2),
    "stage_max_reject_rate": changed(pairs_value(), "stages.pairs.max_reject_rate", 0.1),
    "resident_engines": changed(pairs_value(), "limits.resident_engines", 3),
    "table_workers": changed(pairs_value(), "limits.table_workers", 1),
    "drain_seconds": changed(pairs_value(), "limits.drain_seconds", 0),
    "dataset": changed(pairs_value(), "dataset.license", "cc-by-4.0"),
    "latency": changed(pairs_value(), "engines.policy.latency_ms", 1.5),
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_no_row_changes_nothing(folder, name):
    recipe = folder / "recipe.yaml"
    before = files(folder / "run")
    value = SAME[name]
    recipe.write_text(value if isinstance(value, str) else json.dumps(value))
    assert run(recipe, folder / "run").code == 0
    assert requests_made(folder / "run") == 0 and files(folder / "run") == before


def test_another_folder_for_recipe_and_input_changes_nothing(folder, tmp_path):
    recipe = write_pairs(tmp_path / "elsewhere", pairs_value())
    before = files(folder / "run")
    assert run(recipe, folder / "run").code == 0 and files(folder / "run") == before


def test_never_refuses_an_existing_run_and_begins_a_new_one(folder):
    recipe = folder / "recipe.yaml"
    before = files(folder / "run")
    result = run(recipe, folder / "run", "--resume", "never")
    assert result.code == 3 and "--resume never was given" in result.err and files(folder / "run") == before
    assert run(recipe, folder / "new", "--resume", "never").code == 0


def test_another_recipe_name_is_refused_in_every_mode(folder):
    recipe = write_pairs(folder, changed(pairs_value(), "name", "other"))
    before = files(folder / "run")
    for mode in ("refuse", "recompute"):
        result = run(recipe, folder / "run", "--resume", mode)
        assert result.code == 3 and "recipe name (small -> other)" in result.err
    assert files(folder / "run") == before


def test_plan_names_the_changes_and_writes_nothing(folder):
    recipe = write_pairs(folder, changed(pairs_value(), "stages.responses.with.n", 3))
    before = files(folder / "run")
    result = prefmill("plan", recipe, "--run-dir", folder / "run")
    assert "changed since the last run: stage 'responses' changed in config.n (2 -> 3)" in result.out
    assert "nothing yet" in result.out and files(folder / "run") == before


AFTER_SYNTHESIS = ["instructions", "responses", "strong_lp", "weak_lp", "reward", "pairs"]


def own_template(text):
    """The shipped template under one's own name, with another text in front."""
    shipped = prefmill("prompts", "synthesize_skillmix/generate.v2").out.rstrip("\n")
    return shipped.replace("Write one instruction", f"{text}. Write one instruction", 1)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A finished skill-mix run with a template of one's own."""
    folder = tmp_path_factory.mktemp("mixed")
    value = skillmix_recipe()
    stage(value, "instructions")["prompts"] = {"generate.v2": "own.md"}
    recipe = write(folder, value)
    (folder / "own.md").write_text(own_template("Think"))
    assert run(recipe, folder / "run").code == 0
    return folder


@pytest.fixture
def mix(mixed, tmp_path):
    shutil.copytree(mixed, tmp_path / "work")
    return tmp_path / "work"


def test_one_changed_word_of_a_template_is_refused_and_recomputed(mix):
    (mix / "own.md").write_text(own_template("Think hard"))
    check_refused(mix, mix / "recipe.yaml", "stage 'instructions' changed in prompts.generate.v2 (")
    check_recomputed(mix, mix / "recipe.yaml", AFTER_SYNTHESIS)


def test_the_shipped_template_in_place_of_ones_own_is_a_change(mix):
    recipe = write(mix, skillmix_recipe())
    check_refused(mix, recipe, "prompts.generate.v2 (")
    check_recomputed(mix, recipe, AFTER_SYNTHESIS)


def test_a_template_of_the_same_text_under_another_path_is_the_same(mix):
    value = skillmix_recipe()
    stage(value, "instructions")["prompts"] = {"generate.v2": "moved.md"}
    (mix / "own.md").rename(mix / "moved.md")
    before = files(mix / "run")
    assert run(write(mix, value), mix / "run").code == 0 and files(mix / "run") == before


MIX_FLIPS = {
    "domains": ("stages.domains.with.domains", ["gardening"], "config.domains", "domains"),
    "topics": ("stages.skills.with.topics", 1, "config.topics (2 -> 1)", "skills"),
    "skills_per_topic": ("stages.skills.with.skills_per_topic", 4, "config.skills_per_topic", "skills"),
    "query_types": ("stages.skills.with.query_types", 4, "config.query_types", "skills"),
    "plan_n": ("stages.plan.with.n", 5, "config.n (4 -> 5)", "plan"),
    "plan_k": ("stages.plan.with.k", 1, "config.k (2 -> 1)", "plan"),
    "sampler": ("stages.plan.with.sampler", "release", "config.sampler", "plan"),
    "query_type_sampling": ("stages.plan.with.query_type_sampling", "iid", "config.query_type_sampling", "plan"),
    "mode": ("stages.instructions.with.mode", "critique_rewrite", "config.mode", "instructions"),
    "attempts": ("stages.instructions.with.attempts", 2, "config.attempts (3 -> 2)", "instructions"),
    "generator": ("engines.generator.revision", "g8", "engines.generator.revision (g7 -> g8)", "skills"),
}
MIX_ORDER = ["domains", "skills", "plan", *AFTER_SYNTHESIS]


@pytest.mark.parametrize("name", MIX_FLIPS)
def test_changes_before_and_at_a_barrier_reach_everything_after(mix, name):
    path, new, field, first = MIX_FLIPS[name]
    value = copy.deepcopy(skillmix_recipe())
    stage(value, "instructions")["prompts"] = {"generate.v2": "own.md"}
    recipe = write(mix, changed(value, path, new))
    check_refused(mix, recipe, field)
    check_recomputed(mix, recipe, MIX_ORDER[MIX_ORDER.index(first) :])
