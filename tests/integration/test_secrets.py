"""A canary key in the environment must reach the server and nothing else: no file, no output, no log."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

import pytest

from pipeline.api import CHAT, GenRequest, RowStage, StageConfig, columns
from tests.integration.harness import (
    environment,
    files_holding,
    prefmill,
    register,
    rows,
    secret_forms,
    served_recipe,
    start,
    write_recipe,
)
from tests.integration.server import Ask, Fault, Server, error, wait_until

CANARY = "sk-canary-" + "q7Zt9Xw2" * 5
LOOK = (
    ("status", "runs/test"),
    ("status", "runs/test", "--json"),
    ("rejects", "runs/test"),
    ("rejects", "runs/test", "--json"),
    ("plan", "recipe.yaml"),
    ("validate", "recipe.yaml"),
    ("verify", "runs/test"),
)


class Clumsy(RowStage):
    """Asks, then breaks with everything it knows in the message."""

    name, version, config_type = "clumsy", 1, StageConfig
    outputs = columns(x=str)
    engine_roles = {"policy": CHAT}

    async def process_row(self, row, ctx):
        engine = ctx.engine("policy")
        await engine.generate(GenRequest(prompt="hello"))
        raise TypeError(f"{row!r} {engine!r} {vars(engine)!r} {vars(vars(engine)['_slot'].engine)!r}")


def run_with_canary(folder: Path, *args: object, expect: int) -> str:
    """Run the command with the key set and every library talking, and return all it said."""
    env = environment(OPENAI_API_KEY=CANARY, PREFMILL_LOG="DEBUG", OPENAI_LOG="debug", PYTHONPATH=str(folder / "path"))
    done = prefmill(folder, *args, env=env)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_hidden(folder: Path, said: str) -> None:
    assert said and not any(form in said.encode() for form in secret_forms(CANARY))
    assert list(files_holding(folder, CANARY)) == []


def assert_was_sent(server: Server) -> None:
    assert server.seen and all(a.headers["authorization"] == f"Bearer {CANARY}" for a in server.seen)


def test_the_search_would_find_the_canary_in_each_form(tmp_path):
    (tmp_path / "a").write_bytes(b"..." + CANARY.encode())
    for shift in range(3):
        (tmp_path / f"b{shift}").write_bytes(base64.b64encode(b"x" * shift + CANARY.encode() + b"tail"))
    assert len(list(files_holding(tmp_path, CANARY))) == 4


def test_a_good_run_and_every_command_that_looks_at_it_hide_the_key(tmp_path):
    with Server() as server:
        served_recipe(tmp_path, server.url, 30)
        said = run_with_canary(tmp_path, "run", "recipe.yaml", expect=0)
    assert_was_sent(server)
    for command in LOOK:
        said += run_with_canary(tmp_path, *command, expect=0)
    row_id = rows(tmp_path, "scores")[0]["id"]
    said += run_with_canary(tmp_path, "trace", "runs/test", row_id, expect=0)
    said += run_with_canary(tmp_path, "trace", "runs/test", row_id, "--json", expect=0)
    doctor = run_with_canary(tmp_path, "doctor", expect=0)
    assert "OPENAI_API_KEY is set" in doctor
    assert_hidden(tmp_path, said + doctor)


def test_an_exported_dataset_hides_the_key(tmp_path):
    with Server() as server:
        recipe = json.loads(served_recipe(tmp_path, server.url, 10, draws=3).read_text())
        recipe["stages"][-1]["with"] = {"column": "reward"}
        write_recipe(tmp_path, [*recipe["stages"], {"id": "pairs", "use": "select_pairs"}], recipe["engines"])
        said = run_with_canary(tmp_path, "run", "recipe.yaml", expect=0)
    said += run_with_canary(tmp_path, "export", "runs/test", "--to", "out", "--show", expect=0)
    assert list((tmp_path / "out").rglob("*.parquet"))
    assert_hidden(tmp_path, said)


def blabbing(ask: Ask) -> Fault:
    """Refuse with the request's own header in the text, in plain and in base64."""
    sent = ask.headers["authorization"]
    coded = base64.b64encode(sent.removeprefix("Bearer ").encode()).decode()
    return error(400, f"cannot serve Authorization: {sent} also known as {coded}")


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_a_server_that_echoes_the_key_in_a_refusal_leaves_no_trace_of_it(tmp_path, client):
    with Server(fault=lambda ask: blabbing(ask) if ask.text.endswith("9?") else None) as server:
        served_recipe(tmp_path, server.url, 20, score=False, engine={"client": client}, max_reject_rate=1.0)
        said = run_with_canary(tmp_path, "run", "recipe.yaml", expect=6)
    for command in LOOK if client == "aiohttp" else LOOK[3:4]:
        said += run_with_canary(tmp_path, *command, expect=0)
    assert "[key]" in said
    assert_was_sent(server)
    assert_hidden(tmp_path, said)


