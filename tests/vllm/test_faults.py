"""A core killed, a row that kills the engine, memory given back: on the real engine, in a run of the command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest

from pipeline.errors import PrerequisiteError, RowError
from pipeline.store.manifest import open_run
from pipeline.types import GenRequest, messages_of
from tests.integration.harness import prefmill, start, write_jsonl
from tests.vllm.conftest import MODEL, core_of, engine, processes_of_group, resident_mb


def ask(text, seed, max_tokens=24):
    return GenRequest(messages=messages_of(text), max_tokens=max_tokens, seed=seed)


def write_run(folder, prompts, max_tokens, **options):
    write_jsonl(folder / "prompts.jsonl", [{"prompt": p} for p in prompts])
    policy = {"kind": "vllm", "model": MODEL, "dtype": "float32", "eager": True, "max_context": 1024, **options}
    stages = [
        {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}},
        {
            "id": "responses",
            "use": "sample_responses",
            "roles": {"policy": "policy"},
            "with": {"n": 1, "max_tokens": max_tokens},
        },
    ]
    limits = {"shard_rows": 8, "rows_in_flight": 8, "max_reject_rate": 1.0}
    recipe = {"recipe": 1, "name": "test", "seed": 5, "engines": {"policy": policy}, "stages": stages, "limits": limits}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))


def find(name, deadline):
    while time.monotonic() < deadline:
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if entry.isdigit() and name in file.read():
                        return int(entry)
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"no process {name!r} appeared")


def progress(folder):
    try:
        stages = json.loads((folder / "runs/test/progress.json").read_bytes())["stages"]
    except (OSError, ValueError):
        return {}
    return next((s for s in stages if s["stage_id"] == "responses"), {})


def test_a_run_ends_complete_when_the_core_is_killed_and_asks_again_only_what_was_in_flight(tmp_path):
    write_run(tmp_path, [f"Write a long story about number {i}." for i in range(32)], 120)
    process = start(tmp_path, "run", "recipe.yaml")
    deadline = time.monotonic() + 300
    while progress(tmp_path).get("done", 0) < 10 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(find(b"VLLM::EngineCore", deadline), signal.SIGKILL)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    view = open_run(tmp_path / "runs/test")
    figures = view.stages["responses"]
    stats = json.loads(next((tmp_path / "runs/test/engines/policy").glob("*.json")).read_bytes())
    assert figures.rows_out == 32 and figures.records[0].rows_rejected == 0
    assert stats["deaths"] == 1 and stats["starts"] == 2 and 1 <= stats["asked_again"] <= 8
    assert progress(tmp_path)["requests"] == 32
    assert prefmill(tmp_path, "verify", "runs/test").returncode == 0


def test_a_row_that_kills_the_engine_ends_as_a_reject_and_the_rest_is_done(tmp_path):
    """On the CPU build a seeded prompt that is read in parts kills the engine (0.32): a real poison row."""
    prompts = [f"Name river {i}." for i in range(5)]
    prompts.insert(2, "word " * 400)
    options = {"engine_args": {"enable_chunked_prefill": True}, "batch_tokens": 256, "max_sequences": 16}
    write_run(tmp_path, prompts, 16, **options)
    done = prefmill_long(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 6, done.stderr
    responses = open_run(tmp_path / "runs/test").stages["responses"]
    assert responses.rejects_by_code == {"engine.poison": 1} and responses.rows_out == 5
    deaths = (tmp_path / "runs/test/engines/policy/deaths.jsonl").read_text().splitlines()
    assert 3 <= len(deaths) <= 6 and len(json.loads(deaths[-1])["in_flight"]) == 1


def prefmill_long(folder, *args):
    process = start(folder, *args)
    out, err = process.communicate(timeout=800)
    process.stdout_text, process.stderr = out, err
    return process


def test_a_killed_core_costs_an_open_engine_nothing_but_time(loop):
    async def work():
        one = engine()
        await one.open()
        tasks = [asyncio.create_task(one.generate(ask(f"Tell story {i}.", i, 200))) for i in range(4)]
        await asyncio.sleep(1.5)
        os.kill(core_of(one), signal.SIGKILL)
        replies = await asyncio.gather(*tasks)
        figures, group = one.statistics(), one._calls._host.pid
        await one.close()
        return replies, figures, group

    replies, figures, group = loop.run(work())
    assert all(r.samples[0].tokens for r in replies) and figures["asked_again"] == 4
    assert processes_of_group(group) == {}


def test_two_engines_one_after_the_other_give_their_memory_back(loop):
    async def once(dtype):
        one = engine(dtype=dtype)
        await one.open()
        await one.generate(ask("Hello.", 1))
        group = one._calls._host.pid
        await one.close()
        return group

    loop.run(once("bfloat16"))
    before = resident_mb()
    groups = [loop.run(once(dtype)) for dtype in ("float32", "bfloat16")]
    assert resident_mb() <= 1.05 * before
    assert all(processes_of_group(g) == {} for g in groups)


def test_an_argument_that_vllm_refuses_ends_before_weights_load(loop):
    with pytest.raises(PrerequisiteError, match="no argument 'enable_prefix_cachin'"):
        loop.run(engine(engine_args={"enable_prefix_cachin": True}).open())


def test_a_start_that_fails_says_why(loop):
    with pytest.raises(PrerequisiteError, match="kv_cache_dtype|kv-cache-dtype|cache_dtype|CacheDType"):
        loop.run(engine(kv_cache_dtype="fp3").open())


def test_a_request_known_to_have_killed_twice_is_asked_alone_and_not_refused(loop, tmp_path):
    request = ask("Name a river.", 3)

    async def work():
        one = engine()
        key = one_key(request)
        (tmp_path / "deaths.jsonl").write_text((json.dumps({"in_flight": [key]}) + "\n") * 2)
        one.keep_faults_in(tmp_path)
        await one.open()
        try:
            return await asyncio.gather(*(one.generate(r) for r in (request, ask("Name a lake.", 4))))
        except RowError as error:
            return error
        finally:
            await one.close()

    assert all(r.samples for r in loop.run(work()))


def one_key(request):
    from pipeline.canonical import digest_of

    return digest_of(["generate", request.to_json()])[:32]
