import json
from pathlib import Path

import pytest

from stages.judging.aspect_replies import Rating, mean_rating, parse_ratings

GOLDEN = Path(__file__).parents[4] / "shared/data/methods_annotation/golden_ultrafeedback_mean.json"

BLOCKS = """Response 1
Rationale: It answers.
Rating: 5

#### Response 2:
**Rationale:** It tells a story.
**Rating:** N/A

Response 3
Rating: 2/5
Rationale: It is short.
And vague."""


def entry(number, rating, rationale="Why."):
    return {"response": number, "rationale": rationale, "rating": rating}


def in_json(*entries):
    return json.dumps({"ratings": list(entries)})


def test_each_block_gives_a_rating_and_its_rationale():
    assert parse_ratings(BLOCKS, 3) == [
        Rating(5, "It answers."),
        Rating(None, "It tells a story."),
        Rating(2, "It is short.\nAnd vague."),
    ]


def test_blocks_may_come_in_any_order_and_after_an_introduction():
    reply = "Here are the ratings.\n\nResponse 2\nRating: 1\nResponse 1\nRating: 4"
    assert [r.score for r in parse_ratings(reply, 2)] == [4, 1]


def test_a_missing_block_is_missing_and_never_1():
    assert parse_ratings(BLOCKS, 4)[3] is None


@pytest.mark.parametrize(
    "rating",
    ["", "good", "0", "6", "10", "2.5", "-1", "4/10", "3-4", "3 or 4", "5\nRating: 4", "\u0664"],
)
def test_a_rating_that_is_no_whole_number_from_1_to_5_is_missing(rating):
    assert parse_ratings(f"Response 1\nRating: {rating}\nResponse 2\nRating: 3", 2) == [None, Rating(3)]


def test_a_response_rated_twice_is_missing():
    reply = "Response 1\nRating: 4\nResponse 1\nRating: 5\nResponse 2\nRating: 3"
    assert parse_ratings(reply, 2) == [None, Rating(3)]


def test_a_response_that_was_not_shown_spoils_the_reply():
    with pytest.raises(ValueError, match="response 3 is rated, but 2 were shown"):
        parse_ratings(BLOCKS, 2)


def test_one_response_needs_no_head():
    assert parse_ratings("Rationale: It answers.\nRating: 4", 1) == [Rating(4, "It answers.")]
    assert parse_ratings("Response 1\nRating: 4", 1) == [Rating(4)]


@pytest.mark.parametrize("reply", ["All are good.", "Rating: 4", '{"ratings": 4}', '{"ratings": [4]}', '{"a": 1', "[]"])
def test_what_is_no_list_of_ratings_is_refused(reply):
    with pytest.raises(ValueError):
        parse_ratings(reply, 2)


def test_json_is_read_alike():
    reply = in_json(entry(2, "N/A", " Fiction. "), entry(1, 3, None))
    assert parse_ratings(reply, 3) == [Rating(3), Rating(None, "Fiction."), None]


@pytest.mark.parametrize("rating", [0, 6, 2.5, "4", True, None, "none", []])
def test_a_rating_in_json_is_a_whole_number_from_1_to_5_or_n_a(rating):
    assert parse_ratings(in_json(entry(1, rating)), 1) == [None]


def test_a_rating_given_twice_in_one_entry_spoils_the_reply():
    with pytest.raises(ValueError, match="'rating' twice"):
        parse_ratings('{"ratings": [{"response": 1, "rating": 1, "rating": 5}]}', 1)


def test_json_in_its_only_fence_is_read():
    assert parse_ratings(f"Here it is:\n```json\n{in_json(entry(1, 3))}\n```", 1) == [Rating(3, "Why.")]


@pytest.mark.parametrize(
    ("ratings", "mean"),
    [([5, None, 5, 5], 5.0), ([3, 4, 4, 5], 4.0), ([4, None, 4, 3], 11 / 3), ([None], None), ([1], 1.0)],
)
def test_the_mean_leaves_out_what_is_not_applicable(ratings, mean):
    assert mean_rating(ratings) == mean


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden means are not at hand")
def test_the_golden_means_are_met():
    golden = json.loads(GOLDEN.read_text("utf-8"))
    by_response = zip(*golden["ratings"].values(), strict=True)
    means = [mean_rating([None if r == "N/A" else r for r in ratings]) for ratings in by_response]
    assert means == golden["mean_ignoring_NA (correct)"]
