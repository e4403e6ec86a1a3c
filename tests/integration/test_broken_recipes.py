"""Broken recipes end before any model is loaded: exit code 2, one message that names the place, nothing stored."""

from __future__ import annotations

import copy
import json

import pytest

from tests.support import changed, files, pair_recipe, prefmill, run, short_recipe, stage, write

GOOD = pair_recipe()
TEXT = json.dumps(GOOD)
REMOTE = "https://models.example.org/v1"


def without(path):
    """Return the good recipe with one key left out."""
    value = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    here = value
    for part in parents:
        here = stage({"stages": here}, part) if isinstance(here, list) else here[part]
    del here[last]
    return value


def stages(*entries):
    """Return the good recipe with other stages."""
    return {**copy.deepcopy(GOOD), "stages": list(entries)}


def engine(name, **options):
    """Return the good recipe with another engine under one name."""
    return changed(GOOD, f"engines.{name}", options)


SOURCE = GOOD["stages"][0]
MESSAGES = {"id": "m", "use": "sample_responses", "roles": {"policy": "policy"}}

NOT_A_RECIPE = {
    "empty_file": ("", "holds nothing"),
    "only_a_comment": ("# nothing here\n", "holds nothing"),
    "a_list": ("[1, 2]", "holds a list; expected a mapping"),
    "a_word": ("hello", "holds text; expected a mapping"),
    "a_number": ("17", "holds a int; expected a mapping"),
    "unclosed_bracket": ("recipe: 1\nstages: [", "is not valid YAML"),
    "tab_as_indent": ("recipe: 1\nlimits:\n\tshard_rows: 2\n", "line 3"),
    "duplicate_key": (TEXT[:-1] + ', "seed": 18}', 'duplicate key "seed"'),
    "python_tag": ("recipe: !!python/object/apply:os.getcwd []\n", "line 1: tags are not read"),
    "own_tag": ("recipe: 1\nname: !name x\n", "line 2: tags are not read"),
    "alias": ("recipe: 1\ndataset: *a\n", "line 2: aliases are not read"),
    "anchor": ("recipe: 1\nlimits: &a {shard_rows: 2}\ndataset: *a\n", "line 2: anchors are not read"),
    "two_documents": ("recipe: 1\n---\nrecipe: 1\n", "is not valid YAML"),
    "control_character": (b"recipe: 1\x00\n", "is not valid YAML"),
    "not_utf8": (TEXT.encode() + b"\n# caf\xe9\n", "is not UTF-8 text"),
    "too_large": ("#" * 1_000_001, "1,000,001 bytes; at most 1,000,000 are read"),
    "deep_nesting": ("recipe: " + "[" * 2000, "nested"),
    "endless_number": ("seed: 1" + "0" * 5000, "is not valid YAML"),
    "date": (TEXT[:-1] + ', "dataset": {"description": 2026-01-01}}', "dataset.description"),
    "lone_surrogate": (TEXT.replace("Be brief.", r"Be \ud800 brief."), "stages[1].with.system"),
}

