import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.preference.nash import nash_mixture, nash_value, non_negative_least_squares
from stages.preference.pair_rules import by_mixture, by_win_rate, inpo_margin, mixed_reference, sppo_target
from stages.preference.preference_matrix import (
    from_scores,
    intransitive_share,
    opponents,
    position_flips,
    symmetrise,
    win_rates,
)

SHARED = Path(__file__).parents[4] / "shared/data/methods_training/golden_losses.json"
CIRCLE = np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]])
NAN = float("nan")


@pytest.fixture
def golden():
    if not SHARED.exists():
        pytest.skip("the golden losses are not in this checkout")
    return json.loads(SHARED.read_text("utf-8"))


def tournament(n, seed):
    """Return a random matrix, with ties and certain wins among its entries."""
    random = np.random.default_rng(seed)
    return symmetrise(random.choice([0.0, 0.25, 0.5, 1.0, random.random()], size=(n, n)))


matrices = st.builds(tournament, st.integers(2, 8), st.integers(0, 10_000))


class TestGolden:
    def test_sppo_from_scores(self, golden):
        case = golden["sppo_targets_from_scores"]
        matrix, expected = from_scores(np.array(case["inputs"]["scores"])), case["expected"]
        rates = win_rates(matrix)
        assert matrix == pytest.approx(np.array(expected["prob_matrix"]), abs=2e-6)
        assert rates == pytest.approx(expected["p_beats_policy"], abs=2e-6)
        assert win_rates(matrix, False) == pytest.approx(expected["p_beats_policy_without_self"], abs=2e-6)
        chosen, rejected = by_win_rate(rates, list("abcde"), list("abcde"))
        assert (chosen, rejected) == (expected["chosen_index"], expected["rejected_index"])
        assert matrix[chosen, rejected] == pytest.approx(expected["chosen_probs"], abs=2e-6)
        assert rates[chosen] == pytest.approx(expected["chosen_probs_win"], abs=2e-6)
        assert rates[rejected] == pytest.approx(expected["chosen_probs_lose"], abs=2e-6)

    def test_sppo_from_a_matrix(self, golden):
        case = golden["sppo_targets_from_matrix"]
        matrix, expected = np.array(case["inputs"]["prob_matrix"]), case["expected"]
        rates = win_rates(matrix)
        assert rates == pytest.approx(expected["p_beats_policy"], abs=2e-6)
        assert by_win_rate(rates, list("abc"), list("abc")) == (expected["chosen_index"], expected["rejected_index"])

    def test_symmetrised(self, golden):
        case = golden["pairwise_symmetrise"]
        found = symmetrise(np.array(case["inputs"]["A"]))
        assert found == pytest.approx(np.array(case["expected"]["P"]), abs=2e-6)

    def test_sppo_loss_follows_from_the_targets(self, golden):
        given, expected = golden["sppo_loss"]["inputs"], golden["sppo_loss"]["expected"]
        aims = [sppo_target(given[f"chosen_probs_{side}"], given["eta"]) for side in ("win", "lose")]
        ratios = [expected["logratio_chosen"], expected["logratio_rejected"]]
        squares = [(ratio - aim) ** 2 for ratio, aim in zip(ratios, aims, strict=True)]
        assert sum(squares) / 2 == pytest.approx(expected["sppo"], abs=2e-6)

    @pytest.mark.parametrize("name", ["inpo_paper", "inpo_unit", "inpo_tau0", "inpo_tau_eq_eta"])
    def test_inpo_loss_follows_from_one_reference_and_the_margin(self, golden, name):
        given, expected = golden[name]["inputs"], golden[name]["expected"]
        chosen, rejected = (
            given[f"policy_{side}_logp"]
            - mixed_reference(given[f"ref_{side}_logp"], given[f"prev_{side}_logp"], given["tau_over_eta"])
            for side in ("chosen", "rejected")
        )
        margin = inpo_margin(1.0, given["eta"])
        assert chosen - rejected == pytest.approx(expected["h"], abs=2e-6)
        assert margin == pytest.approx(expected["target"], rel=1e-6)
        assert (chosen - rejected - margin) ** 2 == pytest.approx(expected["loss"], rel=1e-6, abs=2e-6)

    def test_inpo_soft_margin_and_mixed_reference(self, golden):
        soft = golden["inpo_expected_over_preference"]
        assert inpo_margin(soft["inputs"]["p"], soft["inputs"]["eta"]) == pytest.approx(soft["expected"]["argmin_h"])
        mixed = golden["inpo_as_ipo_with_mixed_reference"]
        for side in ("chosen", "rejected"):
            found = mixed_reference(mixed["inputs"][f"ref_{side}_logp"], mixed["inputs"][f"prev_{side}_logp"], 1 / 3)
            assert found == pytest.approx(mixed["expected"][f"virtual_ref_{side}_logp"], abs=2e-6)


