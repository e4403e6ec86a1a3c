import math

import pytest

from pipeline.metrics.position import cohen_kappa, position_statistics, published_kappas


def test_counts_and_shares_of_both_orders():
    found = position_statistics(["a", "a", "b", None], ["a", "b", "b", None], ["a", "a", "a", "a"])
    assert (found.right_forward, found.right_backward, found.right_both) == (2, 1, 1)
    assert (found.accuracy_forward, found.accuracy_backward, found.accuracy) == (0.5, 0.25, 0.375)
    assert (found.equal, found.unread_both, found.flip_rate) == (3, 1, 0.25)


def test_a_judge_that_always_takes_the_first_flips_every_time():
    found = position_statistics(["a", "a"], ["b", "b"], ["a", "b"])
    assert found.flip_rate == 1 and found.right_both == 0 and found.accuracy == 0.5


def test_verdicts_must_be_as_many_as_labels():
    with pytest.raises(ValueError, match="2 and 1 verdicts for 2 labels"):
        position_statistics(["a", "b"], ["a"], ["a", "b"])
    with pytest.raises(ValueError, match="expected as many"):
        position_statistics([], [], [])
    with pytest.raises(ValueError, match="label 1 is None; leave pairs"):
        position_statistics(["a", None], ["a", None], ["a", None])


def test_kappa_of_a_worked_example():
    # 20 x yes-yes, 5 x yes-no, 10 x no-yes, 15 x no-no: observed 0.7, chance 0.5 (Cohen 1960's kind of table)
    one = ["y"] * 25 + ["n"] * 25
    other = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(one, other) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("one", "other", "kappa"), [(["a", "b"], ["a", "b"], 1.0), (["a", "b"], ["b", "a"], -1.0), (["a"], ["b"], 0.0)]
)
def test_kappa_at_its_ends(one, other, kappa):
    assert cohen_kappa(one, other) == kappa


@pytest.mark.parametrize("items", [[], ["a", "a"]])
def test_kappa_is_undefined_without_two_classes(items):
    assert math.isnan(cohen_kappa(items, items))


def test_the_published_kappas_punish_every_vote_for_the_second():
    kappas = published_kappas(["1", "2", None], ["1", "2", "2"], [1, 2, 2])
    assert kappas.forward == kappas.backward == kappas.average == pytest.approx(0.25)
    assert kappas.agreement == 1.0 and cohen_kappa(["1", "2", "2"], ["1", "2", "2"]) == 1.0
