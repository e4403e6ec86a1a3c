"""The audit's arithmetic, each figure worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from pipeline.audit.agreement import agreement
from pipeline.audit.credit import credit, margin, shares_the_top
from pipeline.audit.figures import chance
from pipeline.audit.length_bias import length_slope, longer_share, preferred
from pipeline.audit.reliability import bands


class TestCredit:
    @pytest.mark.parametrize(
        ("labels", "scores", "worth"),
        [
            ((1, 0), (2.0, 1.0), 1.0),
            ((1, 0), (1.0, 2.0), 0.0),
            ((0, 1), (1.0, 1.0), 0.5),
            ((1, 0, 0, 0), (3.0, 3.0, 3.0, 1.0), 1 / 3),
            ((1, 0, 0, 0), (3.0, 4.0, 4.0, 1.0), 0.0),
            ((1, 0, 0, 0), (3.0, 2.0, 2.0, 2.0), 1.0),
            ((1, 1, 0), (5.0, 4.0, 3.0), 1.0),
            ((1, 1, 0), (5.0, 3.0, 3.0), 0.0),
            ((0.2, 0.9, 0.5), (1.0, 3.0, 2.0), 1.0),
        ],
    )
    def test_a_tie_of_m_is_worth_one_mth_and_several_right_ones_must_all_win(self, labels, scores, worth):
        assert credit(labels, scores) == worth

    def test_equal_labels_are_refused(self):
        with pytest.raises(ValueError, match="all labels are equal"):
            credit((0.5, 0.5), (1.0, 2.0))

    def test_the_margin_is_that_of_the_worst_right_over_the_best_wrong(self):
        assert margin((1, 1, 0, 0), (5.0, 4.0, 1.0, 3.0)) == 1.0 and margin((1, 0), (1.0, 3.0)) == -2.0

    def test_a_shared_top_is_a_tie_and_a_shared_bottom_is_none(self):
        assert shares_the_top((2.0, 2.0, 1.0)) and not shares_the_top((2.0, 1.0, 1.0))

    @pytest.mark.parametrize(("labels", "worth"), [((1, 0), 0.5), ((1, 0, 0, 0), 0.25), ((1, 1, 0), 1 / 3)])
    def test_guessing_is_worth_the_chance_that_the_right_ones_come_first(self, labels, worth):
        assert chance(labels) == pytest.approx(worth)


class TestLength:
    def test_ties_are_half_a_win_for_the_longer_and_equal_lengths_are_left_out(self):
        share, n = longer_share(np.array([5.0, -5.0, 3.0, 0.0]), np.array([1.0, 1.0, 0.5, 1.0]))
        assert (share, n) == (0.5, 3)

    def test_no_unlike_lengths_give_no_figure(self):
        share, n = longer_share(np.zeros(2), np.ones(2))
        assert math.isnan(share) and n == 0
        assert all(map(math.isnan, length_slope(np.zeros(2), np.ones(2))))

    @pytest.mark.parametrize("n", [1, 9, 99])
    def test_an_always_longer_judge_has_a_finite_slope(self, n):
        slope, low, high = length_slope(np.full(n, 40.0), np.ones(n))
        assert slope == pytest.approx(math.log((n + 0.5) / 0.5) / math.tanh(1))
        assert low < slope < high and (low > 0) == (n > 1)

    def test_a_judge_without_taste_for_length_has_slope_zero(self):
        slope, low, high = length_slope(np.array([9.0, 9.0, -4.0, -4.0]), np.array([1.0, 0.0, 1.0, 0.0]))
        assert slope == pytest.approx(0, abs=1e-9) and low < 0 < high

    @given(st.lists(st.tuples(st.integers(-500, 500), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=30))
    def test_swapping_the_two_responses_of_any_pair_changes_nothing(self, pairs):
        difference, prefers = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
        flip = np.arange(len(pairs)) % 2 == 0
        swapped = np.where(flip, -difference, difference), np.where(flip, 1 - prefers, prefers)
        assert length_slope(*swapped) == pytest.approx(length_slope(difference, prefers), abs=1e-6, nan_ok=True)
        assert longer_share(*swapped) == pytest.approx(longer_share(difference, prefers), nan_ok=True)

    def test_a_strong_dislike_of_length_is_found_too(self):
        difference = np.linspace(10, 400, 60)
        slope, _, high = length_slope(difference, np.zeros(60))
        assert slope < 0 and high < 0

    def test_preferred_gives_half_for_equal_scores(self):
        assert preferred(np.array([2.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0])).tolist() == [1.0, 0.5, 0.0]


class TestAgreement:
    def test_kappa_worked_by_hand(self):
        same, kappa = agreement([1, 1, 0, 0, 0.5], [1, 0, 0, 0, 0.5])
        assert same == 0.8
        assert kappa == pytest.approx((0.8 - 0.36) / 0.64)  # chance: .8 * .8 / 2 + .2 * .2

    @given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 2), min_size=2, max_size=40))
    def test_kappa_is_cohens_over_each_pair_in_both_orders(self, pairs):
        one, other = [p[0] for p in pairs], [p[1] for p in pairs]
        kappa = agreement(one, other)[1]
        if not math.isnan(kappa):
            doubled = [[int(2 * v) for v in [*side, *(1 - v for v in side)]] for side in (one, other)]
            assert kappa == pytest.approx(cohen_kappa_score(*doubled))

    def test_two_judges_that_always_tie_agree_without_a_kappa(self):
        same, kappa = agreement([0.5, 0.5], [0.5, 0.5])
        assert same == 1.0 and math.isnan(kappa)
        assert all(map(math.isnan, agreement([], [])))


class TestBands:
    def test_equal_numbers_of_pairs_with_rising_margins(self):
        found = bands([4, 1, 3, 2, 8, 7, 6, 5], [0, 0, 1, 0, 1, 1, 1, 1])
        assert [(b.low, b.high, b.n, b.accuracy) for b in found] == [
            (1, 2, 2, 0.0),
            (3, 4, 2, 0.5),
            (5, 6, 2, 1.0),
            (7, 8, 2, 1.0),
        ]
        assert all(b.accuracy_low <= b.accuracy <= b.accuracy_high for b in found)

    def test_equal_margins_stay_together(self):
        assert [(b.low, b.n) for b in bands([1, 1, 1, 1, 2], [1, 1, 0, 0, 1])] == [(1, 4), (2, 1)]
        assert len(bands([3, 3, 3], [1, 0, 1])) == 1 and bands([], []) == []
