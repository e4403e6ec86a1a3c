"""SIGTERM and SIGINT stop a run in order; a second SIGINT ends it at once; a finished run asks nothing."""

from __future__ import annotations

import shutil
import signal
import socket
import time

import pytest

from pipeline.api import StageConfig, TableResult, TableStage
from tests.integration.harness import (
    SOURCE,
    assert_sound,
    committed,
    environment,
    prefmill,
    prompts,
    register,
    rows,
    served_recipe,
    start,
    write_jsonl,
    write_recipe,
)
from tests.integration.server import Fault, Server, wait_until

ROWS, WINDOW = 600, 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_with_200_slow_requests_in_flight_ends_with_7_and_nothing_finished_is_asked_again(tmp_path, number):
    with Server(latency=2.0) as server:
        served_recipe(tmp_path, server.url, ROWS, score=False, rows_in_flight=WINDOW)
        process = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: len(server.answered) >= 50 and server.in_flight == WINDOW)
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert (process.returncode, time.monotonic() - began < 20) == (7, True), said
        assert number.name in said and "again" in said and "Traceback" not in said
        answered = dict(server.answered)
        server.latency = 0.0
        asked = server.requests
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert len(answered) >= WINDOW and server.requests == asked + ROWS - len(answered)
    assert set(server.answered.values()) == {1} and len(server.answered) == ROWS
    assert_sound(tmp_path)


def test_requests_that_outlast_the_drain_are_given_up_and_asked_again_later(tmp_path):
    slow = 60.0
    with Server(latency=lambda ask: slow if ask.attempt == 1 else 0.0) as server:
        served_recipe(tmp_path, server.url, 60, score=False, drain_seconds=0.5)
        process = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: server.in_flight == 32)
        began = time.monotonic()
        process.terminate()
        process.communicate(timeout=20)
        assert (process.returncode, time.monotonic() - began < 5) == (7, True)
        slow = 0.0
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert (len(server.answered), len(rows(tmp_path, "responses"))) == (60, 60)


def test_a_signal_ends_the_waits_for_a_server_that_asks_for_patience(tmp_path):
    slow_down = Fault(429, b"{}", {"Retry-After": "90"})
    with Server(fault=lambda ask: slow_down) as server:
        served_recipe(tmp_path, server.url, 100, score=False, engine={"deadline_s": 600.0}, drain_seconds=1)
        process = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: server.statuses[429] == 32)
        began = time.monotonic()
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert (process.returncode, time.monotonic() - began < 8, "SIGTERM" in said) == (7, True, True), said


class Asleep(TableStage):
    """Computes for two minutes, and says so."""

    name, version, config_type = "asleep", 1, StageConfig

    def process_table(self, table, ctx):
        print("asleep", flush=True)
        time.sleep(120)
        return TableResult(table)


def test_one_sigterm_ends_even_a_table_stage_that_computes_for_minutes(tmp_path):
    path = register(tmp_path / "path", {"asleep": f"{__name__}:Asleep"})
    write_jsonl(tmp_path / "prompts.jsonl", prompts(3))
    write_recipe(tmp_path, [SOURCE, {"id": "asleep", "use": "asleep"}], limits={"drain_seconds": 0})
    process = start(tmp_path, "run", "recipe.yaml", env=environment(PYTHONPATH=str(path)))
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=15)
    assert process.returncode == 7 and "stopped by SIGTERM" in err


def test_a_second_sigint_ends_the_process_at_once(tmp_path):
    with Server(latency=30.0) as server:
        served_recipe(tmp_path, server.url, 100, score=False)
        process = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: server.in_flight == 32)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert (process.returncode, time.monotonic() - began < 1.0) == (130, True)
        server.latency = 0.0
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert_sound(tmp_path)


def test_a_stopped_run_resumed_gives_the_bytes_of_one_that_was_not_stopped(tmp_path):
    with Server(latency=0.02) as server:
        for name in ("whole", "stopped"):
            (tmp_path / name).mkdir()
            served_recipe(tmp_path / name, server.url, 300)
        assert prefmill(tmp_path / "whole", "run", "recipe.yaml").returncode == 0
        before = len(server.seen)
        process = start(tmp_path / "stopped", "run", "recipe.yaml")
        wait_until(lambda: len(server.seen) > before + 150)
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 7
        assert prefmill(tmp_path / "stopped", "run", "recipe.yaml").returncode == 0
    assert committed(tmp_path / "whole") == committed(tmp_path / "stopped")


def test_a_finished_run_started_again_needs_no_server_and_opens_no_connection(tmp_path):
    with Server() as server:
        served_recipe(tmp_path, server.url, 100)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    before = committed(tmp_path)
    with socket.create_server(("127.0.0.1", server.port)) as listening:
        listening.setblocking(False)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert committed(tmp_path) == before


def test_a_run_folder_can_be_moved_and_goes_on_there(tmp_path):
    with Server(latency=0.01) as server:
        served_recipe(tmp_path, server.url, 200)
        process = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: len(server.answered) > 100)
        process.terminate()
        process.communicate(timeout=20)
        shutil.move(tmp_path / "runs/test", tmp_path / "elsewhere")
        done = prefmill(tmp_path, "run", "recipe.yaml", "--run-dir", "elsewhere")
    assert done.returncode == 0 and set(server.answered.values()) == {1} and len(server.answered) == 400
