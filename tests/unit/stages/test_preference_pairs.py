import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.api import Maker, lineage_id
from pipeline.testing import process_row, process_table
from stages.preference.preference_pairs import PreferencePairs, PreferencePairsConfig
from stages.preference.rate_preferences import RatePreferences, RatePreferencesConfig
from tests.unit.stages.books_in_memory import BooksInMemory

LOGPROBS = {"reference_logprobs": "ref_logprob", "previous_logprobs": "prev_logprob"}


def rated(scores, texts=None, **further):
    n = len(scores)
    row = {
        "id": "p",
        "prompt_id": "p",
        "prompt": [{"role": "user", "content": "Why?"}],
        "response_ids": [f"r-{i}" for i in range(n)],
        "responses": texts or [f"answer {i}" for i in range(n)],
        "reward": scores,
    }
    return process_row(RatePreferences(RatePreferencesConfig(oracle="scores")), row)[0] | further


def knocked_out(**further):
    matrix = [[0.5, 0.75, None], [0.25, 0.5, 1.0], [None, 0.0, 0.5]]
    found = {"preference_matrix": matrix, "win_rates": None, "nash_mixture": None, "best_id": "r-0", "worst_id": "r-1"}
    return rated([0.0, 1.0, 2.0]) | found | further


def run(*rows, **config):
    return process_table(PreferencePairs(PreferencePairsConfig(**config)), rows)


def pair(*rows, **config):
    (found,) = run(*rows, **config).table.to_pylist()
    return found


def code(*rows, **config):
    found = run(*rows, **config)
    assert not found.table.num_rows
    return [r.code for r in found.rejects]


class TestSppo:
    def test_the_pair_names_its_sources_and_probabilities(self):
        row = rated([0.2, 1.0, -0.5, 0.7, 0.1])
        found = pair(row, iteration=2)
        assert (found["chosen"], found["rejected"]) == ("answer 1", "answer 2")
        assert found["id"] == lineage_id("pair", "r-1", "r-2") and found["candidates"] == 5
        assert found["chosen_probs"] == found["preference_prob"] == row["preference_matrix"][1][2]
        assert found["chosen_probs_win"] == max(row["win_rates"]) > found["chosen_probs_lose"] == min(row["win_rates"])
        assert (found["rule"], found["iteration"], found["prompt_id"]) == ("sppo", 2, "p")
        assert found["prompt"] == row["prompt"]

    def test_targets_are_eta_times_the_distance_from_a_half(self):
        found = pair(rated([0.0, 2.0]), eta=1000)
        assert found["target_chosen"] == pytest.approx(1000 * (found["chosen_probs_win"] - 0.5))
        assert found["target_rejected"] == pytest.approx(-found["target_chosen"])

    def test_equal_responses_are_a_tie(self):
        assert code(rated([1.0, 1.0, 1.0])) == ["pairs.tie"]

    def test_copies_never_become_a_pair(self):
        assert code(rated([1.0, 0.0], ["same", " same"])) == ["pairs.tie"]
        assert pair(rated([1.0, 0.0, 0.5], ["same", "same", "other"]))["rejected_id"] == "r-2"

    def test_a_narrow_pair_is_refused_where_asked(self):
        assert code(rated([0.0, 0.1]), min_margin=0.2) == ["pairs.margin"]
        assert pair(rated([0.0, 5.0]), min_margin=0.2)["chosen_id"] == "r-1"

    @pytest.mark.parametrize("rule", ["sppo", "nash"])
    def test_a_tournament_has_no_rates(self, rule):
        assert code(knocked_out(), rule=rule) == ["pairs.no_rates"]

    def test_an_unknown_comparison_leaves_its_probability_null(self):
        row = rated([0.0, 1.0, 2.0])
        row["preference_matrix"][2][0] = row["preference_matrix"][0][2] = None
        found = pair(row | {"nash_mixture": None})
        assert found["chosen_id"] == "r-2" and found["chosen_probs"] is None and found["chosen_probs_win"] > 0.5


