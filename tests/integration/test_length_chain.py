"""A judge that leans towards longer answers, in a run: its verdicts on pairs, and what they are without length."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.integration.harness import assert_sound, prefmill, rejects, rows, write_jsonl, write_recipe
from tests.integration.server import Ask, Server, fraction

PAIRS = 80


def reply(ask: Ask, _index: int) -> str:
    """Name the better answer: its quality is the number in it, and every ten characters are worth 0.01."""
    worth = {}
    for side in "AB":
        text = re.findall(rf"BEGIN RESPONSE{side} .*\n(.*)\n", ask.text)[-1]
        worth[side] = float(text.split()[0]) + 0.001 * len(text)
    return max(worth, key=lambda side: worth[side])


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("length")
    draw = random.Random(5)
    records = [
        {
            "id": f"pair-{i}",
            "prompt": f"Question {i}?",
            "label": "a",
            **{f"response_{s}": f"{fraction(i, s):.3f} " + "x" * draw.randrange(20, 900) for s in "ab"},
        }
        for i in range(PAIRS)
    ]
    write_jsonl(folder / "pairs.jsonl", records)
    with Server(reply) as server:
        options = {"mode": "pairs", "column": "preference", "length_column": "length"}
        stages = [
            {"id": "pairs", "use": "load_preferences", "with": {"path": "pairs.jsonl", "rows": "pairs"}},
            {"id": "judged", "use": "judge_pair", "roles": {"judge": "judge"}, "with": {"style": "plain"}},
            {"id": "fair", "use": "control_length", "from": "judged", "with": options},
        ]
        engines = {"judge": {"kind": "openai", "base_url": server.url, "model": "judge"}}
        write_recipe(folder, stages, engines, limits={"shard_rows": 16})
        done = prefmill(folder, "run", "recipe.yaml", "--run-dir", "runs/test")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_pair_comes_through_with_its_raw_value(finished):
    judged, fair = ({r["id"]: r for r in rows(finished, s)} for s in ("judged", "fair"))
    assert len(fair) == PAIRS and not rejects(finished, "fair")
    assert all(fair[i]["preference"] == judged[i]["preference"] for i in judged)
    assert {r["preference_length_status"] for r in fair.values()} == {"debiased"}
    assert_sound(finished)


def test_one_slope_over_all_shards_takes_the_advantage_of_length_away(finished):
    fair = rows(finished, "fair")
    assert len({r["preference_length_gamma"] for r in fair}) == 1 and fair[0]["preference_length_gamma_low"] > 0
    for row in fair:
        longer = row["length_a"] - row["length_b"]
        assert (row["preference_length_debiased"] - row["preference"]) * longer <= 0


def test_the_report_shows_the_slope(finished):
    shown = prefmill(finished, "report", "runs/test").stdout
    assert "Length control" in shown and "share won by the longer response" in shown