SHAPE = {
    "version_two": (changed(GOOD, "recipe", 2), "recipe: input should be 1; got 2"),
    "version_as_text": (changed(GOOD, "recipe", "one"), "recipe: input should be 1"),
    "no_version": (without("recipe"), "recipe: missing; add it"),
    "no_name": (without("name"), "name: missing; add it"),
    "no_seed": (without("seed"), "seed: missing; add it"),
    "no_stages": (without("stages"), "stages: missing; add it"),
    "stages_empty": (stages(), "stages: list should have at least 1 item"),
    "stages_a_mapping": (changed(GOOD, "stages", {"a": 1}), "stages: input should be a valid list"),
    "stage_a_word": (stages("load_prompts"), "stages[0]:"),
    "unknown_key": (changed(GOOD, "seeds", 1), "unknown option 'seeds'; known options:"),
    "unknown_key_near": (changed(GOOD, "limit", {}), "Did you mean 'limits'?"),
    "unknown_limit": (changed(GOOD, "limits.shard_row", 2), "limits.shard_row: unknown option 'shard_row'"),
    "unknown_limit_near": (changed(GOOD, "limits.shard_row", 2), "Did you mean 'shard_rows'?"),
    "unknown_dataset_key": (changed(GOOD, "dataset.licence", "x"), "Did you mean 'license'?"),
    "unknown_stage_key": (changed(GOOD, "stages.pairs.role", {}), "Did you mean 'roles'?"),
    "unknown_stage_key_form": (changed(GOOD, "stages.pairs.form", "x"), "Did you mean 'from'?"),
    "stage_without_id": (stages({"use": "load_prompts"}), "stages[0].id: missing; add it"),
    "stage_without_use": (stages({"id": "a"}), "stages[0].use: missing; add it"),
    "use_null": (changed(GOOD, "stages.pairs.use", None), "stages[5].use"),
    "id_with_traversal": (changed(GOOD, "stages.pairs.id", "../x"), "stages[5].id: '../x' is no name"),
    "id_hidden": (changed(GOOD, "stages.pairs.id", ".x"), "'.x' is no name"),
    "id_with_slash": (changed(GOOD, "stages.pairs.id", "a/b"), "'a/b' is no name"),
    "id_empty": (changed(GOOD, "stages.pairs.id", ""), "'' is no name"),
    "id_number": (changed(GOOD, "stages.pairs.id", 7), "stages[5].id"),
    "id_long": (changed(GOOD, "stages.pairs.id", "x" * 101), "is no name"),
    "id_newline": (changed(GOOD, "stages.pairs.id", "x\n"), "is no name"),
    "name_with_traversal": (changed(GOOD, "name", "../../etc"), "name: '../../etc' is no name"),
    "name_null": (changed(GOOD, "name", None), "name: input should be a valid string"),
    "engine_name": (changed(GOOD, "engines", {"a b": {"kind": "scripted"}}), "'a b' is no name"),
    "duplicate_ids": (stages(SOURCE, SOURCE), "stages[1].id 'prompts' is taken by an earlier stage"),
    "seed_negative": (changed(GOOD, "seed", -1), "seed: input should be greater than or equal to 0"),
    "seed_too_large": (changed(GOOD, "seed", 2**63), "seed: input should be less than"),
    "seed_text": (changed(GOOD, "seed", "abc"), "seed: input should be a valid integer"),
    "seed_fraction": (changed(GOOD, "seed", 1.5), "seed: input should be a valid integer"),
    "seed_hexadecimal_without_end": (TEXT.replace('"seed": 17', '"seed": 0x' + "f" * 6000), "seed"),
    "shard_rows_zero": (changed(GOOD, "limits.shard_rows", 0), "limits.shard_rows"),
    "rows_in_flight_huge": (changed(GOOD, "limits.rows_in_flight", 10**9), "limits.rows_in_flight"),
    "reject_rate_percent": (changed(GOOD, "limits.max_reject_rate", 5), "limits.max_reject_rate"),
    "reject_rate_nan": (TEXT.replace('"max_reject_rate": 1.0', '"max_reject_rate": .nan'), "limits.max_reject_rate"),
    "stage_reject_rate": (changed(GOOD, "stages.pairs.max_reject_rate", -1), "stages[5].max_reject_rate"),
    "drain_too_long": (changed(GOOD, "limits.drain_seconds", 60), "limits.drain_seconds"),
    "table_workers": (changed(GOOD, "limits.table_workers", 65), "limits.table_workers"),
    "test_fraction": (changed(GOOD, "dataset.test_fraction", 1), "dataset.test_fraction"),
    "engines_a_list": (changed(GOOD, "engines", []), "engines: input should be a valid dictionary"),
    "engine_a_word": (changed(GOOD, "engines.policy", "gpt"), "engines.policy: input should be a valid dictionary"),
    "engine_number_as_name": ("recipe: 1\nname: a\nseed: 1\nengines: {1: {kind: scripted}}\nstages: []\n", "engines"),
    "many_mistakes": (
        {**GOOD, "stages": [{"id": f"../{i}", "use": "load_prompts"} for i in range(8)]},
        "and 3 more",
    ),
}

