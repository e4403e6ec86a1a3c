"""The commands that show: validate, plan, run, status, rejects, stages, prompts, schema, doctor."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import threading

import pytest

from pipeline.prompts import load_prompt
from pipeline.registry import STAGES, registered
from tests.support import QUESTIONS, changed, pair_recipe, plug_in, prefmill, run, short_recipe, skillmix_recipe, write
from tests.unit.engines.loopback import Answer, Loopback, chat, refusal


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run whose policy refuses the longest prompt."""
    folder = tmp_path_factory.mktemp("made")
    recipe = write(folder, changed(pair_recipe(), "engines.policy.context_chars", 25))
    result = run(recipe, folder / "run")
    return folder, result


@pytest.fixture
def folder(made):
    return made[0]


def test_run_prints_a_table_the_folder_and_what_to_do_next(made):
    folder, result = made
    assert result.code == 6 and "responses        3         4  engine.context_exceeded 1\n" in result.out
    assert f"run folder: {folder / 'run'}\nnext: prefmill export {folder / 'run'} --to DIR" in result.out
    assert "done  responses: 3 of 3 rows, 1 rejected" in result.err


def test_run_without_pairs_names_no_next_step(tmp_path):
    result = run(write(tmp_path, short_recipe()), tmp_path / "run")
    assert result.code == 0 and "next:" not in result.out and "responses        3         3  -" in result.out


def test_a_run_goes_to_the_folder_of_its_name_and_a_limited_one_to_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = write(tmp_path, short_recipe())
    assert prefmill("run", recipe).code == prefmill("run", recipe, "--limit", 2).code == 0
    assert prefmill("status", "short", "--json").json["stages"][0]["rows_out"] == 3
    assert prefmill("status", "short-limit2", "--json").json["stages"][0]["rows_out"] == 2


def test_too_many_rejects_end_with_5_and_name_the_code(tmp_path):
    value = changed(short_recipe(context_chars=3), "limits.max_reject_rate", 0.5)
    result = run(write(tmp_path, value), tmp_path / "run")
    assert result.code == 5 and result.err.splitlines()[-1].startswith("error: stage 'responses' rejected")


def test_validate_counts_stages_and_segments(tmp_path):
    result = prefmill("validate", write(tmp_path, skillmix_recipe()))
    assert (result.code, result.out) == (0, "ok: 'mix', 9 stages in 2 segments\n")


def test_validate_takes_engines_from_a_file(tmp_path):
    recipe = write(tmp_path, short_recipe())
    (tmp_path / "engines.yaml").write_text("policy: {kind: scripted, modle: x}\n")
    assert "Did you mean 'model'?" in prefmill("validate", recipe, "--engines", tmp_path / "engines.yaml").err
    (tmp_path / "engines.yaml").write_text("policy: {kind: scripted, model: x}\n")
    assert prefmill("validate", recipe, "--engines", tmp_path / "engines.yaml").code == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("policy: scripted", "'policy' holds text; expected engine options"),
        ("[]", "holds a list"),
        (None, "cannot be read"),
    ],
)
def test_an_engines_file_that_is_none_is_refused(tmp_path, text, reason):
    if text is not None:
        (tmp_path / "engines.yaml").write_text(text)
    result = prefmill("validate", write(tmp_path, short_recipe()), "--engines", tmp_path / "engines.yaml")
    assert result.code == 2 and "engines.yaml" in result.err and reason in result.err


def test_plan_shows_segments_columns_engines_and_nothing_done(tmp_path):
    result = prefmill("plan", write(tmp_path, skillmix_recipe()), "--run-dir", tmp_path / "run")
    assert result.code == 0 and "segment 2" in result.out and "generator=generator" in result.out
    assert result.out.count("nothing yet") == 9 and "engine strong: scripted strong@r1" in result.out
    assert f"run folder: {tmp_path / 'run'}" in result.out and not (tmp_path / "run").exists()


def test_plan_shows_what_is_committed(folder):
    result = prefmill("plan", folder / "recipe.yaml", "--run-dir", folder / "run")
    assert result.out.count("2 of 2 shards") == 6 and "changed since" not in result.out


