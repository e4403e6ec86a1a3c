"""A bad day at the server: every row is answered or set aside with its reason, and the run ends by itself."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.integration.harness import assert_sound, prefmill, rejects, rows, served_recipe, status
from tests.integration.server import Ask, Fault, Server, error, fraction

ROWS = 1000
SMALL = {"timeout_s": 1.0, "max_retry_after_s": 5.0}


def kind_of(ask: Ask) -> str:
    """Return what happens to a prompt, by its hash."""
    at = fraction("fault", ask.text)
    for name, share in (("refused", 0.02), ("http500", 0.05), ("http429", 0.02), ("hang", 0.01), ("malformed", 0.01)):
        if at < share:
            return name
        at -= share
    return "good"


def bad_day(ask: Ask) -> Fault | None:
    kind = kind_of(ask)
    if kind == "refused":
        return error(400, f"no answer to {fraction(ask.text):.4f}")
    if ask.attempt > 1 or kind == "good":
        return None
    return {
        "http500": error(500, "oops"),
        "http429": Fault(429, error(429, "slow down").body, {"Retry-After": "1"}),
        "hang": Fault(hang=True),
        "malformed": Fault(200, b'{"choices": [{"index": 0, "mess'),
    }[kind]


def test_all_faults_at_once_leave_every_good_row_and_a_reason_for_every_refused_one(tmp_path):
    with Server(fault=bad_day, latency=0.005) as server:
        served_recipe(tmp_path, server.url, ROWS, score=False, engine=SMALL, rows_in_flight=128)
        done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 6, done.stderr
    kinds = {ask.text: kind_of(ask) for ask in server.seen}
    counts = Counter(kinds.values())
    assert len(kinds) == ROWS and set(counts) == {"refused", "http500", "http429", "hang", "malformed", "good"}
    refused = rejects(tmp_path, "responses")
    assert {r["code"] for r in refused} == {"engine.refused"} and len(refused) == counts["refused"]
    assert all(f"{fraction(_prompt(json.loads(r['row']))):.4f}" in r["message"] for r in refused)
    good = {_prompt(row) for row in rows(tmp_path, "responses")}
    assert good == {text for text, kind in kinds.items() if kind != "refused"}
    asked = Counter(ask.text for ask in server.seen)
    assert all(asked[t] == (1 if kind in ("good", "refused") else 2) for t, kind in kinds.items())
    assert_sound(tmp_path)


def test_a_second_start_after_rejects_asks_nothing_and_ends_with_code_6_again(tmp_path):
    with Server(fault=bad_day) as server:
        served_recipe(tmp_path, server.url, 200, score=False, engine=SMALL)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
        asked = server.requests
        assert (prefmill(tmp_path, "run", "recipe.yaml").returncode, server.requests) == (6, asked)


def refuse_a_tenth(ask: Ask) -> Fault | None:
    return error(400, "no") if fraction("tenth", ask.text) < 0.1 else None


def test_above_max_reject_rate_the_run_ends_with_5_and_codes_until_the_rate_is_raised(tmp_path):
    with Server(fault=refuse_a_tenth, latency=0.002) as server:
        served_recipe(tmp_path, server.url, 500, score=False)
        first = prefmill(tmp_path, "run", "recipe.yaml")
        asked = server.requests
        second = prefmill(tmp_path, "run", "recipe.yaml")
        raised = prefmill(tmp_path, "run", "recipe.yaml", "--set", "limits.max_reject_rate=0.2")
        after_raise = server.requests
        again = prefmill(tmp_path, "run", "recipe.yaml")
    assert (first.returncode, second.returncode, raised.returncode) == (5, 5, 6), raised.stderr
    assert "'responses' rejected" in first.stderr and "max_reject_rate 5.0%" in first.stderr
    assert "engine.refused" in second.stderr and "Traceback" not in first.stderr + second.stderr
    assert asked == after_raise == server.requests == 500
    assert again.returncode == 5 and "engine.refused" in again.stderr
    books = status(tmp_path)["responses"]
    assert (books["rows_in"], books["rows_out"] + sum(books["rejects"].values())) == (500, 500)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (error(401, "who are you"), 4, "check the key"),
        (error(404, "no model"), 4, "model name"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), 7, "quota"),
        (Fault(503, b"{}", {"Retry-After": "86400"}), 7, "asks to wait 86,400 s"),
    ],
    ids=["401", "404", "quota", "retry-after-a-day"],
)
def test_a_fault_that_no_retry_cures_ends_the_run_at_once(tmp_path, fault, code, words):
    with Server(fault=lambda ask: fault) as server:
        served_recipe(tmp_path, server.url, 200, score=False)
        done = prefmill(tmp_path, "run", "recipe.yaml")
    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
    assert server.requests <= 32


def test_a_server_that_fails_on_every_attempt_of_one_row_costs_that_row_and_a_later_run_may_try_again(tmp_path):
    broken = {"on": True}

    def always(ask: Ask) -> Fault | None:
        return error(503, "down") if broken["on"] and ask.text.startswith("Question 7:") else None

    with Server(fault=always) as server:
        served_recipe(tmp_path, server.url, 50, score=False, engine={"max_attempts": 3})
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
        assert [r["code"] for r in rejects(tmp_path, "responses")] == ["engine.exhausted"]
        assert sum(a.text.startswith("Question 7:") for a in server.seen) == 3
        broken["on"] = False
        retried = prefmill(tmp_path, "rejects", "runs/test", "--retry")
    assert retried.returncode == 0, retried.stderr
    assert (server.requests, len(rows(tmp_path, "responses"))) == (53, 50)
    assert_sound(tmp_path)


def _prompt(row: dict) -> str:
    return row["prompt"][-1]["content"]