FIT = {
    "unknown_stage": (changed(GOOD, "stages.pairs.use", "select_pair"), "Did you mean 'select_pairs'?"),
    "unknown_stage_place": (changed(GOOD, "stages.pairs.use", "nope"), "stages[5] 'pairs'.use: stage 'nope' is not"),
    "unknown_engine_kind": (
        engine("policy", kind="scriptd"),
        "engines.policy: engine kind 'scriptd' is not registered",
    ),
    "unknown_engine_kind_near": (engine("policy", kind="open_ai"), "Did you mean 'openai'?"),
    "engine_without_kind": (engine("policy", model="m"), "engines.policy.kind: missing"),
    "engine_kind_number": (engine("policy", kind=3), "engines.policy.kind"),
    "engine_option": (engine("policy", kind="scripted", modle="m"), "Did you mean 'model'?"),
    "engine_option_type": (engine("policy", kind="scripted", context_chars="many"), "engines.policy.context_chars"),
    "engine_rule_option": (
        engine("policy", kind="scripted", rules=[{"when": "x", "reply": "y"}]),
        "engines.policy.rules[0]",
    ),
    "unused_engine": (changed(GOOD, "engines.spare", {"kind": "scripted"}), "engines.spare: no stage is bound to it"),
    "unbound_role": (without("stages.responses.roles"), "role 'policy' of stage 'responses' is not bound"),
    "unknown_role": (changed(GOOD, "stages.responses.roles.polcy", "policy"), "Did you mean 'policy'?"),
    "role_of_unknown_engine": (changed(GOOD, "stages.responses.roles.policy", "polic"), "Did you mean 'policy'?"),
    "role_where_none_is": (changed(GOOD, "stages.pairs.roles", {"judge": "weak"}), "its roles: none"),
    "engine_without_capability": (
        engine("strong", kind="openai", model="m", base_url="http://127.0.0.1:9/v1"),
        "needs capability 'score_tokens', but engine 'strong' (openai) offers only chat",
    ),
    "missing_column": (
        changed(GOOD, "stages.reward.with", {"numerator": "stronger_logprob"}),
        "stage 'reward' (density_ratio) needs column 'stronger_logprob' as double, but stage 'weak_lp' provides it",
    ),
    "missing_column_near": (
        changed(GOOD, "stages.reward.with", {"numerator": "stronger_logprob"}),
        "Did you mean 'strong_logprob'?",
    ),
    "wrong_column_type": (
        changed(GOOD, "stages.reward.with", {"numerator": "response"}),
        "needs column 'response' as double, but stage 'weak_lp' holds it as string",
    ),
    "option_unknown": (
        changed(GOOD, "stages.responses.with", {"temprature": 1}),
        "stages[1] 'responses'.with.temprature: stage 'sample_responses' has no option 'temprature'; known options:",
    ),
    "option_near": (changed(GOOD, "stages.responses.with", {"temprature": 1}), "Did you mean 'temperature'?"),
    "option_type": (changed(GOOD, "stages.responses.with", {"n": "two"}), "stages[1] 'responses'.with.n"),
    "option_range": (changed(GOOD, "stages.responses.with", {"n": 0}), "with.n: input should be greater than"),
    "option_infinite": (TEXT.replace('"n": 2', '"n": 2, "temperature": .inf'), "with.temperature"),
    "option_nan": (TEXT.replace('"n": 2', '"n": 2, "temperature": .nan'), "with.temperature"),
    "option_missing": (changed(GOOD, "stages.prompts.with", {}), "exactly one of 'path' and 'dataset'"),
    "option_path_escapes_nothing": (changed(GOOD, "stages.prompts.with", {"path": ""}), "with.path"),
    "options_a_list": (changed(GOOD, "stages.responses.with", [1]), "stages[1].with: input should be a valid dict"),
    "from_nothing": (changed(GOOD, "stages.pairs.from", "rewards"), "no stage 'rewards' comes before it"),
    "from_near": (changed(GOOD, "stages.pairs.from", "rewards"), "Did you mean 'reward'?"),
    "from_itself": (changed(GOOD, "stages.pairs.from", "pairs"), "no stage 'pairs' comes before it"),
    "from_later": (changed(GOOD, "stages.responses.from", "weak_lp"), "no stage 'weak_lp' comes before it"),
    "source_with_from": (changed(GOOD, "stages.prompts.from", "pairs"), "takes none; remove 'from: pairs'"),
    "first_is_no_source": (stages(MESSAGES), "needs rows, but no stage comes before it; start with a source"),
    "prompts_override_unknown": (
        changed(GOOD, "stages.responses.prompts", {"generate.v2": "x.md"}),
        "stage 'sample_responses' uses no template 'generate.v2' under this config; it uses none",
    ),
    "hub_data_without_revision": (
        changed(GOOD, "stages.prompts.with", {"dataset": "a/b"}),
        "dataset 'a/b' needs a 'revision' that does not move",
    ),
}

