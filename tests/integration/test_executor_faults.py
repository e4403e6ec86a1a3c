"""What a worker's failure means for the run: started again, ended with its reason, or given up with a name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipeline.api import Engine, EngineConfig, EngineError, GenResult, RowError, Sample
from tests.integration.harness import SOURCE, assert_sound, environment, prefmill, prompts, register, rows, write_jsonl
from tests.integration.harness import write_recipe as write

LOCAL = ("run", "recipe.yaml", "--executor", "local", "--workers", 2)


class Fragile(Engine):
    """Answers until it meets what its file says: `<fault> <rest of a prompt>`; `once` in front means the first time."""

    kind, config_type, resident = "fragile", EngineConfig, True

    def capabilities(self):
        return frozenset({"chat"})

    def check(self):
        return

    def identity(self):
        return {"kind": self.kind, "model": "m", "revision": None}

    async def open(self):
        return

    async def close(self):
        return

    async def generate(self, request):
        fault = Path(os.environ["FAULT"])
        words = fault.read_text().split(" ", 1) if fault.exists() else ["none", "§"]
        if words[1] in request.messages[-1]["content"]:
            self.fail(words[0], fault)
        return GenResult((Sample("Yes.", "stop", 1, None),) * request.n, prompt_tokens=1, model="m")

    def fail(self, kind, fault):
        if kind.startswith("once-"):
            fault.unlink()
        if kind.endswith("death"):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind.endswith("reject"):
            raise RowError("engine.refused", "no")
        raise EngineError("the engine's process is gone")


@pytest.fixture
def run(tmp_path):
    """Return what runs 60 prompts by two workers with a fault, and says how it ended."""
    path = register(tmp_path / "path", engines={"fragile": f"{__name__}:Fragile"})
    write_jsonl(tmp_path / "prompts.jsonl", prompts(60))
    stages = [SOURCE, {"id": "responses", "use": "sample_responses", "roles": {"policy": "m"}}]
    write(tmp_path, stages, {"m": {"kind": "fragile"}}, limits={"shard_rows": 4, "rows_in_flight": 2})

    def go(fault, *command):
        (tmp_path / "fault").write_text(fault)
        env = environment(PYTHONPATH=str(path), FAULT=str(tmp_path / "fault"))
        return prefmill(tmp_path, *(command or LOCAL), env=env)

    return go


def test_an_engine_that_dies_after_it_worked_gets_a_new_process(tmp_path, run):
    done = run("once-error 25 times")
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path, "responses")) == 240
    assert_sound(tmp_path)


def test_a_row_that_kills_every_worker_ends_the_run_with_the_name_of_its_shard(tmp_path, run):
    done = run("death 25 times")
    assert done.returncode == 4 and "shard 6 of unit" in done.stderr and "3 workers died" in done.stderr
    again = run("none §")
    assert again.returncode == 4 and "To try again remove" in again.stderr
    for claim in (tmp_path / "runs/test/claims").rglob("*.json"):
        claim.unlink()
    assert run("none §").returncode == 0
    assert_sound(tmp_path)


def test_an_engine_that_never_worked_ends_the_run_at_once(tmp_path, run):
    done = run("error Question")
    assert done.returncode == 4 and "error: the engine's process is gone" in done.stderr
    assert len(list((tmp_path / "runs/test/workers").glob("*.log"))) == 2


def test_too_many_rejects_by_all_workers_together_end_the_run_with_5(tmp_path, run):
    done = run("reject 1")
    assert done.returncode == 5 and "stage 'responses' rejected" in done.stderr and "engine.refused" in done.stderr


def test_workers_that_cannot_even_start_are_given_up_with_their_last_words(tmp_path, run):
    (tmp_path / "broken").mkdir()
    code = "import os, sys\nif 'work' in sys.argv:\n    raise SystemExit('no such library')\n"
    (tmp_path / "broken/sitecustomize.py").write_text(code)
    (tmp_path / "fault").write_text("none §")
    env = environment(PYTHONPATH=f"{tmp_path / 'path'}:{tmp_path / 'broken'}", FAULT=str(tmp_path / "fault"))
    done = prefmill(tmp_path, *LOCAL, env=env)
    assert done.returncode == 4 and "died 4 times" in done.stderr


def test_an_option_that_says_nothing_to_the_executor_is_refused(tmp_path, run):
    for option, executor in (("--devices=0", "ray"), ("--submit", "local"), ("--ray-address=auto", "slurm")):
        done = run("none §", "run", "recipe.yaml", "--executor", executor, option)
        assert done.returncode == 2 and f"{option.split('=')[0]} says nothing to {executor}" in done.stderr
    assert run("none §", "run", "recipe.yaml", "--workers", 2).returncode == 2


def test_a_worker_of_a_folder_without_a_run_or_without_its_recipe_says_so(tmp_path, run):
    work = ("work", tmp_path / "runs/test", "--unit", 1, "--name", "x")
    assert "holds no run" in run("none §", *work).stderr
    assert run("none §", "run", "recipe.yaml").returncode == 0
    assert "has units 0 to 1" in run("none §", "work", tmp_path / "runs/test", "--unit", 2, "--name", "x").stderr
    (tmp_path / "recipe.yaml").rename(tmp_path / "moved.yaml")
    assert "recipe.yaml' is gone" in run("none §", *work).stderr
