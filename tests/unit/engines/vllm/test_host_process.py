"""The host process: started, refused, silent, loud, ended with everything it started, and gone with its run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.engines.vllm.process import HostProcess
from pipeline.errors import EngineError, PrerequisiteError
from tests.unit.engines.vllm.hosts import SCRIPT, all_gone, body, start, told


async def one_answer(host, text: str):
    host.send({"op": "generate", "id": 1, "body": body(text)})
    while "id" not in (message := await host.receive()):
        assert "beat" in message
    return message


def test_a_host_gets_its_settings_says_what_it_is_and_answers(tmp_path):
    async def work():
        host, facts = await start(tmp_path)
        answer = await one_answer(host, "hello")
        await host.stop()
        return facts, answer, host.pid

    facts, answer, pid = asyncio.run(work())
    assert facts == {"vllm": "scripted", "context": 512}
    assert answer["id"] == 1 and answer["ok"]["samples"][0]["text"] == "HELLO"
    assert told(tmp_path, "starts")[0]["settings"] == {"name": "m"} and told(tmp_path, "starts")[0]["pid"] == pid


def test_a_stopped_host_ends_in_order_and_takes_its_children_along(tmp_path):
    async def work():
        host, _ = await start(tmp_path)
        await host.stop()
        await host.kill()

    asyncio.run(work())
    assert len(told(tmp_path, "ends")) == 1 and all_gone(tmp_path)


def test_a_host_that_does_not_end_when_asked_is_killed(tmp_path):
    async def work():
        host, _ = await start(tmp_path, "stubborn", grace_s=0.2)
        await host.stop()

    asyncio.run(work())
    assert told(tmp_path, "ends") == [] and all_gone(tmp_path)


@pytest.mark.parametrize(
    ("mode", "kind", "says"),
    [
        ("refuses", PrerequisiteError, "not loaded: PrerequisiteError: no such argument; .*the device is on fire"),
        ("fails", EngineError, "not loaded: RuntimeError: out of memory; .*the device is on fire"),
        ("leaves", EngineError, "ended while it started; its last words: the device is on fire$"),
        ("mute", EngineError, "not ready after 2 s; its last words: the device is on fire$"),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_no_process(tmp_path, mode, kind, says):
    with pytest.raises(kind, match=says):
        asyncio.run(start(tmp_path, mode, timeout_s=2))
    assert all_gone(tmp_path)


def test_a_command_that_is_not_there_is_an_error_of_the_engine():
    with pytest.raises(EngineError, match="cannot be started: .*no-such-program"):
        asyncio.run(HostProcess.start({}, os.environ, 5, ("/no-such-program",)))


def test_a_host_that_says_nothing_is_quoted_so():
    with pytest.raises(EngineError, match="ended while it started; it said nothing"):
        asyncio.run(HostProcess.start({}, os.environ, 5, ("/bin/true",)))


def test_what_a_host_says_for_information_is_quoted_only_if_there_is_nothing_else():
    lines = "print('INFO 1'); print('WARNING 2'); print()"
    with pytest.raises(EngineError, match=r"last words: INFO 1 \| WARNING 2$"):
        asyncio.run(HostProcess.start({}, os.environ, 20, (sys.executable, "-c", lines)))


def test_a_start_that_is_given_up_leaves_no_process(tmp_path):
    async def work():
        starting = asyncio.create_task(start(tmp_path, "mute"))
        while not told(tmp_path, "starts"):
            await asyncio.sleep(0.02)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return starting.cancelled()

    assert asyncio.run(work()) and all_gone(tmp_path)


def test_a_very_long_line_of_output_does_not_bring_the_host_to_a_stand(tmp_path):
    async def work():
        host, _ = await start(tmp_path)
        answers = [await one_answer(host, f"loud {i}") for i in range(3)]
        await host.stop()
        return answers, host.last_words()

    answers, words = asyncio.run(work())
    assert [a["ok"]["samples"][0]["text"] for a in answers] == ["LOUD 0", "LOUD 1", "LOUD 2"]
    assert words.count("x") == 3 * 1000


def test_progress_bars_end_their_lines_with_a_carriage_return():
    bars = r"import sys; sys.stdout.write('load 1\rload 2\rload \u20ac\r\nlost')"
    with pytest.raises(EngineError, match=r"last words: load 1 \| load 2 \| load € \| lost$"):
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        asyncio.run(HostProcess.start({}, environment, 20, (sys.executable, "-c", bars)))


RUN = """
import asyncio, os, sys
from pipeline.engines.vllm.process import HostProcess

async def main():
    await HostProcess.start({}, os.environ, 60, sys.argv[1:])
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize(("mode", "reached"), [("good", "starts"), ("blocked", "blocked")])
def test_a_host_whose_run_is_killed_ends_by_itself_even_while_it_loads(tmp_path, mode, reached):
    run = subprocess.Popen([sys.executable, "-c", RUN, sys.executable, "-P", SCRIPT, str(tmp_path), mode])
    try:
        deadline = time.monotonic() + 30
        while not told(tmp_path, reached) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert all_gone(tmp_path, within_s=15)