OUTSIDE = {
    "input_missing": (changed(GOOD, "stages.prompts.with.path", "no.jsonl"), "no.jsonl' is not there"),
    "input_of_unknown_kind": (changed(GOOD, "stages.prompts.with.path", "recipe.yaml"), "has the ending '.yaml'"),
    "input_column_missing": (changed(GOOD, "stages.prompts.with.column", "question"), "no column 'question'"),
    "input_folder_empty": (changed(GOOD, "stages.prompts.with.path", "empty"), "no .parquet, .jsonl or .json file"),
    "base_url_elsewhere": (
        engine("policy", kind="openai", model="m", base_url=REMOTE),
        "engines.policy.base_url: a recipe may name only this machine",
    ),
    "base_url_without_scheme": (engine("policy", kind="openai", model="m", base_url="localhost"), "base_url"),
    "key_missing": (
        engine("policy", kind="openai", model="m", base_url_env="PREFMILL_TEST_URL", api_key_env="PREFMILL_TEST_KEY"),
        "environment variable PREFMILL_TEST_KEY is not set",
    ),
    "model_package_missing": (
        engine("policy", kind="transformers", model="package:no_such_package/model.gguf"),
        "no_such_package",
    ),
    "model_file_missing": (engine("policy", kind="transformers", model="/no/such/model.gguf"), "not found"),
    "model_not_pinned": (engine("policy", kind="transformers", model="owner/name"), "set revision to a commit"),
    "body_with_date": (
        json.dumps(engine("policy", kind="openai", model="m", base_url="http://127.0.0.1:9/v1")).replace(
            '"model": "m"', '"model": "m", "extra_body": {"until": 2026-01-01}'
        ),
        "engines.policy.extra_body.until",
    ),
    "body_with_infinity": (
        json.dumps(engine("policy", kind="openai", model="m", base_url="http://127.0.0.1:9/v1")).replace(
            '"model": "m"', '"model": "m", "extra_body": {"until": -.inf}'
        ),
        "engines.policy.extra_body.until",
    ),
    "body_with_numbered_key": (
        json.dumps(engine("policy", kind="openai", model="m", base_url="http://127.0.0.1:9/v1")).replace(
            '"model": "m"', '"model": "m", "extra_body": {"logit_bias": {17: 1}}'
        ),
        "engines.policy.extra_body.logit_bias",
    ),
}

EVERY = {**NOT_A_RECIPE, **SHAPE, **FIT, **OUTSIDE}


