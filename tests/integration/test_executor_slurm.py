"""Slurm tasks on one run folder, with stand-ins for `sbatch` and `scontrol` and real processes for tasks."""

from __future__ import annotations

import importlib.util
import json
import os
import signal

import pytest

from tests.integration.harness import ROOT, assert_sound, committed, environment, prefmill, view_of
from tests.integration.slurm_stub import StubSlurm, lose_node
from tests.integration.spreading import bytes_of_one_process, spread_recipe, wait_for_commits

SLURM = ("run", "recipe.yaml", "--executor", "slurm")


@pytest.fixture
def slurm(tmp_path):
    return StubSlurm(tmp_path / "slurm")


def submitted(slurm, folder, n, *more, **limits):
    """Submit the recipe and run what comes before its array; return the number of the array's job."""
    spread_recipe(folder, n, **limits)
    done = prefmill(folder, *SLURM, "--submit", *more, env=slurm.env)
    assert done.returncode == 0, done.stderr
    assert slurm.run(100) == 0
    return 101


def busy_tasks(folder):
    """Return the numbers of the tasks that hold claims now."""
    claims = (folder / "runs/test/claims").rglob("part-*.json")
    return sorted({int(json.loads(p.read_bytes())["owner"].rpartition("_")[2]) for p in claims})


@pytest.mark.slow
def test_an_array_of_eight_of_which_two_are_lost_and_queued_again_leaves_the_bytes_of_one_process(tmp_path, slurm):
    expected = bytes_of_one_process(tmp_path / "one", 300)
    folder = tmp_path / "many"
    array = submitted(slurm, folder, 300, "--tasks", 8)
    tasks = {i: slurm.start(array, i) for i in range(8)}
    wait_for_commits(folder, 3)
    lost = busy_tasks(folder)[:2]
    for task in lost:
        lose_node(tasks[task])
    tasks |= {task: slurm.start(array, task, restarts=1) for task in lost}
    said = {i: process.communicate(timeout=120)[1] for i, process in tasks.items()}
    assert len(lost) == 2 and {p.returncode for p in tasks.values()} == {0}, said
    assert committed(folder) == expected
    assert len({r.attempt for r in view_of(folder).stages["responses"].records}) > 2
    assert_sound(folder)


def test_a_task_told_of_its_time_limit_stops_in_order_and_queues_itself_again(tmp_path, slurm):
    folder = tmp_path / "run"
    array = submitted(slurm, folder, 100)
    task = slurm.start(array, 0)
    wait_for_commits(folder, 2)
    task.send_signal(signal.SIGUSR1)
    task.communicate(timeout=30)
    assert (task.returncode, slurm.requeued()) == (7, ["101_0"])
    assert busy_tasks(folder) == [] and not view_of(folder).finished
    again = slurm.start(array, 0, restarts=1)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert_sound(folder)


def test_a_task_whose_worker_is_killed_queues_itself_again_but_not_for_ever(tmp_path, slurm):
    folder = tmp_path / "run"
    array = submitted(slurm, folder, 100)
    for restarts, queued in ((4, ["101_0"]), (5, ["101_0"])):
        task = slurm.start(array, 0, restarts)
        wait_for_commits(folder, restarts - 2)
        worker = json.loads((folder / "runs/test/workers/slurm-101_0.json").read_bytes())
        os.kill(worker["pid"], signal.SIGKILL)
        task.communicate(timeout=30)
        assert (task.returncode, slurm.requeued()) == (137, queued)


def test_scancel_ends_a_task_for_good(tmp_path, slurm):
    folder = tmp_path / "run"
    task = slurm.start(submitted(slurm, folder, 100), 0)
    wait_for_commits(folder, 2)
    task.terminate()
    task.communicate(timeout=30)
    assert (task.returncode, slurm.requeued()) == (7, [])


def test_jobs_wait_for_one_another_and_a_task_that_comes_too_early_or_too_late_says_so_or_ends(tmp_path, slurm):
    spread_recipe(tmp_path / "run", 10, engine={"kind": "scripted"})
    assert prefmill(tmp_path / "run", *SLURM, "--submit", env=slurm.env).returncode == 0
    assert slurm.job(101)[:-1] == ["--parsable", "--kill-on-invalid-dep=yes", "--dependency=afterok:100"]
    early = slurm.start(101, 0)
    _, said = early.communicate(timeout=60)
    assert early.returncode == 2 and "unit 0 (prompts) is not complete" in said
    assert slurm.run(100) == slurm.run(100) == 0
    for _ in range(2):
        task = slurm.start(101, 3)
        task.communicate(timeout=60)
        assert task.returncode == 0


def test_a_task_refuses_a_recipe_that_was_changed_after_it_was_queued(tmp_path, slurm):
    folder = tmp_path / "run"
    array = submitted(slurm, folder, 10)
    path = folder / "recipe.yaml"
    path.write_text(path.read_text().replace('"n": 2', '"n": 3'))
    task = slurm.start(array, 0)
    _, said = task.communicate(timeout=60)
    assert task.returncode == 3 and "config.n (2 -> 3)" in said and slurm.requeued() == []


def test_scripts_are_printed_with_the_options_asked_for_and_only_for_what_is_left(tmp_path, slurm):
    folder = tmp_path / "run"
    submitted(slurm, folder, 10, "--tasks", 64)
    options = ["--tasks", 64, "--workers", 8, "--sbatch", "--time=08:00:00", "--sbatch", "cpu:--partition=small"]
    said = prefmill(folder, *SLURM, *options, "--sbatch", "gpu:--signal=B:USR1@600", env=environment()).stdout
    for line in (
        "#SBATCH --array=0-63%8",
        "#SBATCH --time=08:00:00",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
    ):
        assert line in said
    assert said.count("--signal") == 1 and "B:USR1@600" in said
    assert "small" not in said and "unit-0.sh" not in said and "job=$(sbatch --parsable /" in said


def test_without_sbatch_nothing_is_submitted_and_the_error_says_where_to_go(tmp_path):
    spread_recipe(tmp_path, 10)
    done = prefmill(tmp_path, *SLURM, "--submit", env=environment(PATH="/nowhere"))
    assert done.returncode == 2 and "no 'sbatch' on PATH (/nowhere)" in done.stderr


def test_what_sbatch_refuses_is_told_with_the_jobs_that_wait(tmp_path, slurm):
    spread_recipe(tmp_path / "run", 10)
    (slurm.folder / "bin/sbatch").write_text("#!/bin/sh\necho invalid partition specified >&2\nexit 1\n")
    done = prefmill(tmp_path / "run", *SLURM, "--submit", env=slurm.env)
    assert done.returncode == 2 and "unit-0.sh': invalid partition specified. Nothing was submitted" in done.stderr


def test_a_node_without_the_engine_s_package_records_no_plan_that_tasks_would_refuse(tmp_path):
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vLLM is installed here")
    recipe = ROOT / "recipes/gpu/cdr_mistral.yaml"
    done = prefmill(tmp_path, "run", recipe, "--executor", "slurm", "--run-dir", "run")
    assert done.returncode == 2 and "engines policy, strong, weak" in done.stderr and "environment" in done.stderr
    assert not (tmp_path / "run").exists()