def test_status_shows_counts_and_rejects(folder):
    result = prefmill("status", folder / "run")
    assert (
        result.code == 0 and "run 'small' in" in result.out and ": finished (last start: finished after" in result.out
    )
    assert ["responses", "2/2", "3", "4", "3", "10", "36", "engine.context_exceeded", "1"] in [
        x.split() for x in result.out.splitlines()
    ]


def test_status_in_json_has_the_same_figures(folder):
    value = prefmill("status", folder / "run", "--json").json
    stages = {s["stage"]: s for s in value["stages"]}
    assert (value["run"], value["state"]) == ("small", "finished")
    assert stages["responses"]["rejects"] == {"engine.context_exceeded": 1} and stages["pairs"]["of"] == 2
    assert all(len(s["fingerprint"]) == 64 for s in value["stages"])


def test_status_of_a_stopped_run_says_so(folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "run")
    min(tmp_path.glob("run/stages/pairs/*/sealed.json")).unlink()
    for progress in ("{", '{"state": "x"}', None):
        (tmp_path / "run/progress.json").unlink(missing_ok=True)
        if progress:
            (tmp_path / "run/progress.json").write_text(progress)
        out = prefmill("status", tmp_path / "run").out.splitlines()
        assert out[0].endswith(": unfinished") and out[-1].split()[:2] == ["pairs", "2/2"]


