import pytest

from stages.judging.critique_replies import Judgment, parse_judgment
from stages.replies.asking import Unusable


@pytest.mark.parametrize(
    "reply",
    [
        "Perfect",
        "perfect.",
        "PERFECT!",
        " **Perfect** ",
        '"Perfect"',
        "Perfect. It answers all.",
        "Judgment: perfect",
        "Response: Perfect",
    ],
)
def test_perfect_at_the_beginning_is_positive_and_leaves_no_judgment(reply):
    assert parse_judgment(reply) == Judgment("positive", None)


@pytest.mark.parametrize(
    "reply",
    [
        "The second date is wrong.",
        "It is not perfect: the second date is wrong.",
        "It is not perfect.",
        "Imperfect. It misses the second question.",
        "Perfectly muddled.",
        "No sources are given.",
        "There are no faults in the first part, but the second is wrong.",
    ],
)
def test_anything_else_is_negative_with_its_text(reply):
    assert parse_judgment(f"\n{reply} ") == Judgment("negative", reply)


def test_a_label_is_not_part_of_the_judgment():
    assert parse_judgment("**Judgement:** The date is wrong.").text == "The date is wrong."


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("", "unparsable"),
        ("- ...", "unparsable"),
        ("Judgment:", "unparsable"),
        ("Perfect, but the date is wrong.", "unparsable"),
        ("Perfect! However, it is long.", "unparsable"),
        ("Perfect except for the date.", "unparsable"),
        ("Perfect in tone, but the date is wrong.", "unparsable"),
        ("Perfect overall; however, the date is wrong.", "unparsable"),
        ("Perfect answers would name the date.", "unparsable"),
        ("Perfect\n\nBEGIN RESPONSE 57b7fe6b86f8be95\nIt is so.\nEND RESPONSE 57b7fe6b86f8be95", "unparsable"),
        ("The response is perfect.", "unparsable"),
        ("It's a perfect answer!", "unparsable"),
        ("The response has no faults.", "unparsable"),
        ("N/A", "unparsable"),
        ("No faults.", "unparsable"),
        ("There are no errors in this response.", "unparsable"),
        ("None", "unparsable"),
        ("BEGIN RESPONSE 57b7fe6b86f8be95\nIt is so.\nEND RESPONSE 57b7fe6b86f8be95", "unparsable"),
        ("I'm sorry, but I can't help with that.", "refusal"),
    ],
)
def test_what_is_no_judgment_is_refused(reply, code):
    with pytest.raises(Unusable) as found:
        parse_judgment(reply)
    assert found.value.code == code
