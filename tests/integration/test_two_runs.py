"""Two runs on one folder: one writes, the other leaves; and without the lease commits are still exactly once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.plan.fingerprint import fingerprint_plan
from pipeline.run.control import Progress, StopFlag
from pipeline.run.resume import Origin, settle_plan
from pipeline.run.runner import run_plan
from pipeline.run.session import RunRequest, prepare
from pipeline.store.run_store import RunStore
from tests.integration.harness import (
    ROOT,
    assert_sound,
    committed,
    environment,
    prefmill,
    rows,
    served_recipe,
    start,
    view_of,
)
from tests.integration.server import Ask, Server, fraction, wait_until

ROWS = 300


def assert_every_row_once(folder: Path, n: int = ROWS) -> None:
    for stage in ("prompts", "responses", "scores"):
        found = rows(folder, stage)
        assert len(found) == len({r["id"] for r in found}) == n
    assert len({r["prompt_id"] for r in rows(folder, "scores")}) == n
    assert_sound(folder)


@pytest.mark.parametrize("repetition", range(3))
def test_of_two_runs_started_at_once_one_finishes_and_the_other_names_it_and_exits_7(tmp_path, repetition):
    with Server(latency=0.05) as server:
        served_recipe(tmp_path, server.url, ROWS, shard_rows=50)
        both = [start(tmp_path, "run", "recipe.yaml") for _ in range(2)]
        said = [p.communicate(timeout=60)[1] for p in both]
    codes = [p.returncode for p in both]
    assert sorted(codes) == [0, 7], said
    loser, winner = codes.index(7), codes.index(0)
    assert f"is being written by process {both[winner].pid} on " in said[loser] and "started 20" in said[loser]
    assert set(server.answered.values()) == {1} and len(server.answered) == 2 * ROWS
    assert_every_row_once(tmp_path)


def test_the_lease_of_a_killed_run_does_not_hold_up_the_next_one(tmp_path):
    with Server(latency=0.2) as server:
        served_recipe(tmp_path, server.url, 40)
        first = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: server.in_flight > 0)
        first.kill()
        first.communicate()
        assert (tmp_path / "runs/test/run.lock").exists()
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert_every_row_once(tmp_path, 40)


def test_a_reader_sees_only_whole_shards_while_a_run_writes(tmp_path):
    with Server(latency=0.03) as server:
        served_recipe(tmp_path, server.url, ROWS, shard_rows=25)
        writer = start(tmp_path, "run", "recipe.yaml")
        wait_until((tmp_path / "runs/test/plans/00001.json").exists)
        sizes = []
        while writer.poll() is None:
            sizes.append(len(rows(tmp_path, "responses")))
        writer.communicate()
    assert writer.returncode == 0 and sizes == sorted(sizes) and all(n % 25 == 0 for n in sizes)
    assert len(set(sizes)) > 2


def unleased(folder: Path) -> None:
    """Run the recipe of a folder as `run_recipe` does, but without the lease."""
    request = RunRequest(folder / "recipe.yaml", run_dir=folder / "runs/test")
    plan = prepare(request)
    fingerprints, store = fingerprint_plan(plan), RunStore(folder / "runs/test")
    store.prepare()
    record = settle_plan(store, plan, fingerprints, Origin(str(request.recipe), "", {}, None), "refuse")

    async def main() -> None:
        await run_plan(plan, fingerprints, store, record, Progress(), StopFlag())

    asyncio.run(main())


def _recorded(folder: Path) -> None:
    """Append the plan, so that two writers do not race for that too."""
    request = RunRequest(folder / "recipe.yaml", run_dir=folder / "runs/test")
    plan = prepare(request)
    store = RunStore(folder / "runs/test")
    store.prepare()
    settle_plan(store, plan, fingerprint_plan(plan), Origin(str(request.recipe), "", {}, None), "refuse")


@pytest.mark.parametrize("repetition", range(3))
def test_two_threads_that_ignore_the_lease_commit_every_shard_once_and_the_same_bytes(tmp_path, repetition):
    with Server(latency=0.002) as server:
        served_recipe(tmp_path, server.url, 120, shard_rows=10)
        _recorded(tmp_path)
        failures: list[BaseException] = []

        def run() -> None:
            try:
                unleased(tmp_path)
            except BaseException as e:  # noqa: BLE001  a thread's failure is the test's
                failures.append(e)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
    assert failures == []
    assert_every_row_once(tmp_path, 120)


def moody(ask: Ask, index: int) -> str:
    """Answer otherwise each time, as a real model does."""
    return f"Answer {ask.attempt} of {fraction(ask.text, ask.attempt)}"


@pytest.mark.parametrize("repetition", range(3))
def test_two_writers_that_get_different_answers_never_mix_them(tmp_path, repetition):
    with Server(moody, latency=0.002) as server:
        served_recipe(tmp_path, server.url, 120, shard_rows=10)
        _recorded(tmp_path)
        threads = [threading.Thread(target=unleased, args=[tmp_path]) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
    assert_every_row_once(tmp_path, 120)
    responses = {r["id"]: r["response"] for r in rows(tmp_path, "responses")}
    assert {r["id"]: r["response"] for r in rows(tmp_path, "scores")} == responses
    stores = [s.store for s in view_of(tmp_path).stages.values()]
    named = {r.data.name for s in stores for r in s.records.values()}
    assert {p.name for s in stores for p in s.data.iterdir()} == named


def test_two_processes_that_ignore_the_lease_leave_the_bytes_of_one(tmp_path):
    code = "import sys; from pathlib import Path; from tests.integration.test_two_runs import unleased\n"
    with Server(latency=0.003) as server:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            served_recipe(tmp_path / name, server.url, ROWS, shard_rows=20)
            _recorded(tmp_path / name)
        unleased(tmp_path / "one")
        command = [sys.executable, "-c", code + "unleased(Path(sys.argv[1]))", str(tmp_path / "two")]
        env = environment(PYTHONPATH=str(ROOT))
        both = [subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [p.communicate(timeout=60)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert_every_row_once(tmp_path / "two")
    assert committed(tmp_path / "one") == committed(tmp_path / "two")
    records = (tmp_path / "two/runs/test").rglob("commits/*.json")
    assert len({json.loads(r.read_bytes())["attempt"] for r in records}) == 2
