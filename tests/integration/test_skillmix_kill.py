"""`synthesize_skillmix` killed after every single turn: no turn is paid for twice, and the output is the same."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.harness import assert_sound, committed, prefmill, rows, start, write_jsonl, write_recipe
from tests.integration.server import Ask, Fault, Server, wait_until

TURNS = 4 + 4
"""The first row is cut off once and asked for a shorter reply, the second one's first reply is prose."""


class Model:
    """A model that keeps to the form but for its first reply to each row; answers `per_life` requests, then hangs."""

    def __init__(self, per_life: int) -> None:
        self.per_life = per_life
        self.left = per_life
        self.seeds: dict[str, int] = {}

    def fault(self, ask: Ask) -> Fault | None:
        self.left -= 1
        if self.left < 0:
            return Fault(hang=True)
        if ask.text.startswith("Write one") and "(cut)" in ask.text:
            cut = {
                "index": 0,
                "message": {"role": "assistant", "content": "### Instruction\nI"},
                "finish_reason": "length",
            }
            return Fault(200, json.dumps({"id": "x", "model": "m", "choices": [cut]}).encode())
        return None

    def reply(self, ask: Ask, index: int) -> str:
        if ask.text.startswith("Look at your last"):
            return "1. Both skills matter. 5. Keep the club."
        if (
            ask.text.startswith("Write one")
            and "(prose)" in ask.text
            and self.seeds.setdefault(ask.text, ask.body["seed"]) == ask.body["seed"]
        ):
            return "I would be glad to."
        return f"### Instruction\nMy club meets on day {ask.body['seed'] % 1000}; which talk do I give first, please?"


def prepared(folder: Path, url: str) -> None:
    """Write two planned rows and a recipe that works on one at a time."""
    folder.mkdir(exist_ok=True)
    names = {"skills": "list<string>", "query_type": "string", "query_type_definition": "string"}
    records = [
        {"prompt": p, "skills": ["weighing", "ordering"], "query_type": "how_to", "query_type_definition": p}
        for p in ("cut", "prose")
    ]
    write_jsonl(folder / "prompts.jsonl", records)
    stages = [
        {"id": "plan", "use": "load_prompts", "with": {"path": "prompts.jsonl", "keep_columns": names}},
        {"id": "mixed", "use": "synthesize_skillmix", "roles": {"generator": "model"}},
    ]
    engines = {"model": {"kind": "openai", "base_url": url, "model": "m", "timeout_s": 60.0}}
    write_recipe(folder, stages, engines, limits={"rows_in_flight": 1})


def test_a_run_killed_after_every_turn_pays_for_each_once_and_ends_as_one_that_was_not(tmp_path):
    whole = Model(per_life=1000)
    with Server(whole.reply, whole.fault) as server:
        prepared(tmp_path / "whole", server.url)
        assert prefmill(tmp_path / "whole", "run", "recipe.yaml").returncode == 0
        assert server.requests == TURNS
    model, folder = Model(per_life=1), tmp_path / "killed"
    with Server(model.reply, model.fault) as server:
        prepared(folder, server.url)
        for turn in range(1, TURNS):
            model.left = model.per_life
            process = start(folder, "run", "recipe.yaml")
            wait_until(lambda p=process: model.left < 0 or p.poll() is not None)
            process.kill()
            process.communicate()
            server.settle()
            assert process.returncode == -9 and server.requests == 2 * turn
        model.left = model.per_life
        assert prefmill(folder, "run", "recipe.yaml").returncode == 0
    # each request but the first was met by a kill before its answer, came again in the next life, and never after it
    assert sorted(server.received.values()) == [1] + [2] * (TURNS - 1)
    assert committed(folder)["mixed"][0][2] == committed(tmp_path / "whole")["mixed"][0][2]
    assert [(r["attempts"], r["length_rewrites"]) for r in rows(folder, "mixed")] == [(4, 1), (4, 0)]
    assert_sound(folder)
