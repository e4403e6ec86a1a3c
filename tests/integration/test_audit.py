"""The recipe `audit/judge.yaml` on a server: faulty judges are exposed, a killed audit pays for nothing twice."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.harness import ROOT, assert_sound, prefmill, start, write_jsonl
from tests.integration.server import Ask, Fault, Server, wait_until

LLMBAR = ROOT.parent / "shared/data/llmbar/natural.json"
PAIRS = 10
SHOWN = re.compile(r"BEGIN [A-Z]+ [0-9a-f]{16}\n(.*?)\nEND [A-Z]+ [0-9a-f]{16}", re.DOTALL)


def always_first(ask: Ask, index: int) -> str:
    return "A"


def always_longer(ask: Ask, index: int) -> str:
    first, second = SHOWN.findall(ask.text)[-2:]
    return "A" if len(first) > len(second) else "B"


def knows(ask: Ask, index: int) -> str:
    first, second = SHOWN.findall(ask.text)[-2:]
    return "A" if "right" in first else "B"


def prepared(folder: Path) -> None:
    """Copy the recipe, with pairs of which half have the longer response right."""
    shutil.copytree(ROOT / "recipes/audit", folder / "recipes/audit")
    (folder / "recipes/data").mkdir()
    records = []
    for i in range(PAIRS):
        right, wrong = f"the right one, {i}", f"the other one, {i}"
        right, wrong = (right + ", at length" * 2, wrong) if i % 2 else (right, wrong + ", at length" * 2)
        sides = {"chosen": right, "rejected": wrong}
        records.append({"id": i, "prompt": f"Question {i}?", "subset": "made", **sides})
    write_jsonl(folder / "recipes/data/preferences.jsonl", records)


def command(server: Server, *more: object) -> list[object]:
    sets = [f"engines.judge.base_url={server.url}", "stages.verdicts.with.style=plain"]
    return [
        "audit",
        "recipes/audit/judge.yaml",
        "--run-dir",
        "runs/test",
        *(x for s in sets for x in ("--set", s)),
        *more,
    ]


@pytest.fixture
def audit(tmp_path):
    def run(reply, *more):
        prepared(tmp_path)
        with Server(reply) as server:
            done = prefmill(tmp_path, *command(server, "--json", *more))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout), server

    return run


def test_an_always_first_judge_gives_only_ties(audit):
    found, server = audit(always_first)
    judge = found["figures"]["all"]["judge"]
    assert (judge["ties"], judge["accuracy"], judge["flip_rate"], judge["longer_wins"]) == (PAIRS, 0.5, 1.0, 0.5)
    assert found["usage"]["judge"]["requests"] == server.requests == 2 * PAIRS
    assert any("with the order of showing in 100%" in line for line in found["remarks"])


def test_an_always_longer_judge_is_exposed(audit):
    found, _ = audit(always_longer)
    judge = found["figures"]["all"]["judge"]
    assert (judge["accuracy"], judge["flip_rate"], judge["longer_wins"]) == (0.5, 0.0, 1.0) and judge["slope_low"] > 0
    assert any(line.startswith("judge is a length reward") for line in found["remarks"])
    assert found["agreements"] == [{"one": "judge", "other": "length", "pairs": PAIRS, "same": 1.0, "kappa": 1.0}]


def test_a_judge_that_knows_is_right_whichever_side_it_sees_first(audit):
    found, _ = audit(knows)
    assert found["figures"]["all"]["judge"]["accuracy"] == 1.0 and found["remarks"] == []


def test_a_killed_audit_goes_on_and_pays_for_nothing_twice(tmp_path):
    prepared(tmp_path)
    left = [7]

    def fault(ask: Ask) -> Fault | None:
        left[0] -= 1
        return Fault(hang=True) if left[0] < 0 else None

    with Server(knows, fault) as server:
        process = start(tmp_path, *command(server, "--set", "limits.rows_in_flight=1"))
        wait_until(lambda: left[0] < 0 or process.poll() is not None)
        process.kill()
        process.communicate()
        server.settle()
        left[0] = 1000
        done = prefmill(tmp_path, *command(server, "--json"))
    assert done.returncode == 0, done.stderr
    assert sum(server.answered.values()) == 2 * PAIRS and max(server.answered.values()) == 1
    found = json.loads(done.stdout)
    assert found["usage"]["judge"]["requests"] == 2 * PAIRS and found["figures"]["all"]["judge"]["accuracy"] == 1.0
    assert_sound(tmp_path)


@pytest.mark.skipif(not LLMBAR.is_file(), reason="the LLMBar files are not here")
def test_llmbar_natural_through_the_command(audit):
    found, server = audit(always_longer, "--data", LLMBAR, "--format", "llmbar")
    overall = found["figures"]["all"]
    assert found["items"] == {"labelled": 100} and server.requests == 200
    assert overall["judge"]["accuracy"] == pytest.approx(overall["length"]["accuracy"], abs=0.02)
    assert overall["length"]["accuracy"] == pytest.approx(0.57, abs=0.03)
