"""Who may take a shard: nobody while its worker lives, anybody after, and not for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from pipeline.store.claims import Claims, ShardGivenUp, process_mark


def age(path, seconds):
    at = time.time() - seconds
    os.utime(path, (at, at))


def claim(folder, attempt=1):
    return folder / f"part-00000.a{attempt}.json"


def test_of_two_workers_one_gets_a_shard(tmp_path):
    one, two = Claims(tmp_path, "one"), Claims(tmp_path, "two")
    assert one.take(0) and not two.take(0) and not one.take(0)
    assert one.held == [0] and two.held == []


def test_what_is_finished_or_released_leaves_no_file(tmp_path):
    one = Claims(tmp_path, "one")
    assert one.take(0) and one.take(1)
    one.finish(0)
    one.release()
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_free_shards_are_those_nobody_has_and_that_are_not_done(tmp_path):
    one, two = Claims(tmp_path, "one"), Claims(tmp_path, "two")
    assert one.take(1)
    assert list(two.free([0, 1, 2, 3], lambda shard: shard == 2)) == [0, 3]


def test_a_worker_on_another_machine_is_dead_when_its_claim_is_no_longer_touched(tmp_path):
    one, two = Claims(tmp_path, "one"), Claims(tmp_path, "two", stale_s=60)
    assert one.take(0)
    body = json.loads(claim(tmp_path).read_bytes())
    claim(tmp_path).write_text(json.dumps({**body, "host": "elsewhere"}))
    age(claim(tmp_path), 59)
    assert not two.take(0)
    age(claim(tmp_path), 61)
    one.beat()
    assert not two.take(0)
    age(claim(tmp_path), 61)
    assert two.take(0) and json.loads(claim(tmp_path, 2).read_bytes())["attempt"] == 2


def test_a_dead_process_of_this_machine_is_noticed_at_once(tmp_path):
    code = (
        "import sys, pathlib; from pipeline.store.claims import Claims; Claims(pathlib.Path(sys.argv[1]), 'x').take(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert Claims(tmp_path, "two").take(0) and claim(tmp_path, 2).exists()


def test_a_task_that_starts_again_under_its_name_takes_over_what_it_had(tmp_path):
    assert Claims(tmp_path, "task_3").take(0)
    assert Claims(tmp_path, "task_3").take(0)
    assert claim(tmp_path, 2).exists()


def test_deaths_are_counted_across_restarts_and_the_fourth_worker_is_refused(tmp_path):
    for _ in range(3):
        coordinator = Claims(tmp_path, "worker")
        assert coordinator.take(0)
        Claims(tmp_path, "coordinator").count_deaths_of("worker")
    with pytest.raises(ShardGivenUp, match="shard 0 of unit .* 3 workers died while they had it"):
        Claims(tmp_path, "worker").take(0)


def test_a_release_counts_no_death(tmp_path):
    for _ in range(5):
        worker = Claims(tmp_path, "worker")
        assert worker.take(0)
        worker.release()
    assert Claims(tmp_path, "worker").take(0) and not claim(tmp_path, 2).exists()


def test_a_death_that_a_driver_counts_frees_that_shard_only(tmp_path):
    driver = Claims(tmp_path, "driver")
    assert driver.take(0) and driver.take(1)
    driver.count_death(0)
    driver.count_death(7)
    assert driver.held == [1] and driver.take(0) and claim(tmp_path, 2).exists()


def test_all_claims_are_freed_by_one_that_knows_that_no_other_run_is_at_work(tmp_path):
    one = Claims(tmp_path, "one")
    assert one.take(0) and one.take(1)
    two = Claims(tmp_path, "two")
    two.count_deaths_of("nobody")
    assert not two.take(0)
    two.count_deaths_of(None)
    assert two.take(0) and two.take(1)


def test_a_claim_taken_over_and_finished_by_another_is_no_error_for_its_first_worker(tmp_path):
    one, two = Claims(tmp_path, "one"), Claims(tmp_path, "two")
    assert one.take(0)
    two.count_deaths_of("one")
    assert two.take(0)
    two.finish(0)
    one.beat()
    one.count_death(0)
    one.release()


def test_a_process_that_has_ended_has_no_mark_and_a_living_one_keeps_its_own():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        mark = process_mark(process.pid)
        assert mark and mark == process_mark(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_mark(process.pid) is None  # a zombie, still there for its parent
    assert process_mark(process.pid) is None
