"""Who killed the engine: asked again once, then by halves, and poison only if alone."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engines.vllm.suspects import Counts, Suspects


def fresh() -> Suspects:
    return Suspects(Counts())


def killed(suspects: Suspects, *running: str) -> str | None:
    return suspects.died(running)


def test_after_a_first_death_all_are_asked_again_together():
    suspects = fresh()
    assert killed(suspects, "a", "b", "c") is None
    assert suspects.startable("abcd", False) == set("abcd") and not suspects.isolating


def test_after_a_second_death_halves_run_alone_one_after_the_other():
    suspects = fresh()
    killed(suspects, *"abcde")
    killed(suspects, *"abcde")
    assert suspects.isolating
    assert suspects.startable("abcdef", False) == set("abc")
    assert suspects.startable("def", True) == set()
    for key in "abc":
        suspects.gone(key)
    assert suspects.startable("def", False) == set("de")
    suspects.gone("d")
    suspects.gone("e")
    assert suspects.startable("f", False) == {"f"} and not suspects.isolating


def test_the_half_that_kills_is_halved_until_one_request_is_left():
    suspects = fresh()
    killed(suspects, *"abcd")
    killed(suspects, *"abcd")
    suspects.startable("abcd", False)
    assert killed(suspects, "a", "b") is None
    assert suspects.startable("abcd", False) == {"a"}
    suspects.gone("a")
    assert suspects.startable("bcd", False) == {"b"}
    assert killed(suspects, "b") == "b"
    assert suspects.startable("cd", False) == {"c", "d"}


def test_a_lone_request_is_poison_at_its_second_death():
    suspects = fresh()
    assert killed(suspects, "a") is None
    assert killed(suspects, "a") == "a"


def test_only_those_in_flight_both_times_are_suspects():
    suspects = fresh()
    killed(suspects, *"ab")
    killed(suspects, *"bcd")
    assert suspects.startable("abcd", False) == {"b"}


def test_a_death_with_nothing_in_flight_accuses_nobody():
    suspects = fresh()
    assert [killed(suspects), killed(suspects), killed(suspects)] == [None] * 3
    assert suspects.startable("a", False) == {"a"} and not suspects.isolating


def test_equal_requests_share_a_key_and_count_once_for_each_death():
    suspects = fresh()
    assert killed(suspects, "a", "a") is None
    assert killed(suspects, "a", "a") == "a"


def test_suspects_wait_until_the_others_have_ended():
    suspects = fresh()
    killed(suspects, "a", "b")
    killed(suspects, "a", "b")
    assert suspects.startable("ab", True) == set()
    assert suspects.startable("ab", False) == {"a"}


def test_a_suspect_that_was_given_up_holds_nobody_back():
    suspects = fresh()
    killed(suspects, *"abcd")
    killed(suspects, *"abcd")
    assert suspects.startable("cde", False) == {"c", "d"}
    suspects.gone("c")
    suspects.gone("d")
    assert suspects.startable("e", False) == {"e"}


def test_suspects_that_nobody_asks_for_any_more_hold_nobody_back():
    suspects = fresh()
    killed(suspects, "a", "b")
    killed(suspects, "a", "b")
    assert suspects.startable("e", False) == {"e"} and not suspects.isolating


def test_counts_survive_in_the_file_and_its_request_runs_alone_at_once(tmp_path):
    first = Counts()
    first.keep_in(tmp_path / "engine")
    first.implicate(["a", "b"])
    first.implicate(["a"])
    second = Counts()
    second.keep_in(tmp_path / "engine")
    suspects = Suspects(second)
    assert (second.of("a"), second.of("b"), second.of("c")) == (2, 1, 0)
    assert suspects.startable("abc", False) == {"a"}
    assert suspects.died(["a"]) == "a"


def test_a_folder_given_twice_counts_nothing_twice(tmp_path):
    counts = Counts()
    counts.keep_in(tmp_path)
    counts.implicate(["a"])
    counts.keep_in(tmp_path)
    assert counts.of("a") == 1


def test_a_torn_line_is_ignored_and_costs_the_next_death_nothing(tmp_path):
    (tmp_path / "deaths.jsonl").write_bytes(b'{"in_flight": ["a"]}\n7\n{"other": 1}\n\xff\n{"in_flight": ["a", "b')
    counts = Counts()
    counts.keep_in(tmp_path)
    counts.implicate(["b"])
    again = Counts()
    again.keep_in(tmp_path)
    assert (again.of("a"), again.of("b")) == (1, 1)


def test_one_line_is_written_for_each_death_and_none_for_an_idle_one(tmp_path):
    counts = Counts()
    counts.keep_in(tmp_path)
    counts.implicate(["a", "b"])
    counts.implicate([])
    lines = (tmp_path / "deaths.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"in_flight": ["a", "b"]}]


def simulate(data: st.DataObject, requests: list[str], poison: set[str]) -> tuple[list[str], list[str], int]:
    """Run requests on an engine that dies of poison, answers in a drawn order; return answered, rejected, deaths."""
    suspects, waiting, running = fresh(), list(requests), []
    answered, rejected, deaths = [], [], 0
    while waiting or running:
        start = suspects.startable(waiting, bool(running))
        running += [key for key in waiting if key in start]
        waiting = [key for key in waiting if key not in start]
        assert running, "nothing runs and nothing may start"
        innocent = [key for key in running if key not in poison]
        if innocent and (len(innocent) == len(running) or data.draw(st.booleans())):
            answered.append(data.draw(st.sampled_from(innocent)))
            running.remove(answered[-1])
            suspects.gone(answered[-1])
            continue
        deaths += 1
        found = suspects.died(running)
        rejected += [] if found is None else [found]
        waiting, running = [key for key in running if key != found] + waiting, []
    return answered, rejected, deaths


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_one_poison_among_n_takes_at_most_two_deaths_and_the_halvings(data, n):
    requests = [str(i) for i in range(n)]
    bad = data.draw(st.sampled_from(requests))
    answered, rejected, deaths = simulate(data, requests, {bad})
    assert rejected == [bad] and sorted(answered) == sorted(set(requests) - {bad})
    assert deaths <= 2 + math.ceil(math.log2(n))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 16))
def test_innocent_requests_are_answered_and_each_poison_is_found(data, n):
    requests = [str(i) for i in range(n)]
    poison = data.draw(st.sets(st.sampled_from(requests)))
    answered, rejected, _ = simulate(data, requests, poison)
    assert sorted(rejected) == sorted(poison)
    assert sorted(answered) == sorted(set(requests) - poison)