class TestMatrix:
    def test_scores_a_thousand_apart_do_not_overflow(self):
        matrix = from_scores(np.array([1000.0, -1000.0]))
        assert matrix.tolist() == [[0.5, 1.0], [0.0, 0.5]]
        assert from_scores(np.array([1e308, -1e308])).tolist() == [[0.5, 1.0], [0.0, 0.5]]

    @given(matrices)
    @settings(max_examples=50, deadline=None)
    def test_rows_and_columns_add_up(self, matrix):
        assert matrix + matrix.T == pytest.approx(np.ones_like(matrix))
        assert win_rates(matrix).sum() == pytest.approx(len(matrix) / 2)

    def test_a_judge_that_always_prefers_the_first_says_nothing(self):
        ordered = np.ones((3, 3))
        assert (symmetrise(ordered) == 0.5).all() and position_flips(ordered) == 3
        assert position_flips(np.zeros((3, 3))) == 3

    @given(st.floats(0, 1))
    def test_a_preference_for_the_place_goes_to_the_last_bit(self, share):
        assert (symmetrise(np.full((3, 3), share)) == 0.5).all()

    @given(matrices, st.randoms())
    @settings(max_examples=50, deadline=None)
    def test_the_order_of_the_responses_changes_no_bit_of_a_win_rate(self, matrix, random):
        order = list(range(len(matrix)))
        random.shuffle(order)
        assert win_rates(matrix[np.ix_(order, order)]).tolist() == win_rates(matrix)[order].tolist()

    def test_a_consistent_judge_has_no_flips_and_a_tie_is_none(self):
        assert position_flips(np.array([[0.5, 1.0], [0.0, 0.5]])) == 0
        assert position_flips(np.array([[0.5, 1.0], [0.5, 0.5]])) == 0

    def test_what_is_not_known_in_one_order_is_not_known(self):
        matrix = symmetrise(np.array([[NAN, 1.0, NAN], [0.0, NAN, 1.0], [0.0, 0.0, NAN]]))
        assert np.isnan(matrix[0, 2]) and np.isnan(matrix[2, 0]) and matrix[0, 1] == 1.0
        assert opponents(matrix).tolist() == [1, 2, 1]
        assert win_rates(matrix).tolist() == [0.75, 0.5, 0.25]
        assert win_rates(matrix, False).tolist() == [1.0, 0.5, 0.0]

    def test_a_response_compared_with_nobody_has_no_rate_of_its_own(self):
        matrix = np.array([[0.5, NAN], [NAN, 0.5]])
        assert win_rates(matrix).tolist() == [0.5, 0.5] and np.isnan(win_rates(matrix, False)).all()

    def test_a_circle_is_counted(self):
        assert intransitive_share(CIRCLE) == 1.0
        assert intransitive_share(from_scores(np.array([0.1, 0.5, 0.2, 0.9]))) == 0.0

    def test_circles_are_a_share_of_the_triples_without_ties(self):
        fourth = np.full((4, 4), 0.5)
        fourth[:3, :3] = CIRCLE
        assert intransitive_share(fourth) == 1.0
        fourth[3, :3], fourth[:3, 3] = 1.0, 0.0
        assert intransitive_share(fourth) == 0.25
        assert intransitive_share(np.full((3, 3), 0.5)) is None

    def test_an_unknown_comparison_is_no_tie_and_no_win(self):
        matrix = CIRCLE.copy()
        matrix[0, 1] = matrix[1, 0] = NAN
        assert intransitive_share(matrix) is None