def _fatal(ask: Ask) -> Fault:
    return Fault(401, blabbing(ask).body)


def _garbage(ask: Ask) -> Fault:
    return Fault(200, b"<html>" + ask.headers["authorization"].encode())


def _server_error(ask: Ask) -> Fault:
    return Fault(500, blabbing(ask).body)


@pytest.mark.parametrize(("fault", "code"), [(_fatal, 4), (_garbage, 5), (_server_error, 5)])
@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_a_server_that_echoes_the_key_while_it_fails_leaves_no_trace_of_it(tmp_path, client, fault, code):
    with Server(fault=fault) as server:
        served_recipe(tmp_path, server.url, 5, score=False, engine={"client": client, "max_attempts": 2})
        said = run_with_canary(tmp_path, "run", "recipe.yaml", expect=code)
    said += run_with_canary(tmp_path, "rejects", "runs/test", "--json", expect=0)
    assert_was_sent(server)
    assert_hidden(tmp_path, said)


def test_a_refused_connection_hides_the_key(tmp_path):
    with Server() as server:
        url = server.url
    served_recipe(tmp_path, url, 5, score=False, engine={"unreachable_s": 0.2})
    said = run_with_canary(tmp_path, "run", "recipe.yaml", expect=7)
    assert "ConnectionRefusedError" in said
    assert_hidden(tmp_path, said)


def test_a_stage_that_dumps_its_engine_in_an_exception_cannot_dump_the_key(tmp_path):
    register(tmp_path / "path", {"clumsy": f"{__name__}:Clumsy"})
    with Server() as server:
        stages = [
            {"id": "domains", "use": "load_domains", "with": {"domains": ["a"]}},
            {"id": "clumsy", "use": "clumsy", "roles": {"policy": "policy"}},
        ]
        write_recipe(tmp_path, stages, {"policy": {"kind": "openai", "base_url": server.url, "model": "m"}})
        said = run_with_canary(tmp_path, "run", "recipe.yaml", expect=1)
    assert "Traceback" in said and "TypeError" in said
    assert_was_sent(server)
    assert_hidden(tmp_path, said)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ended_run_leaves_no_key_in_journal_or_output(tmp_path, number):
    env = environment(OPENAI_API_KEY=CANARY, PREFMILL_LOG="DEBUG")
    with Server(latency=0.02) as server:
        served_recipe(tmp_path, server.url, 300)
        process = start(tmp_path, "run", "recipe.yaml", env=env)
        wait_until(lambda: len(server.answered) > 80)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert any((tmp_path / "runs").rglob("*.journal"))
    assert_was_sent(server)
    assert_hidden(tmp_path, "." + out + err)


def test_a_key_pasted_into_a_recipe_or_an_address_is_refused_and_not_repeated(tmp_path):
    engine = {"kind": "openai", "model": "m"}
    stages = [
        {"id": "domains", "use": "load_domains", "with": {"domains": ["a"]}},
        {"id": "x", "use": "extract_skills", "roles": {"generator": "e"}},
    ]
    for wrong in ({"api_key": CANARY}, {"base_url": f"http://user:{CANARY}@127.0.0.1/v1"}):
        write_recipe(tmp_path, stages, {"e": {**engine, **wrong}})
        done = prefmill(tmp_path, "run", "recipe.yaml", env=environment())
        assert done.returncode == 2 and CANARY not in done.stdout + done.stderr
    env = environment(OPENAI_BASE_URL=f"https://{CANARY}@example.invalid/v1", OPENAI_API_KEY=CANARY)
    write_recipe(tmp_path, stages, {"e": engine})
    done = prefmill(tmp_path, "run", "recipe.yaml", env=env)
    assert done.returncode == 2 and CANARY not in done.stdout + done.stderr