@pytest.mark.parametrize("command", [["status"], ["verify"], ["rejects"], ["trace", "id"]])
def test_a_run_that_is_not_there_is_named(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = prefmill(command[0], "gone", *command[1:])
    assert result.code == 2 and "no run at 'gone' nor at 'runs/gone'; runs under 'runs': none" in result.err


def test_rejects_are_shown_with_code_message_and_row(folder):
    result = prefmill("rejects", folder / "run")
    assert result.code == 0 and "engine.context_exceeded" in result.out and "prompt of 26 characters" in result.out
    assert "1 shown of 1 rejects\n" in result.out


def test_rejects_in_json_hold_the_whole_row(folder):
    (reject,) = prefmill("rejects", folder / "run", "--json", "--limit", 1).json
    assert reject["stage"] == "responses" and json.loads(reject["row"])["prompt"][0]["content"] == QUESTIONS[1]


def test_rejects_are_chosen_by_stage_and_code(folder):
    assert (
        "1 shown of 1 rejects of stage 'responses'" in prefmill("rejects", folder / "run", "--stage", "responses").out
    )
    assert prefmill("rejects", folder / "run", "--stage", "pairs", "--json").json == []
    assert prefmill("rejects", folder / "run", "--code", "a.b", "--json").json == []


def test_rejects_of_a_stage_that_is_not_there_name_those_that_are(folder):
    result = prefmill("rejects", folder / "run", "--stage", "pair")
    assert result.code == 2 and "has no stage 'pair'; its stages: prompts, responses" in result.err


def test_nothing_is_tried_again_where_nothing_was_rejected(tmp_path):
    recipe = write(tmp_path, short_recipe())
    run(recipe, tmp_path / "run")
    result = prefmill("rejects", tmp_path / "run", "--retry")
    assert result.code == 0 and "nothing to try again" in result.out
    recipe.unlink()
    result = prefmill("rejects", tmp_path / "run", "--retry")
    assert result.code == 2 and "recipe.yaml' is gone; name it with --recipe" in result.err


class Server:
    """A loopback server on a thread of its own; refuses prompts that contain a word."""

    def __init__(self):
        self.refuses = "first book"
        self.loop = asyncio.new_event_loop()
        self.server = Loopback(self.answer)
        self.thread = threading.Thread(target=self.loop.run_forever)

    def answer(self, seen):
        asked = seen.json["messages"][-1]["content"]
        return Answer(refusal("no"), 400) if self.refuses in asked else Answer(chat(f"Answer to {asked}"))

    def asked(self):
        return [s.json["messages"][-1]["content"] for s in self.server.seen]

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.server.__aenter__(), self.loop).result()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.server.__aexit__(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def server():
    with Server() as running:
        yield running


def test_retry_asks_for_the_rejected_rows_only_and_carries_them_on(tmp_path, server):
    value = changed(short_recipe(), "engines.policy", {"kind": "openai", "model": "m", "base_url": server.server.url})
    recipe = write(tmp_path, changed(value, "stages.responses.with.logprobs", False))
    assert run(recipe, tmp_path / "run").code == 6 and len(server.asked()) == 3
    assert prefmill("rejects", tmp_path / "run", "--json").json[0]["code"] == "engine.refused"
    server.refuses = "nothing at all"
    server.server.seen.clear()
    retried = prefmill("rejects", tmp_path / "run", "--retry", "--code", "engine.refused")
    assert retried.code == 0 and server.asked() == [QUESTIONS[1]], retried
    assert prefmill("status", tmp_path / "run", "--json").json["stages"][1]["rows_out"] == 3
    assert prefmill("verify", tmp_path / "run").code == 0
    assert run(recipe, tmp_path / "run").code == 0 and len(server.asked()) == 1


def test_stages_are_listed_with_version_and_package():
    result = prefmill("stages")
    assert result.code == 0 and all(name in result.out for name in registered(STAGES))
    assert "prefmill" in result.out.splitlines()[1]


def test_a_plug_in_that_cannot_be_imported_is_listed_with_the_reason(tmp_path, monkeypatch):
    plug_in(tmp_path, "plug_list", STAGES, {"mine": "plug_list:Mine"}, "import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    result = prefmill("stages")
    (line,) = [x for x in result.out.splitlines() if x.startswith("mine")]
    assert result.code == 0 and line.split()[1:3] == ["?", "plug_list"] and "cannot be imported" in line


@pytest.mark.parametrize("name", registered(STAGES))
def test_a_stage_is_shown_in_full(name):
    result = prefmill("stages", name)
    assert result.code == 0 and result.out.startswith(f"{name} v") and "\noptions:\n  " in result.out


def test_options_are_shown_with_their_defaults_and_reject_codes():
    out = prefmill("stages", "plan_skillmix").out
    assert "(TableStage)" in out and "  n: required" in out and "  k: default 2" in out and "plan.bad_row" in out


def test_prompts_are_listed_with_their_digests():
    result = prefmill("prompts")
    digest = load_prompt("synthesize_skillmix", "generate.v2").digest
    assert result.code == 0 and re.search(rf"synthesize_skillmix/generate\.v2 +{digest[:16]}", result.out)


def test_a_prompt_is_printed_as_it_is():
    result = prefmill("prompts", "extract_skills/topics.v2")
    assert result.out == load_prompt("extract_skills", "topics.v2").text + "\n"


@pytest.mark.parametrize("name", ["nonsense", "a/b.v1", "../x/y.v1", "extract_skills/topics.v9"])
def test_a_prompt_that_is_not_there_is_refused(name):
    result = prefmill("prompts", name)
    assert result.code == 2 and "Traceback" not in result.err


def test_the_schema_is_json_for_editors():
    value = prefmill("schema").json
    assert value["$schema"].startswith("https://json-schema.org/") and set(value["required"]) == {
        "recipe",
        "name",
        "seed",
        "stages",
    }
    assert value["additionalProperties"] is False and value["$defs"]["StageSpec"]["additionalProperties"] is False


def test_doctor_says_what_is_there_and_never_what_a_key_is(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    result = prefmill("doctor")
    assert result.code == 0 and "OPENAI_API_KEY is set" in result.out and "sk-secret" not in result.out
    assert "HF_TOKEN is not set" in result.out and "core: pyarrow " in result.out
    assert f"file system of '{tmp_path}': hard links work" in result.out and "pip install" in result.out
    assert not list(tmp_path.iterdir())


def test_doctor_reports_a_folder_that_takes_no_files(monkeypatch):
    monkeypatch.chdir("/proc")
    assert "file system of '/proc': " in prefmill("doctor").out
