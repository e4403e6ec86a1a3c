import pytest

from stages.judging.reference_text import copied_share, relevant_window

FILLER = "The weather was fine that day and we walked along the river. "
ANSWER = "Soak dried beans overnight in salted water."
LONG = FILLER * 20 + ANSWER + " " + FILLER * 20


def test_a_short_text_is_shown_whole():
    assert relevant_window(ANSWER, "beans", 100) == (ANSWER, False)


def test_the_part_about_the_question_is_shown_and_flagged():
    shown, cut = relevant_window(LONG, "How long do I soak dried beans?", 200)
    assert cut and ANSWER in shown and len(shown) <= 200


def test_the_part_begins_and_ends_with_a_sentence():
    shown, _ = relevant_window(LONG, "How long do I soak dried beans?", 200)
    assert shown[0].isupper() and shown.endswith(".")


def test_words_that_are_everywhere_decide_nothing():
    shown, _ = relevant_window(LONG, "The weather, the river, and dried beans?", 200)
    assert ANSWER in shown


def test_without_a_shared_word_the_beginning_is_shown():
    shown, cut = relevant_window(FILLER * 20, "Zebras?", 130)
    assert cut and (FILLER * 20).startswith(shown) and len(shown) > 60


def test_of_two_equal_parts_the_first_is_shown():
    text = f"First. {ANSWER} " + FILLER * 5 + f"{ANSWER} Last."
    assert relevant_window(text, "dried beans", 60)[0] == f"First. {ANSWER}"


def test_a_text_without_a_sentence_is_cut_at_the_limit():
    assert relevant_window("\n" * 100, "beans", 10) == ("\n" * 10, True)


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_a_sentence_longer_than_the_limit_is_split(limit):
    shown, cut = relevant_window("x" * 300 + " beans", "beans", limit)
    assert cut and 0 < len(shown) <= limit


@pytest.mark.parametrize(
    ("response", "share"),
    [
        ("a b c d e f", 1.0),
        ("A, b; C d!", 1.0),
        ("a b c x y z", 0.25),
        ("x y z", 0.0),
        ("a b", None),
    ],
)
def test_the_share_of_copied_runs_of_three_words(response, share):
    assert copied_share(response, "a b c d e f g", 3) == share
