"""Wilson's interval and the bootstrap: hand-worked values and limits."""

import math

import numpy as np
import pytest

from pipeline.intervals import bootstrap_interval, wilson_interval


def test_a_share_of_a_half_has_a_symmetric_interval():
    low, high = wilson_interval(50, 100)
    assert (low, high) == pytest.approx((0.40383, 0.59617), abs=1e-5)


@pytest.mark.parametrize(("successes", "n", "bounds"), [(0, 10, (0.0, 0.27753)), (10, 10, (0.72247, 1.0))])
def test_all_or_none_of_ten_stop_at_the_end_of_the_scale(successes, n, bounds):
    assert wilson_interval(successes, n) == pytest.approx(bounds, abs=1e-5)


def test_of_nothing_nothing_is_known():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("successes", [-1, 11])
def test_more_successes_than_trials_are_refused(successes):
    with pytest.raises(ValueError, match="expected 0 to 10"):
        wilson_interval(successes, 10)


def test_the_bootstrap_of_a_mean_is_near_the_normal_interval():
    values = np.random.default_rng(3).normal(size=400)
    low, high = bootstrap_interval(range(400), lambda rows: float(values[rows].mean()), seed=1)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_rows_of_one_group_are_drawn_together():
    values = np.repeat([0.0, 1.0], 50)
    low, high = bootstrap_interval([0] * 50 + [1] * 50, lambda rows: float(values[rows].mean()), seed=1)
    assert (low, high) == (0.0, 1.0)


def test_no_rows_and_no_numbers_give_no_interval():
    assert all(math.isnan(x) for x in bootstrap_interval([], lambda rows: 1.0, seed=1))
    assert all(math.isnan(x) for x in bootstrap_interval([1, 2], lambda rows: math.nan, seed=1))