class TestInpo:
    def test_a_tournament_gives_the_ends_and_their_probability(self):
        found = pair(knocked_out(), rule="inpo", eta=0.0075)
        assert (found["chosen_id"], found["rejected_id"], found["preference_prob"]) == ("r-0", "r-1", 0.75)
        assert found["chosen_probs_win"] is None and found["target_margin"] == pytest.approx(0.5 / 0.015)

    def test_ends_that_never_met_have_no_probability(self):
        found = pair(knocked_out(worst_id="r-2"), rule="inpo", eta=0.0075)
        assert found["rejected_id"] == "r-2" and found["preference_prob"] is None and found["target_margin"] is None

    def test_a_full_matrix_gives_best_and_worst_by_win_rate(self):
        assert pair(rated([0.0, 3.0, 1.0]), rule="inpo")["rejected_id"] == "r-0"

    def test_log_probabilities_go_along_and_mix_into_one_reference(self):
        row = knocked_out(ref_logprob=[-21.0, -22.0, 0.0], prev_logprob=[-20.5, -22.2, 0.0])
        found = pair(row, rule="inpo", tau_over_eta=1 / 3, **LOGPROBS)
        assert (found["ref_chosen_logps"], found["ref_rejected_logps"]) == (-21.0, -22.0)
        assert (found["prev_chosen_logps"], found["prev_rejected_logps"]) == (-20.5, -22.2)
        assert found["mixed_chosen_logps"] == pytest.approx(-62 / 3)
        assert found["mixed_rejected_logps"] == pytest.approx(-66.4 / 3)

    @pytest.mark.parametrize("bad", [None, float("nan"), float("-inf")])
    def test_a_log_probability_that_is_none_is_refused(self, bad):
        row = knocked_out(ref_logprob=[-1.0, bad, 0.0], prev_logprob=[-1.0, -1.0, 0.0])
        assert code(row, rule="inpo", **LOGPROBS) == ["pairs.nonfinite"]

    def test_equal_ends_are_a_tie(self):
        assert code(rated([1.0, 1.0]), rule="inpo") == ["pairs.tie"]
        assert code(knocked_out(responses=["x", " x", "y"]), rule="inpo") == ["pairs.tie"]
        level = [[0.5, 0.5, None], [0.5, 0.5, 1.0], [None, 0.0, 0.5]]
        assert code(knocked_out(preference_matrix=level), rule="inpo") == ["pairs.tie"]

    def test_best_by_win_rate_may_lose_against_the_worst_and_the_margin_says_so(self):
        matrix = [[0.5, 1.0, 0.25], [0.0, 0.5, 1.0], [0.75, 0.0, 0.5]]
        rates = [sum(line) / 3 for line in matrix]
        row = rated([0.0] * 3, preference_matrix=matrix, win_rates=rates, best_id="r-0", worst_id="r-2")
        found = pair(row, rule="inpo", eta=0.5)
        assert (found["preference_prob"], found["target_margin"]) == (0.25, -0.5)

    def test_win_rates_that_differ_by_rounding_are_a_tie(self):
        row = rated([0.0, 1.0], win_rates=[0.5, 0.5 + 1e-16], best_id="r-1", worst_id="r-0")
        assert code(row, rule="inpo") == ["pairs.tie"]


class TestNash:
    def test_the_heaviest_is_chosen_over_the_weakest_it_beats(self):
        circle = [[0.5, 0.9, 0.2, 0.75], [0.1, 0.5, 0.8, 0.75], [0.8, 0.2, 0.5, 0.75], [0.25, 0.25, 0.25, 0.5]]
        rates = [sum(line) / 4 for line in circle]
        row = rated([0.0] * 4, preference_matrix=circle, win_rates=rates, nash_mixture=[0.3, 0.3, 0.4, 0.0])
        found = pair(row, rule="nash")
        assert (found["chosen_id"], found["rejected_id"], found["preference_prob"]) == ("r-2", "r-3", 0.75)
        assert found["chosen_probs_win"] == rates[2] < max(rates)

    def test_equals_are_a_tie(self):
        assert code(rated([1.0, 1.0]), rule="nash") == ["pairs.tie"]

    def test_a_narrow_pair_is_refused_where_asked(self):
        assert code(rated([0.0, 0.1]), rule="nash", min_margin=0.5) == ["pairs.margin"]


def met(rule, **options):
    found = {"win_rates": Maker("rated", "rate_preferences", options, {})}
    PreferencePairs(PreferencePairsConfig(rule=rule)).check_makers(found)


@pytest.mark.parametrize("rule", ["sppo", "nash"])
def test_a_tournament_before_a_rule_that_needs_win_rates_is_refused_before_anybody_is_asked(rule):
    with pytest.raises(ValueError, match="stage 'rated' gives none; set tournament: full"):
        met(rule, tournament="knockout")
    met(rule, tournament="full")
    met("inpo", tournament="knockout")
    PreferencePairs(PreferencePairsConfig(rule=rule)).check_makers({})