class TestNash:
    def test_who_beats_all_others_takes_all(self):
        assert nash_mixture(from_scores(np.array([0.0, 3.0, -1.0]))).tolist() == [0.0, 1.0, 0.0]

    def test_a_circle_is_mixed_by_how_hard_its_members_fall(self):
        # Payoffs 0.4, 0.3, 0.3 around the circle: each weight is the payoff of the comparison the response is not in.
        assert nash_mixture(CIRCLE) == pytest.approx([0.3, 0.3, 0.4])

    def test_equals_share_equally(self):
        assert nash_mixture(np.full((4, 4), 0.5)) == pytest.approx([0.25] * 4)

    @given(matrices)
    @settings(max_examples=100, deadline=None)
    def test_no_response_beats_the_mixture(self, matrix):
        mixture = nash_mixture(matrix)
        assert mixture.sum() == pytest.approx(1.0) and (mixture >= 0).all()
        assert nash_value(matrix, mixture) == pytest.approx(0.5, abs=1e-9)

    @given(matrices, st.randoms())
    @settings(max_examples=50, deadline=None)
    def test_relabelling_the_responses_relabels_the_mixture(self, matrix, random):
        order = list(range(len(matrix)))
        random.shuffle(order)
        assert nash_mixture(matrix[np.ix_(order, order)]) == pytest.approx(nash_mixture(matrix)[order], abs=1e-7)

    @pytest.mark.parametrize("noise", [1e-4, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12])
    def test_a_game_that_hangs_on_tiny_differences_is_solved_too(self, noise):
        for seed in range(60):
            matrix = symmetrise(tournament(9, seed) + noise * np.random.default_rng(seed).normal(size=(9, 9)))
            assert nash_value(matrix, nash_mixture(matrix)) > 0.5 - 1e-5

    def test_another_mixture_can_be_beaten(self):
        assert nash_value(CIRCLE, np.array([1 / 3] * 3)) < 0.5 - 0.01

    def test_least_squares_agree_with_a_solution_by_hand(self):
        # Free least squares would be (1.5, -1); held at 0 the second leaves the first at its own best.
        system, target = np.array([[1.0, 0.5], [0.0, 1.0]]), np.array([1.0, -1.0])
        assert non_negative_least_squares(system, target) == pytest.approx([1.0, 0.0])


class TestPairRules:
    def test_of_equals_the_id_that_sorts_first(self):
        assert by_win_rate(np.array([0.6, 0.6, 0.4, 0.4]), list("wxyz"), list("bacd")) == (1, 2)

    def test_equal_rates_are_no_pair_whatever_the_rounding(self):
        assert by_win_rate(np.array([0.5, 0.5 + 1e-15, 0.5]), list("abc"), list("abc")) is None

    def test_a_copy_of_the_chosen_is_passed_over(self):
        assert by_win_rate(np.array([0.7, 0.6, 0.2]), ["x", "y", "x"], list("abc")) == (0, 1)
        assert by_win_rate(np.array([0.7, 0.2]), ["x", "x"], list("ab")) is None

    def test_an_unrated_response_takes_no_part(self):
        assert by_win_rate(np.array([NAN, 0.6, 0.4]), list("abc"), list("abc")) == (1, 2)

    def test_the_heaviest_is_chosen_and_the_weakest_it_beats_is_rejected(self):
        fourth = np.full((4, 4), 0.5)
        fourth[:3, :3], fourth[3, :3], fourth[:3, 3] = CIRCLE, 0.25, 0.75
        rates = win_rates(fourth)
        assert (
            by_mixture(fourth, nash_mixture(fourth), rates, list("abcd"), list("abcd")) == (2, 3)
            and rates[2] < rates[0]
        )

    def test_who_beats_only_responses_of_higher_win_rates_makes_no_pair(self):
        assert by_mixture(CIRCLE, nash_mixture(CIRCLE), win_rates(CIRCLE), list("abc"), list("abc")) is None

    def test_of_equal_weights_the_win_rate_decides(self):
        matrix = symmetrise(np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0.5], [0, 0, 0.5, 0]], dtype=float))
        mixture = nash_mixture(matrix)
        assert mixture[:3] == pytest.approx([1 / 3] * 3)
        assert by_mixture(matrix, mixture, win_rates(matrix), list("abcd"), list("abcd")) == (0, 3)

    def test_equals_are_no_pair_for_the_mixture_either(self):
        level = np.full((2, 2), 0.5)
        assert by_mixture(level, np.array([0.5, 0.5]), np.array([0.5, 0.5]), list("ab"), list("ab")) is None
