"""Rule verdicts as a run: killed at half of them and resumed, none is asked for twice, and the output is the same."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from tests.integration.harness import (
    FAST,
    assert_sound,
    committed,
    prefmill,
    rows,
    start,
    write_jsonl,
    write_recipe,
)
from tests.integration.server import Ask, Fault, Server, wait_until

WORDS = ("alpha", "beta", "gamma", "delta")
RESPONSES, DRAWS = 3, 2
VERDICTS = RESPONSES * DRAWS * len(WORDS)


class Judge:
    """Says yes if the word of the rule is in the response; answers `left` verdicts, then hangs."""

    def __init__(self, left: int = 10_000) -> None:
        self.left = left

    def fault(self, ask: Ask) -> Fault | None:
        if "The rule: " not in ask.text:
            return None
        self.left -= 1
        return Fault(hang=True) if self.left < 0 else None

    def reply(self, ask: Ask, index: int) -> str:
        if "The rule: " not in ask.text:
            return f"Reply about {' and '.join(WORDS[: 1 + 2 * index])}. [[Yes]]"
        word = re.findall(r"^The rule: The response says (\w+)\.$", ask.text, re.MULTILINE)[-1]
        said = re.search(r"BEGIN RESPONSE (\w{16})\n(.*)\nEND RESPONSE \1", ask.text, re.DOTALL)[2]
        return json.dumps({"verdict": "yes" if word in said else "no"})


def prepared(folder: Path, url: str) -> None:
    """Write prompts, rules and a recipe prompts -> responses -> verdicts -> pairs."""
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "prompts.jsonl", [{"prompt": f"Question {i}?"} for i in range(RESPONSES)])
    write_jsonl(folder / "rules.jsonl", [{"rule": f"The response says {w}."} for w in WORDS])
    engines = {"model": {"kind": "openai", "base_url": url, "model": "m", **FAST, "timeout_s": 60.0}}
    stages = [
        {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}},
        {"id": "responses", "use": "sample_responses", "roles": {"policy": "model"}, "with": {"n": DRAWS}},
        {"id": "scores", "use": "verify_rules", "roles": {"verifier": "model"}, "with": {"rules": "rules.jsonl"}},
        {"id": "pairs", "use": "select_pairs", "with": {"score": "rule_fraction"}},
    ]
    write_recipe(folder, stages, engines, limits={"rows_in_flight": 2, "max_reject_rate": 1.0})


def quiet(server: Server) -> bool:
    """Return whether no request came for a while: all that could be answered is, and is journaled."""
    return time.monotonic() - server.last_arrival > 1.5


def test_a_run_killed_at_half_of_its_verdicts_asks_none_twice_and_ends_as_one_that_was_not(tmp_path):
    whole = Judge()
    with Server(whole.reply, whole.fault) as server:
        prepared(tmp_path / "whole", server.url)
        done = prefmill(tmp_path / "whole", "run", "recipe.yaml")
        assert done.returncode == 0, done.stderr
    judge, folder = Judge(left=VERDICTS // 2), tmp_path / "killed"
    with Server(judge.reply, judge.fault) as server:
        prepared(folder, server.url)
        process = start(folder, "run", "recipe.yaml")
        wait_until(lambda: process.poll() is not None or (judge.left < 0 and quiet(server)))
        process.kill()
        process.communicate()
        server.settle()
        assert process.returncode == -9
        unanswered = set(server.received) - set(server.answered)
        judge.left = 10_000
        assert prefmill(folder, "run", "recipe.yaml").returncode == 0
    assert sum(server.answered.values()) == RESPONSES + VERDICTS and max(server.answered.values()) == 1
    assert unanswered and {key for key, n in server.received.items() if n > 1} == unanswered
    assert committed(folder)["scores"][0][2] == committed(tmp_path / "whole")["scores"][0][2]
    scored = rows(folder, "scores")
    assert all(r["verdicts"] == [int(w in r["response"]) for w in WORDS] for r in scored)
    assert len(scored) == RESPONSES * DRAWS
    assert [(r["score_chosen"], r["score_rejected"]) for r in rows(folder, "pairs")] == [(0.75, 0.25)] * RESPONSES
    assert_sound(folder)
