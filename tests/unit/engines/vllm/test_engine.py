"""The engine end to end over a host with a scripted model: life, results, faults that outlive a run, figures."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal

import pytest

from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine, host_environment
from pipeline.errors import EngineError, PlanError, RowError, Stopped
from pipeline.types import CHAT, EngineUse, GenRequest, PoolRequest, ScoreRequest, messages_of
from tests.unit.engines.vllm.hosts import all_gone, command, told
from tests.unit.engines.vllm.installs import install, model_folder

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="a real vLLM is installed")


@pytest.fixture(autouse=True)
def vllm(tmp_path, monkeypatch):
    """A vLLM of the range and one GPU."""
    monkeypatch.syspath_prepend(install(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")


def engine(folder, mode: str = "good", **options) -> VllmEngine:
    config = VllmConfig(model=str(model_folder(folder)), **options)
    return VllmEngine(config, host_command=command(folder, mode))


def gen(text: str, **more) -> GenRequest:
    return GenRequest(messages=messages_of(text), seed=1, **more)


def used(one: VllmEngine, job):
    """Open, run `job`, close."""

    async def work():
        await one.open()
        try:
            return await job()
        finally:
            await one.close()

    return asyncio.run(work())


def test_it_samples_and_scores_and_says_by_which_model(tmp_path):
    one = engine(tmp_path)

    async def job():
        await one.open()
        return await one.generate(gen("hello", n=2)), await one.score_tokens(ScoreRequest(response="r", prompt="p"))

    sampled, scored = used(one, job)
    assert [s.text for s in sampled.samples] == ["HELLO", "HELLO"] and sampled.prompt_tokens == 3
    assert (scored.logprob, scored.tokens) == (-1.5, 2)
    (settings,) = (entry["settings"] for entry in told(tmp_path, "starts"))
    assert settings["name"] == one.model and settings["arguments"]["model"] == str(tmp_path / "model")
    assert settings["arguments"]["revision"] is None and settings["task"] == "generate"


def test_it_pools_what_it_was_made_for_and_nothing_else(tmp_path):
    one = engine(tmp_path, task="embed")

    async def job():
        vector = await one.pool(PoolRequest("embed", text="x"))
        with pytest.raises(EngineError, match="was asked for 'reward' but has task: embed"):
            await one.pool(PoolRequest("reward", text="x"))
        return vector

    assert used(one, job).values == (0.5, 0.25)


def test_it_can_be_closed_twice_opened_again_and_not_asked_while_closed(tmp_path):
    one = engine(tmp_path)

    async def work():
        await one.close()
        with pytest.raises(Stopped):
            await one.generate(gen("early"))
        await one.open()
        first = await one.generate(gen("a"))
        await one.close()
        await one.close()
        with pytest.raises(Stopped, match="was closed; the request was not done"):
            await one.generate(gen("late"))
        await one.open()
        second = await one.generate(gen("b"))
        await one.close()
        return first.text, second.text

    assert asyncio.run(work()) == ("A", "B")
    assert len(told(tmp_path, "starts")) == 2 and all_gone(tmp_path)


def test_asked_before_it_was_opened_it_says_so(tmp_path):
    with pytest.raises(EngineError, match="asked before it was opened"):
        asyncio.run(engine(tmp_path).generate(gen("early")))
    assert engine(tmp_path).statistics() == {}


def test_a_start_that_fails_can_be_tried_again(tmp_path):
    one = engine(tmp_path, "fails")
    for _ in range(2):
        with pytest.raises(EngineError, match="out of memory"):
            asyncio.run(one.open())
    assert all_gone(tmp_path)


def test_figures_count_starts_deaths_and_drafts(tmp_path):
    one = engine(tmp_path)

    async def job():
        await asyncio.gather(one.generate(gen("die once")), one.generate(gen("slow")))
        while not one.statistics().get("acceptance"):
            await asyncio.sleep(0.02)
        return one.statistics()

    figures = used(one, job)
    counted = ("starts", "deaths", "hangs", "poison", "asked_again", "acceptance", "mean_accepted_length", "context")
    assert [figures[name] for name in counted] == [2, 1, 0, 0, 2, 0.6, 4.0, 512]
    assert figures["open_s"] > 0 and figures["busy_s"] > 0


def test_counts_outlive_the_run_so_that_a_poison_row_gets_no_fresh_budget(tmp_path):
    def deaths_of_a_run() -> int:
        one = engine(tmp_path)
        one.keep_faults_in(tmp_path / "faults")

        async def job():
            with pytest.raises(RowError, match="engine.poison"):
                await one.generate(gen("poison"))
            return one.statistics()["deaths"]

        return used(one, job)

    assert [deaths_of_a_run(), deaths_of_a_run()] == [2, 1]
    lines = (tmp_path / "faults/deaths.jsonl").read_text().splitlines()
    assert len(lines) == 3 and len(set(lines)) == 1


def test_a_kill_from_outside_costs_only_time(tmp_path):
    one = engine(tmp_path)

    async def job():
        tasks = [asyncio.create_task(one.generate(gen(f"slow {i}"))) for i in range(3)]
        while len(told(tmp_path, "asked")) < 3:
            await asyncio.sleep(0.01)
        os.kill(told(tmp_path, "starts")[0]["pid"], signal.SIGKILL)
        return [r.text for r in await asyncio.gather(*tasks)]

    assert used(one, job) == ["SLOW 0", "SLOW 1", "SLOW 2"]


def test_a_context_too_short_is_refused_when_planning(tmp_path):
    with pytest.raises(PlanError, match="up to 64 new tokens, but the context of .* is 64 tokens"):
        engine(tmp_path, max_context=64).settle([EngineUse("s", "r", CHAT, 64)])
    engine(tmp_path, max_context=65).settle([EngineUse("s", "r", CHAT, 64), EngineUse("s", "r", CHAT)])


def test_the_identity_of_local_files_is_their_content(tmp_path):
    before = engine(tmp_path).identity()
    (tmp_path / "model/tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    after = engine(tmp_path).identity()
    assert before["version"] == "0.32" and before["chat_template"] is None
    assert after["revision"] != before["revision"] and len(after["chat_template"]) == 64


def test_the_devices_of_a_replica_are_the_product_of_the_parallel_sizes(tmp_path):
    assert engine(tmp_path, tensor_parallel=4, pipeline_parallel=2).devices == 8


def test_a_draft_model_comes_along_and_a_hub_one_keeps_the_network_open(tmp_path, monkeypatch):
    draft = model_folder(tmp_path / "draft")
    local = engine(tmp_path, speculative={"method": "draft_model", "model": str(draft)})
    hub = engine(tmp_path, speculative={"method": "draft_model", "model": "owner/draft", "revision": "a" * 40})
    settings = local._settings()
    assert settings["arguments"]["speculative_config"]["model"] == str(draft)
    assert local._is_local and not hub._is_local


def test_the_hosts_environment_is_the_users_with_what_vllm_needs(tmp_path):
    config = VllmConfig(model="m", cpu_cache_gb=3.0)
    plain = host_environment(config, True, {"PATH": "/bin", "VLLM_SERVER_DEV_MODE": "1"})
    assert plain["HF_HUB_OFFLINE"] == "1" and plain["VLLM_CPU_KVCACHE_SPACE"] == "3" and plain["PATH"] == "/bin"
    assert "VLLM_SERVER_DEV_MODE" not in plain and "OMP_NUM_THREADS" not in plain
    set_by_user = host_environment(config, False, {"VLLM_CPU_KVCACHE_SPACE": "9"})
    assert set_by_user["VLLM_CPU_KVCACHE_SPACE"] == "9" and "HF_HUB_OFFLINE" not in set_by_user