class TestColumns:
    def test_further_columns_go_along(self):
        stage = PreferencePairs(PreferencePairsConfig(carry={"reward": "float"}, prompt_columns={"topic": "string"}))
        (found,) = process_table(stage, [rated([0.0, 2.0], topic="rivers")]).table.to_pylist()
        assert (found["chosen_reward"], found["rejected_reward"], found["topic"]) == (2.0, 0.0, "rivers")
        assert stage.yields().at_most

    @pytest.mark.parametrize(
        "changes",
        [
            {"responses": ["x"]},
            {"response_ids": None},
            {"win_rates": [0.5]},
            {"reward": None},
            {"preference_matrix": []},
            {"preference_matrix": [[0.5], [0.5, 0.5]]},
            {"preference_matrix": [None, [0.5, 0.5]]},
        ],
    )
    def test_a_list_of_another_length_is_refused(self, changes):
        assert code(rated([0.0, 2.0]) | changes, carry={"reward": "float"}) == ["pairs.unequal_lists"]

    @pytest.mark.parametrize("rule", ["sppo", "inpo", "nash"])
    @given(order=st.permutations(range(5)), seed=st.integers(0, 300))
    @settings(max_examples=25, deadline=None)
    def test_relabelling_the_responses_changes_no_pair(self, rule, order, seed):
        random = np.random.default_rng(seed)
        one = rated(random.choice([0.0, 0.5, 2.0], size=5).tolist(), [f"text {i}" for i in random.integers(0, 4, 5)])
        two = dict(one)
        for name in ("response_ids", "responses", "reward", "win_rates", "nash_mixture"):
            two[name] = [one[name][i] for i in order]
        two["preference_matrix"] = [[one["preference_matrix"][i][j] for j in order] for i in order]
        found = [run(row, rule=rule, carry={"reward": "float"}) for row in (one, two)]
        assert found[0].table.to_pylist() == found[1].table.to_pylist()

    @pytest.mark.parametrize("ids", [["a", "a"], ["a", None]])
    def test_a_response_id_stands_but_once(self, ids):
        assert code(rated([0.0, 2.0], response_ids=ids)) == ["pairs.repeated_id"]

    @pytest.mark.parametrize(
        ("changes", "rule"),
        [({"win_rates": [None, None]}, "sppo"), ({"win_rates": [None, 0.5]}, "nash"), ({"nash_mixture": None}, "nash")],
    )
    def test_rates_that_are_unknown_give_no_pair(self, changes, rule):
        assert code(rated([0.0, 2.0]) | changes, rule=rule) == ["pairs.no_rates"]

    def test_columns_that_are_read_anyway_may_go_along(self):
        config = {"carry": {"win_rates": "float", "reward": "float"}, "prompt_columns": {"best_id": "string"}}
        found = pair(rated([0.0, 2.0]), reference_logprobs="reward", **config)
        assert found["chosen_win_rates"] == found["chosen_probs_win"] and found["best_id"] == "r-1"
        assert found["ref_chosen_logps"] == found["chosen_reward"] == 2.0

    def test_an_end_that_is_no_response_is_refused(self):
        assert code(knocked_out(best_id="other"), rule="inpo") == ["pairs.unequal_lists"]

    @pytest.mark.parametrize(
        ("config", "told"),
        [
            ({"rule": "inpo", "min_margin": 0.1}, "leave it out"),
            ({"rule": "nash", "eta": 1.0}, "leave it out"),
            ({"rule": "inpo", "tau_over_eta": 0.3}, "name all three"),
            ({"tau_over_eta": 0.3, **LOGPROBS}, "name all three"),
            ({"carry": {"probs": "float"}}, "there already"),
            ({"carry": {"win_rates": "int"}}, "leave one of them out"),
            ({"prompt_columns": {"win_rates": "float"}}, "leave one of them out"),
            ({"eta": 1.0, "prompt_columns": {"target_chosen": "float"}}, "there already"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, config, told):
        with pytest.raises(ValidationError, match=told):
            PreferencePairsConfig(**config)


def test_the_report_says_how_far_apart_the_pairs_are_and_who_is_longer():
    stage = PreferencePairs(PreferencePairsConfig(rule="inpo"))

    def values(*rows):
        table = process_table(stage, rows).table
        return [row[1] for row in stage.report(BooksInMemory(len(rows), table))[0].rows]

    against = [[0.5, 0.25], [0.75, 0.5]]
    rows = (
        rated([0.0, math.log(3)], ["long answer", "short"]),
        rated([2.0, 0.0], ["longer", "long"], id="q", preference_matrix=against, win_rates=[0.75, 0.25]),
        knocked_out(id="r", worst_id="r-2"),
    )
    assert values(*rows) == [3, 0.2625, 0.375, 0.4875, 0.275, 0.5, 0.725, 0.5, 0.3333, 0.3333]
    assert values() == [0] + [None] * 9
