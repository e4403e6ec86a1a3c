"""`kill -9` at any moment, then the same command again: nothing lost, nothing doubled, nothing paid twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.harness import (
    assert_sound,
    committed,
    leftovers,
    prefmill,
    rows,
    served_recipe,
    start,
    view_of,
    write_jsonl,
    write_recipe,
)
from tests.integration.server import Ask, Server, fraction, wait_until

ROWS, KILLS, SHARDS = 1000, 20, 10


def latency(ask: Ask) -> float:
    return 0.01 + 0.01 * fraction("latency", ask.text, ask.attempt)


def unkilled(folder: Path, n: int = ROWS) -> dict[str, object]:
    """Run the recipe without a kill and return what is committed."""
    folder.mkdir()
    with Server() as server:
        served_recipe(folder, server.url, n)
        assert prefmill(folder, "run", "recipe.yaml").returncode == 0
    return committed(folder)


def kill_at(folder: Path, server: Server, answers: int, delay: float) -> bool:
    """Start the run, kill it once the server wrote that many different answers and a delay passed."""
    process = start(folder, "run", "recipe.yaml")
    try:
        wait_until(lambda: len(server.answered) >= answers or process.poll() is not None)
        time.sleep(delay)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode in (-9, 0)
    return process.returncode == -9


@pytest.mark.slow
def test_twenty_kills_leave_the_bytes_of_an_unkilled_run_and_pay_nothing_twice_but_what_was_in_flight(tmp_path):
    expected = unkilled(tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    draw = random.Random(20260723)
    moments = sorted(draw.randrange(2 * ROWS - 60) for _ in range(KILLS - 3))
    with Server(latency=latency) as server:
        served_recipe(folder, server.url, ROWS)
        killed = [kill_at(folder, server, 0, draw.uniform(0, 1)) for _ in range(3)]
        killed += [kill_at(folder, server, m, draw.uniform(0, 0.03)) for m in moments]
        server.settle()
        in_flight = Counter(server.lost)
        last = prefmill(folder, "run", "recipe.yaml")
    assert all(killed) and (last.returncode, len(server.answered)) == (0, 2 * ROWS), last.stderr
    assert committed(folder) == expected
    assert_sound(folder)
    paid_again = Counter({key: n - 1 for key, n in server.answered.items() if n > 1})
    assert not paid_again - in_flight
    assert paid_again.total() <= KILLS * 64


def test_a_kill_between_two_shards_keeps_the_committed_ones_untouched(tmp_path):
    with Server(latency=0.01) as server:
        served_recipe(tmp_path, server.url, 300)
        kill_at(tmp_path, server, 250, 0)
        before = {r.shard: r for r in view_of(tmp_path).stages["responses"].records}
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    after = {r.shard: r for r in view_of(tmp_path).stages["responses"].records}
    assert before and all(after[shard] == record for shard, record in before.items())


def test_a_torn_line_and_foreign_bytes_in_a_journal_cost_one_request_each_and_nothing_else(tmp_path):
    with Server(latency=0.01) as server:
        served_recipe(tmp_path, server.url, 100, score=False, shard_rows=100)
        kill_at(tmp_path, server, 60, 0)
        server.settle()
        journal = leftovers(tmp_path)[0]
        whole = journal.read_bytes()
        journal.write_bytes(b"not a record\n\n\xff\xfe\n" + whole[:-7])
        kept = whole.count(b"\n") - 1
        server.received.clear()
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert (server.requests, len(rows(tmp_path, "responses"))) == (100 - kept, 100)


TURNS = {"mode": "critique_rewrite"}


def conversation(ask: Ask, index: int) -> str:
    """Answer the three turns of `synthesize_skillmix` as a model that keeps to the form."""
    if len(ask.body["messages"]) == 7:
        return "1. Fine."
    mixed = f"{fraction(ask.text, ask.body['seed']):.6f}"
    return f"### Instruction\nPlease help me with weighing and with sequencing in a long talk on case {mixed}."


def test_a_row_killed_after_its_second_turn_of_three_pays_no_turn_twice(tmp_path):
    slow_third = Server(conversation, latency=lambda ask: 60.0 if len(ask.body["messages"]) == 9 else 0.0)
    with slow_third as server:
        _skillmix(tmp_path, server.url)
        process = start(tmp_path, "run", "recipe.yaml")
        wait_until(lambda: server.in_flight == 6 and len(server.answered) == 12)
        process.kill()
        process.communicate()
        server.settle()
        server.latency = 0.0
        done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert set(server.answered.values()) == {1} and len(server.answered) == 18
    assert sorted(server.received.values()) == [1] * 12 + [2] * 6


def _skillmix(folder: Path, url: str) -> None:
    """Write a recipe of one three-turn stage over six rows, its input made by a source of its own."""
    names = {"skills": "list<string>", "query_type": "string", "query_type_definition": "string"}
    records = [
        {
            "prompt": f"p{i}",
            "skills": ["weighing", "sequencing"],
            "query_type": "how_to",
            "query_type_definition": f"{i}",
        }
        for i in range(6)
    ]
    write_jsonl(folder / "prompts.jsonl", records)
    stages = [
        {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl", "keep_columns": names}},
        {"id": "mixed", "use": "synthesize_skillmix", "roles": {"generator": "model"}, "with": TURNS},
    ]
    write_recipe(folder, stages, {"model": {"kind": "openai", "base_url": url, "model": "m"}})
