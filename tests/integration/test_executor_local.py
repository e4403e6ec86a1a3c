"""Several worker processes on one run folder: the bytes of one process, whoever dies, is stopped or breaks off."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from pipeline.api import Engine, EngineConfig
from tests.integration.harness import (
    SOURCE,
    assert_sound,
    committed,
    environment,
    prefmill,
    prompts,
    register,
    start,
    status,
    view_of,
    write_jsonl,
    write_recipe,
)
from tests.integration.server import wait_until
from tests.integration.spreading import (
    bytes_of_one_process,
    is_running,
    kill_one,
    running_workers,
    spread_recipe,
    wait_for_commits,
)

SLOWER = {"kind": "scripted", "latency_ms": 300}
LOCAL = ("run", "recipe.yaml", "--executor", "local")


def attempts(folder, stage):
    """Return the processes that committed a stage's shards."""
    return {r.attempt for r in view_of(folder).stages[stage].records}


def test_two_workers_leave_the_bytes_of_one_process_and_both_of_them_worked(tmp_path):
    expected = bytes_of_one_process(tmp_path / "one", 200)
    spread_recipe(tmp_path / "two", 200)
    done = prefmill(tmp_path / "two", *LOCAL, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert committed(tmp_path / "two") == expected
    assert len(attempts(tmp_path / "two", "responses")) == len(attempts(tmp_path / "two", "weak")) == 2
    assert len(attempts(tmp_path / "two", "prompts")) == 1
    assert_sound(tmp_path / "two")
    assert not list((tmp_path / "two/runs/test/claims").rglob("*.json"))


def test_killed_workers_are_started_again_and_no_row_is_lost_or_doubled(tmp_path):
    expected = bytes_of_one_process(tmp_path / "one", 300)
    folder = tmp_path / "two"
    spread_recipe(folder, 300)
    run = start(folder, *LOCAL, "--workers", 2)
    wait_for_commits(folder, 4)
    killed = {kill_one(folder, signal.SIGKILL)}
    wait_for_commits(folder, 12)
    killed.add(kill_one(folder, signal.SIGKILL, lambda pid: pid not in killed))
    _, said = run.communicate(timeout=60)
    assert (run.returncode, len(killed)) == (0, 2), said
    assert committed(folder) == expected
    assert_sound(folder)


def test_workers_end_when_their_coordinator_is_killed_and_the_next_start_goes_on(tmp_path):
    expected = bytes_of_one_process(tmp_path / "one", 200)
    folder = tmp_path / "two"
    spread_recipe(folder, 200, engine={"kind": "scripted", "latency_ms": 120})
    run = start(folder, *LOCAL, "--workers", 2)
    wait_for_commits(folder, 4)
    wait_until(lambda: len(running_workers(folder)) == 2)
    workers = running_workers(folder)
    run.kill()
    run.communicate()
    wait_until(lambda: not any(is_running(pid) for pid in workers), seconds=15)
    assert len(workers) == 2 and not view_of(folder).finished
    assert prefmill(folder, *LOCAL, "--workers", 2).returncode == 0
    assert committed(folder) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_workers_in_order_and_one_process_can_finish(tmp_path, number):
    expected = bytes_of_one_process(tmp_path / "one", 200)
    folder = tmp_path / "two"
    spread_recipe(folder, 200, engine={"kind": "scripted", "latency_ms": 60})
    run = start(folder, *LOCAL, "--workers", 2)
    wait_for_commits(folder, 4)
    workers = running_workers(folder)
    run.send_signal(number)
    _, said = run.communicate(timeout=20)
    assert run.returncode == 7 and number.name in said, said
    assert not any(is_running(pid) for pid in workers) and not view_of(folder).finished
    assert not list((folder / "runs/test/claims").rglob("*.json"))
    assert prefmill(folder, "run", "recipe.yaml").returncode == 0
    assert committed(folder) == expected


def test_status_of_a_running_spread_run_says_how_many_shards_there_are_and_who_works(tmp_path):
    spread_recipe(tmp_path, 200, engine=SLOWER)
    run = start(tmp_path, *LOCAL, "--workers", 2)
    wait_for_commits(tmp_path, 4)
    seen = status(tmp_path)
    text = prefmill(tmp_path, "status", "runs/test").stdout
    run.kill()
    run.communicate()
    assert 4 <= seen["responses"]["shards"] <= seen["responses"]["of"] == 20
    assert "2 workers at work on responses" in text


def test_a_second_run_on_the_folder_is_refused_while_workers_work(tmp_path):
    spread_recipe(tmp_path, 200, engine=SLOWER)
    run = start(tmp_path, *LOCAL, "--workers", 2)
    wait_for_commits(tmp_path, 2)
    second = prefmill(tmp_path, "run", "recipe.yaml")
    run.kill()
    run.communicate()
    assert second.returncode == 7 and f"process {run.pid} on" in second.stderr


def test_an_override_that_changes_no_row_reaches_the_workers_of_a_run_begun_without_it(tmp_path):
    spread_recipe(tmp_path, 100, engine={"kind": "scripted", "latency_ms": 60_000}, drain_seconds=0)
    run = start(tmp_path, "run", "recipe.yaml")
    wait_until((tmp_path / "runs/test/plans/00001.json").exists)
    run.terminate()
    run.communicate(timeout=20)
    faster = [x for e in ("policy", "strong", "weak") for x in ("--set", f"engines.{e}.latency_ms=0")]
    assert prefmill(tmp_path, *LOCAL, "--workers", 2, *faster).returncode == 0
    assert_sound(tmp_path)


def test_devices_are_shared_out_among_workers(tmp_path):
    path = register(tmp_path / "path", engines={"on_device": f"{__name__}:OnDevice"})
    write_jsonl(tmp_path / "prompts.jsonl", prompts(40))
    stages = [SOURCE, {"id": "responses", "use": "sample_responses", "roles": {"policy": "m"}}]
    write_recipe(tmp_path, stages, {"m": {"kind": "on_device"}}, limits={"shard_rows": 5, "rows_in_flight": 2})
    env = environment(PYTHONPATH=str(path), CUDA_VISIBLE_DEVICES="7")
    done = prefmill(tmp_path, *LOCAL, "--devices", "0,1,2,3,4", env=env)
    assert done.returncode == 0, done.stderr
    files = (tmp_path / "runs/test/engines/m").glob("*.json")
    assert sorted(json.loads(p.read_bytes())["devices"] for p in files) == ["0,1", "2,3"]


def test_too_few_devices_for_one_replica_are_told_before_anything_starts(tmp_path):
    path = register(tmp_path / "path", engines={"on_device": f"{__name__}:OnDevice"})
    write_jsonl(tmp_path / "prompts.jsonl", prompts(4))
    stages = [SOURCE, {"id": "responses", "use": "sample_responses", "roles": {"policy": "m"}}]
    write_recipe(tmp_path, stages, {"m": {"kind": "on_device"}})
    done = prefmill(tmp_path, *LOCAL, env=environment(PYTHONPATH=str(path), CUDA_VISIBLE_DEVICES="3"))
    assert done.returncode == 2 and "responses needs 2 devices, but 1 are visible (3)" in done.stderr
    assert not (tmp_path / "runs").exists()


class OnDevice(Engine):
    """Answers at once, and keeps which devices it saw."""

    kind, config_type, resident, devices = "on_device", EngineConfig, True, 2

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

    def statistics(self):
        return {"devices": os.environ["CUDA_VISIBLE_DEVICES"]}

    async def generate(self, request):
        from pipeline.api import GenResult, Sample

        time.sleep(0.02)
        return GenResult((Sample("Yes.", "stop", 1, None),) * request.n, prompt_tokens=1, model="m")
