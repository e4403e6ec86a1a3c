"""A server as a child of the run: asked, killed, hung, refused, attached to, and gone with the run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.engines.vllm.server import VllmServerEngine
from pipeline.engines.vllm.server_config import VllmServerConfig
from pipeline.errors import EngineError, PrerequisiteError, RowError, Stopped
from pipeline.types import GenRequest, ScoreRequest, messages_of

FAKE = str(Path(__file__).with_name("fake_vllm.py"))


@pytest.fixture
def state(tmp_path):
    (tmp_path / "state").mkdir()
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_text("weights")
    return tmp_path / "state"


def engine(state: Path, mode: str = "good", **options) -> VllmServerEngine:
    config = VllmServerConfig(model=str(state.parent / "model"), base_url_env="NOT_SET", **options)
    return VllmServerEngine(config, (sys.executable, FAKE, str(state), mode))


def gen(text: str, n: int = 1) -> GenRequest:
    return GenRequest(messages=messages_of(text), n=n, max_tokens=8, seed=1)


def use(asking: VllmServerEngine, job):
    """Open, run `job`, close."""

    async def main():
        await asking.open()
        try:
            return await job()
        finally:
            await asking.close()

    return asyncio.run(main())


def ask(asking: VllmServerEngine, *requests: GenRequest):
    """Return results and errors of requests made at once."""

    async def job():
        return await asyncio.gather(*(asking.generate(r) for r in requests), return_exceptions=True)

    return use(asking, job)


def starts(state: Path) -> list[dict]:
    return [json.loads(line) for line in (state / "starts.jsonl").read_text().splitlines()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_gone(state: Path, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    pids = [pid for start in starts(state) for pid in start["pids"]]
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_samples_and_scores_carry_the_name_of_the_engine(state):
    asking = engine(state)

    async def job():
        return await asking.generate(gen("hello", n=2)), await asking.score_tokens(
            ScoreRequest("abc", messages_of("x"))
        )

    drawn, scored = use(asking, job)
    assert [s.text for s in drawn.samples] == ["heard hello"] * 2
    assert (scored.logprob, scored.tokens, scored.prompt_tokens) == (-4.0, 4, 4)
    assert drawn.model == scored.model == asking.model


def test_the_key_is_in_the_servers_environment_and_not_on_its_command_line(state):
    ask(engine(state), gen("hello"))
    (start,) = starts(state)
    assert len(start["key"]) > 40 and not any(start["key"] in word for word in start["argv"])
    assert start["argv"][start["argv"].index("--host") + 1] == "127.0.0.1"
    assert "--generation-config=vllm" in start["argv"]


def test_closing_ends_the_server_and_its_children(state):
    ask(engine(state), gen("hello"))
    assert all_gone(state, 0)


def test_a_server_that_dies_is_started_again_and_everything_is_answered(state):
    asking = engine(state)
    results = ask(asking, *(gen(f"prompt {i}") for i in range(20)), gen("die once"))
    assert [r.text for r in results] == [*(f"heard prompt {i}" for i in range(20)), "heard die once"]
    assert len(starts(state)) == 2 and starts(state)[0]["key"] != starts(state)[1]["key"]
    assert all_gone(state, 0)


def test_a_request_that_always_kills_the_server_becomes_a_reject(state):
    poison, *others = ask(engine(state), gen("poison"), *(gen(f"prompt {i}") for i in range(3)))
    assert isinstance(poison, RowError) and poison.code == "engine.poison"
    assert [r.text for r in others] == [f"heard prompt {i}" for i in range(3)]


def test_a_server_without_progress_is_ended_and_started_again(state):
    (result,) = ask(engine(state, hang_s=2.0), gen("hang once"))
    assert result.text == "heard hang once"
    assert len(starts(state)) == 2 and all_gone(state, 0)


def test_a_server_whose_health_check_fails_is_started_again(state):
    (result,) = ask(engine(state), gen("sicken once"))
    assert result.text == "heard sicken once"
    assert len(starts(state)) == 2


def test_a_refused_request_fails_alone_and_a_wrong_model_is_an_engine_error(state):
    refused, unknown = ask(engine(state), gen("bad"), gen("unknown"))
    assert isinstance(refused, RowError) and refused.code == "engine.refused"
    assert isinstance(unknown, EngineError) and "404" in str(unknown)
    assert len(starts(state)) == 1


def test_a_cancelled_request_is_given_up_and_the_server_goes_on(state):
    asking = engine(state)

    async def job():
        task = asyncio.create_task(asking.generate(gen("hang once")))
        while not (state / "hung").exists():
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await asking.generate(gen("hello"))

    assert use(asking, job).text == "heard hello"
    assert len(starts(state)) == 1


def test_another_program_on_the_port_is_not_taken_for_the_server(state):
    with pytest.raises(EngineError, match="does not answer as the one that was started"):
        ask(engine(state, "foreign"))


def test_deaths_without_a_finished_request_end_the_engine(state):
    asking = engine(state, "dies", max_restarts=1)

    async def job():
        while asking.statistics()["deaths"] < 2:
            await asyncio.sleep(0.1)
        with pytest.raises(EngineError, match="finished no request"):
            await asking.generate(gen("hello"))

    use(asking, job)
    assert len(starts(state)) == 2


def test_a_server_that_never_gets_healthy_is_given_up(state):
    with pytest.raises(EngineError, match=r"not healthy after 2 s \(start_timeout_s\)"):
        ask(engine(state, "silent", start_timeout_s=2.0))
    assert all_gone(state)


@pytest.mark.parametrize(
    ("said", "kind", "advice"),
    [
        ("api_server.py: error: unrecognized arguments: --blok-size 3", PrerequisiteError, "engine_args"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", PrerequisiteError, "lower gpu_memory"),
        ("ValueError: the KV cache memory needed is larger", PrerequisiteError, "set max_context"),
        ("/usr/bin/python: No module named 'vllm'", PrerequisiteError, "pip install"),
        ("OSError: [Errno 98] Address already in use", EngineError, "Address already in use"),
        ("RuntimeError: something odd", EngineError, "something odd"),
        ("INFO args: max_model_len=9\nERROR no Error: in here\nRuntimeError: odd", EngineError, "odd"),
        ("it just stops", EngineError, "its last words: it just stops"),
    ],
)
def test_a_server_that_ends_at_once_says_why(state, said, kind, advice):
    with pytest.raises(kind, match=advice) as error:
        ask(engine(state, said))
    assert said.splitlines()[-1] in str(error.value) and "INFO" not in str(error.value)
    assert all_gone(state, 0)


def test_the_server_ends_when_the_run_is_killed(state):
    code = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[3])\n"
        "from pathlib import Path; from test_vllm_server import engine\n"
        "async def main():\n"
        "    await engine(Path(sys.argv[1])).open(); print('open', flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    here = str(Path(__file__).parent)
    run = subprocess.Popen([sys.executable, "-c", code, str(state), "", here], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "open\n"
    assert all(map(alive, starts(state)[0]["pids"]))
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert all_gone(state)


def test_a_request_after_closing_is_stopped_and_a_regex_is_refused(state):
    asking = engine(state)
    with pytest.raises(EngineError, match="before it was opened"):
        asyncio.run(asking.generate(gen("x")))
    ask(asking)
    with pytest.raises(Stopped):
        asyncio.run(asking.generate(gen("x")))
    with pytest.raises(EngineError, match="JSON schema only"):
        asyncio.run(asking.generate(GenRequest(prompt="x", regex="a+")))


@pytest.fixture
def running(state, monkeypatch):
    """Start a server that is not ours; return its address."""
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = str(state.parent / "model")
    words = [sys.executable, FAKE, str(state), "good", "--port", str(port), f"--served-model-name={name}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as server:
        server.stdout.readline()
        time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
        os.killpg(server.pid, signal.SIGKILL)


def test_a_running_server_is_used_and_left_alone(state, running):
    asking = engine(state, base_url=running)
    (result,) = ask(asking, gen("hello"))
    assert (result.text, result.model) == ("heard hello", asking.model)
    (start,) = starts(state)
    assert all(map(alive, start["pids"]))


def test_the_address_may_come_from_the_environment_and_changes_no_identity(state, running, monkeypatch):
    asking = VllmServerEngine(VllmServerConfig(model=str(state.parent / "model")), ("not", "started"))
    before, needed = asking.identity(), asking.devices
    monkeypatch.setenv("PREFMILL_VLLM_URL", running)
    asking.check()

    async def job():
        return await asking.score_tokens(ScoreRequest("abc", messages_of("x"), include_eos=False))

    assert use(asking, job).logprob == -3.0
    assert (asking.identity(), asking.devices, asking.models(), needed) == (before, 0, (), 1)


def test_a_running_server_with_another_model_is_refused(state, running):
    with pytest.raises(PrerequisiteError, match="does not serve 'other'.*--served-model-name"):
        ask(engine(state, base_url=running, served_name="other"))
    with pytest.raises(PrerequisiteError, match="does not serve"):
        ask(engine(state, base_url=running, round_weights={"bits": 3}))


def test_a_running_server_with_another_context_is_refused(state, running):
    with pytest.raises(PrerequisiteError, match="--max-model-len 256"):
        ask(engine(state, base_url=running, max_context=256))


def test_a_wrong_key_or_no_server_is_named(state, running, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "wrong")
    with pytest.raises(PrerequisiteError, match="answered 401"):
        ask(engine(state, base_url=running))
    with pytest.raises(PrerequisiteError, match="no server answers at"):
        ask(engine(state, base_url="http://127.0.0.1:9/v1"))
