"""What the report of a density ratio says about length."""

import numpy as np
import pyarrow as pa
import pytest

from stages.annotation.density_ratio import DensityRatio, DensityRatioConfig
from stages.annotation.length_drift import length_drift, spearman
from tests.unit.stages.books_in_memory import BooksInMemory


def drift(prompts, reward, tokens, difference=None):
    values = [np.array(v, dtype=float) for v in (reward, difference or reward, tokens)]
    return length_drift(np.array(prompts), *values)


def test_the_longest_response_wins_in_one_of_two_prompts():
    found = drift([0, 0, 0, 1, 1], [1, 2, 3, 5, 4], [10, 20, 30, 7, 8])
    assert (found.prompts, found.longest_highest) == (2, 0.5)
    assert found.by_chance == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found.longer_wins == 3 / 4 and found.spearman == 0.0
    assert found.per_token == 15 / 75 and found.positive == 1.0


def test_prompts_may_lie_in_any_order():
    assert drift([0, 1, 0, 1], [1, 4, 2, 3], [5, 6, 7, 8]) == drift([1, 1, 0, 0], [4, 3, 1, 2], [6, 8, 5, 7])


def test_equal_lengths_and_single_responses_say_nothing():
    found = drift([0, 0, 1], [1, 2, 3], [9, 9, 9])
    assert (found.prompts, found.longest_highest, found.by_chance) == (0, None, None)
    assert (found.longer_wins, found.spearman) == (None, None)


def test_a_tie_for_the_highest_counts_for_its_share():
    assert drift([0, 0], [2, 2], [5, 6]).longest_highest == 0.5


def test_no_responses_give_no_figures():
    found = length_drift(np.array([], dtype=np.int64), *([np.array([])] * 3))
    assert (found.per_token, found.positive, found.spearman) == (None, None, None)


def test_rank_correlation_puts_ties_at_their_mean_rank():
    one, other = np.array([1.0, 2.0, 2.0, 4.0]), np.array([3.0, 1.0, 4.0, 4.0])
    assert spearman(one, other) == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [2, 1, 3.5, 3.5])[0, 1])
    assert spearman(one, np.ones(4)) is None


SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("strong_logprob", pa.float64()),
        ("weak_logprob", pa.float64()),
        ("strong_logprob_tokens", pa.int64()),
        ("reward", pa.float64()),
        ("reward_guard", pa.string()),
    ]
)


def tables(differences, tokens, normalize="sum", guards=None):
    """Report on prompts of two responses each."""
    rows = [
        {
            "prompt_id": f"p{i // 2}",
            "strong_logprob": -10.0,
            "weak_logprob": -10.0 - d,
            "strong_logprob_tokens": n,
            "reward": d,
            "reward_guard": (guards or {}).get(i, "none"),
        }
        for i, (d, n) in enumerate(zip(differences, tokens, strict=True))
    ]
    books = BooksInMemory(len(rows), pa.Table.from_pylist(rows, schema=SCHEMA))
    config = {"normalize": normalize} if normalize == "sum" else {"normalize": normalize, "guard_low_likelihood": True}
    return DensityRatio(DensityRatioConfig(**config)).report(books)


def test_a_sum_that_grows_with_the_response_is_called_a_length_reward():
    (table,) = tables([1.0, 2.0, 1.0, 3.0], [5, 9, 4, 20])
    figures = dict(table.rows)
    assert figures["mean difference per token, nats"] == round(7 / 38, 4)
    assert figures["of them, the longest scores highest, share"] == 1.0
    assert "follows length" in table.note and "normalize sum" in table.title


def test_a_mean_that_follows_length_is_no_length_reward_of_the_sum():
    assert "follows" not in tables([1.0, 2.0], [5, 9], normalize="per_own_token")[0].note


def test_a_sum_that_does_not_follow_length_is_not_called_one():
    assert "follows" not in tables([1.0, 2.0, 3.0, 1.0], [5, 9, 4, 20])[0].note


def test_a_sum_that_falls_with_the_response_is_named_too():
    assert "follows shortness" in tables([-1.0, -2.0], [5, 9])[0].note


def test_guards_are_counted():
    _, guards = tables([1.0, 2.0, 3.0, 1.0], [5, 9, 4, 20], guards={1: "repetition"})
    assert guards.rows == (("none", 3, 0.75), ("repetition", 1, 0.25))


def test_rows_without_prompts_or_counts_have_no_table_about_length():
    class Plain(BooksInMemory):
        def rows(self, columns):
            yield from self.table.to_batches()

    table = pa.table({"reward": [1.0], "reward_guard": ["none"]})
    assert DensityRatio(DensityRatioConfig()).report(Plain(1, table)) == ()


def test_rows_of_unknown_prompt_or_length_are_left_out_of_the_table_about_length():
    rows = [("p", 5, 1.0), ("p", 9, 2.0), (None, 30, 9.0), (None, 31, 9.5), ("p", None, 9.0), ("p", 0, 9.0)]
    table = pa.Table.from_pylist(
        [
            {
                "prompt_id": prompt,
                "strong_logprob": -1.0,
                "weak_logprob": -1.0 - reward,
                "strong_logprob_tokens": tokens,
                "reward": reward,
                "reward_guard": "none",
            }
            for prompt, tokens, reward in rows
        ],
        schema=SCHEMA,
    )
    report = DensityRatio(DensityRatioConfig()).report
    (found,) = report(BooksInMemory(6, table))
    assert dict(found.rows)["mean difference per token, nats"] == round(3 / 14, 4)
    assert dict(found.rows)["prompts with one longest response"] == 1
    assert report(BooksInMemory(2, table.slice(2, 2))) == ()