def check(result, folder, expected):
    """One message on standard error that names the place, exit code 2, no rows stored."""
    assert (result.code, result.out) == (2, ""), result
    assert result.err.startswith("error: ") and "Traceback" not in result.err
    assert expected in result.err
    assert not [name for name in files(folder) if name.startswith("stages/")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFMILL_TEST_URL", REMOTE)
    (tmp_path / "recipe" / "empty").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("name", EVERY)
def test_a_broken_recipe_ends_with_one_message(folder, name):
    value, expected = EVERY[name]
    result = run(write(folder / "recipe", value), folder / "run")
    check(result, folder / "run", expected)


def test_a_scripted_rule_that_is_no_regular_expression_is_named(folder):
    value = engine("policy", kind="scripted", rules=[{"when": "(", "replies": ["y"]}])
    check(run(write(folder / "recipe", value), folder / "run"), folder / "run", "engines.policy.rules[0].when")


def test_a_refused_address_is_not_printed_because_it_may_hold_a_password(folder):
    value = engine("policy", kind="openai", model="m", base_url="https://me:secret@models.example.org/v1")
    result = run(write(folder / "recipe", value), folder / "run")
    check(result, folder / "run", "engines.policy.base_url")
    assert "secret" not in result.err


@pytest.mark.parametrize("name", [*NOT_A_RECIPE, *FIT])
def test_validate_says_the_same_and_creates_nothing(folder, name):
    value, expected = EVERY[name]
    check(prefmill("validate", write(folder / "recipe", value)), folder / "runs", expected)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("name", sorted(OUTSIDE.keys() - {"key_missing"}))
def test_plan_says_the_same_and_creates_nothing(folder, name):
    value, expected = OUTSIDE[name]
    check(prefmill("plan", write(folder / "recipe", value)), folder / "runs", expected)
    assert not (folder / "runs").exists()


def test_a_recipe_that_is_not_there_is_named(folder):
    check(run(folder / "no.yaml", folder / "run"), folder / "run", "no.yaml' cannot be read: No such file")


def test_a_folder_is_no_recipe(folder):
    check(run(folder, folder / "run"), folder / "run", "cannot be read: Is a directory")


def test_an_empty_input_file_is_refused(folder):
    path = write(folder / "recipe", GOOD, questions=())
    check(run(path, folder / "run"), folder / "run", "has no rows")


def test_a_recipe_that_a_link_leads_to_nowhere_is_refused(folder):
    (folder / "link.yaml").symlink_to("gone.yaml")
    check(run(folder / "link.yaml", folder / "run"), folder / "run", "cannot be read")


OVERRIDES = {
    "no_sign": ("seed", "expected path=value"),
    "no_path": ("=3", "expected path=value"),
    "bad_yaml": ("seed=[", "the value is not valid YAML"),
    "tag": ("name=!!python/name:os.system", "tags are not read"),
    "anchor": ("engines.policy=&a {x: *a}", "are not read"),
    "deep": ("name=" + "[" * 2000, "nested"),
    "infinite": ("stages.responses.with.temperature=.inf", "stages.responses.with.temperature is inf"),
    "date": ("dataset.description=2026-01-01", "dataset.description"),
    "unknown_stage": ("stages.nope.with.n=3", "'stages.nope' names no entry; ids are prompts, responses"),
    "unknown_option": ("stages.responses.with.m=3", "has no option 'm'"),
    "unknown_top": ("sed=3", "unknown option 'sed'"),
    "unknown_section": ("limit.rows=3", "unknown option 'limit'"),
    "end_in_list": ("stages.responses=3", "'stages' is a list; name one entry's field"),
    "through_text": ("name.first=x", "'name' holds text, not a mapping"),
    "through_deeper_text": ("name.first.last=x", "'name.first' is inside text, not a mapping"),
    "through_number": ("seed.x=1", "'seed' holds a int, not a mapping"),
    "empty_part": ("limits..rows=3", "limits"),
    "wrong_type": ("seed=abc", "seed: input should be a valid integer"),
    "empty_value": ("seed=", "seed: input should be a valid integer"),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_bad_override_ends_with_one_message(folder, name):
    text, expected = OVERRIDES[name]
    result = run(write(folder / "recipe", GOOD), folder / "run", "--set", text)
    check(result, folder / "run", expected)


TEMPLATE = '---\nname: generate\nversion: 1\ninputs: [task, json]\nsource: "mine"\n---\n'
TEMPLATES = {
    "missing_file": (None, "own.md' cannot be read: No such file"),
    "no_header": ("Write {{ task }}.", "has no header; it must start with '---'"),
    "header_without_inputs": ("---\nname: a\nversion: 1\nsource: x\n---\n", "has a header that cannot be read"),
    "header_not_yaml": ("---\nname: [\n---\n", "the header of prompt template"),
    "header_a_list": ("---\n- a\n---\n", "has a header that cannot be read"),
    "header_deep": ("---\nname: " + "[" * 2000 + "\n---\n", "nested"),
    "other_inputs": (TEMPLATE.replace("task, ", ""), "the stage gives ['json', 'task']"),
    "syntax_error": (TEMPLATE + "{% if %}", "does not compile"),
    "unknown_filter": (TEMPLATE + "{{ task | attr('x') }}", "does not compile"),
    "unclosed_block": (TEMPLATE + "{% for s in task %}", "does not compile"),
    "not_utf8": (TEMPLATE.encode() + b"caf\xe9", "is not UTF-8 text"),
    "too_large": (TEMPLATE + "x" * 100_001, "at most 100,000 are read"),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_bad_template_of_ones_own_ends_with_one_message(folder, name):
    text, expected = TEMPLATES[name]
    path = write(folder / "recipe", synthesis({"generate.v2": "own.md"}))
    if text is not None:
        (folder / "recipe/own.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    check(run(path, folder / "run"), folder / "run", expected)


def synthesis(prompts):
    """Return a recipe up to the instructions, with templates of one's own."""
    generator = {"generator": "policy"}
    value = short_recipe()
    value["stages"] = [
        {"id": "domains", "use": "load_domains", "with": {"domains": ["cooking"]}},
        {"id": "skills", "use": "extract_skills", "roles": generator},
        {"id": "plan", "use": "plan_skillmix", "with": {"n": 2}},
        {"id": "instructions", "use": "synthesize_skillmix", "roles": generator, "prompts": prompts},
    ]
    return value


def test_an_unknown_template_name_gets_a_suggestion(folder):
    path = write(folder / "recipe", synthesis({"generat.v1": "own.md"}))
    check(run(path, folder / "run"), folder / "run", "Did you mean 'generate.v2'?")


def test_a_run_folder_that_is_a_file_is_named(folder):
    (folder / "taken").write_text("x")
    result = run(write(folder / "recipe", GOOD), folder / "taken")
    check(result, folder / "run", "taken': File exists; choose a run folder that can be written")


def test_a_run_folder_with_an_endless_name_is_refused(folder):
    result = run(write(folder / "recipe", GOOD), folder / ("x" * 300))
    check(result, folder / "run", "File name too long")
