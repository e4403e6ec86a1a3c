from fractions import Fraction
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from stages.judging.reference_agreement import agreement_by_samples

ROWS = st.lists(
    st.tuples(st.sampled_from(["p", "q", None]), st.lists(st.sampled_from([1, 2, 3, None]), min_size=3, max_size=3)),
    max_size=8,
)


def test_order_of_the_first_samples_is_compared_with_that_of_all():
    first, second, third = agreement_by_samples(["p", "p"], [[3, 1, 1], [2, 4, 4]], 3)
    assert (first.same, second.same, third.same, first.pairs) == (0, 1, 1, 1)
    assert (first.same_best, second.same_best, third.prompts) == (0, 1, 1)


def test_a_tie_counts_as_the_same_outcome_only_with_ties_counted():
    first, second = agreement_by_samples(["p", "p"], [[3, 2], [2, 3]], 2)
    assert (second.same, second.tied, second.ordered, second.same_ordered) == (1, 1, 0, 0)
    assert (first.same, first.tied, first.same_best) == (0, 0, 0)


def test_a_tie_of_the_first_samples_is_a_miss_where_all_order_the_pair():
    first, _ = agreement_by_samples(["p", "p"], [[3, 4], [3, 2]], 2)
    assert (first.tied, first.ordered, first.same_ordered) == (1, 1, 0)


def test_means_are_compared_exactly():
    (*_, last) = agreement_by_samples(["p", "p"], [[1, 1, 2, None, None, None], [1, 2, 1, 2, 1, 1]], 6)
    assert last.tied == 1


def test_a_response_without_a_readable_sample_yet_is_a_miss():
    first, second = agreement_by_samples(["p", "p", "q", "q"], [[None, 5], [3, 3], [None, 2], [None, 2]], 2)
    assert (first.valid, second.valid) == (0.25, 1.0)
    assert (first.same, first.tied, second.same, second.tied) == (0, 0, 2, 1)


def test_responses_of_different_prompts_are_never_compared():
    (only,) = agreement_by_samples(["p", "q", "p"], [[1], [5], [2]], 1)
    assert (only.pairs, only.prompts) == (1, 1)


def test_without_rows_there_is_nothing_to_compare():
    (only,) = agreement_by_samples([], [], 1)
    assert (only.pairs, only.valid) == (0, 0.0)


def test_without_any_score_yet_no_response_is_the_best():
    first, second = agreement_by_samples(["p", "p"], [[None, 2], [None, 2]], 2)
    assert (first.same_best, second.same_best) == (0, 1)


def outcome(one, other, k):
    """Return 1, 0 or -1 by the means of the first k samples; None if one has no mean."""
    means = [Fraction(sum(v), len(v)) if (v := [s for s in row[:k] if s]) else None for row in (one, other)]
    return None if None in means else (means[0] > means[1]) - (means[0] < means[1])


@given(ROWS)
def test_the_figures_are_those_of_counting_pair_by_pair(rows):
    pairs = [(a, b) for (p, a), (q, b) in combinations(rows, 2) if p is not None and p == q]
    for k, found in enumerate(agreement_by_samples([p for p, _ in rows], [s for _, s in rows], 3), start=1):
        outcomes = [(outcome(a, b, k), outcome(a, b, 3)) for a, b in pairs]
        assert (found.pairs, found.tied) == (len(pairs), sum(now == 0 for now, _ in outcomes))
        assert found.same == sum(now is not None and now == then for now, then in outcomes)
        assert found.same_ordered == sum(now is not None and now == then != 0 for now, then in outcomes)
