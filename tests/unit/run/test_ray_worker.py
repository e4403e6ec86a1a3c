"""What a Ray actor of ours does with numbers of shards, asked directly, without Ray between."""

from __future__ import annotations

import asyncio
import os

import pytest

from pipeline.run.ray_worker import ReplicaActor
from pipeline.store.manifest import open_run
from tests.integration.spreading import spread_recipe
from tests.support import prefmill

SHARDS = 4


@pytest.fixture
def run(tmp_path):
    """Return a run folder whose prompts are read: four shards of ten wait for engines."""
    spread_recipe(tmp_path, 10 * SHARDS)
    folder = tmp_path / "run"
    assert prefmill("run", tmp_path / "recipe.yaml", "--run-dir", folder, "--executor", "slurm").code == 0
    assert prefmill("work", folder, "--unit", 0, "--name", "x").code == 0
    return folder


def replica(run):
    return ReplicaActor(str(run), 1, "replica", os.getcwd())


async def ask(actor, shards):
    return await asyncio.gather(*(actor.shard(i) for i in shards))


def test_shards_asked_for_at_once_come_back_as_receipts_that_the_records_bear_out(run):
    async def both():
        actor = replica(run)
        assert await actor.ready() == os.getpid()
        replies = await ask(actor, range(SHARDS))
        await actor.close()
        return replies

    receipts = asyncio.run(both())
    stages = open_run(run).stages
    assert [r["shard"] for r in receipts] == list(range(SHARDS))
    for receipt in receipts:
        assert set(receipt["stages"]) == {"responses", "strong", "weak", "reward", "pairs"}
        for stage, (content, _, rows_out, _) in receipt["stages"].items():
            record = stages[stage].store.records[receipt["shard"]]
            assert (record.content, record.rows_out) == (content, rows_out)


def test_a_shard_that_is_done_is_not_done_again(run):
    async def twice():
        first, second = replica(run), replica(run)
        await ask(first, [2])
        await first.close()
        reply = await second.shard(2)
        await second.close()
        return reply

    assert asyncio.run(twice()) == {"shard": 2}


def test_a_stopped_replica_says_so_of_every_shard_it_had(run):
    async def stopped():
        actor = replica(run)
        asked = asyncio.create_task(ask(actor, range(SHARDS)))
        while not list(run.rglob("*.journal")):
            await asyncio.sleep(0.005)
        await actor.stop("enough")
        return await asked

    replies = asyncio.run(stopped())
    assert any("stopped" in r for r in replies) and not open_run(run).finished


def test_a_replica_that_was_never_asked_closes_at_once(run):
    asyncio.run(replica(run).close())


def test_a_recipe_that_no_longer_fits_is_an_answer_and_no_exception(run):
    recipe = run.parent / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace('"n": 2', '"n": 3'))
    replies = asyncio.run(ask(replica(run), [0, 1]))
    assert [r["code"] for r in replies] == [3, 3] and "config.n (2 -> 3)" in replies[0]["error"]
