import json
import math

import pytest

from stages.preference.comparison_replies import (
    comparison_schema,
    parse_reasoned,
    parse_word,
    share_of_choices,
    share_of_raw,
)

WORDS = {"first": 1.0, "second": 0.0, "tie": 0.5}


class TestWords:
    @pytest.mark.parametrize(
        "reply",
        [
            "first",
            " First.\n",
            "**first**",
            "'first'",
            "Better: first",
            "The first response is better.",
            "```\nfirst\n```",
        ],
    )
    def test_the_word_alone_is_read(self, reply):
        assert parse_word(reply, True) == 1.0

    @pytest.mark.parametrize("word", WORDS)
    def test_each_word_has_its_share(self, word):
        assert parse_word(word, True) == WORDS[word]

    @pytest.mark.parametrize(
        "reply",
        [
            "",
            "both",
            "first or second",
            "first second",
            "not first",
            "I prefer the first",
            "third",
            "1",
            "first\nsecond",
        ],
    )
    def test_everything_else_is_no_verdict(self, reply):
        with pytest.raises(ValueError):
            parse_word(reply, True)

    def test_a_tie_that_was_not_offered_is_no_verdict(self):
        with pytest.raises(ValueError, match="expected first or second"):
            parse_word("tie", False)


class TestReasons:
    @pytest.mark.parametrize("word", WORDS)
    def test_the_last_line_is_read(self, word):
        assert parse_reasoned(f"One is vague.\n\n**Better:** {word}.", True) == WORDS[word]

    def test_json_is_read(self):
        assert parse_reasoned('```json\n{"reason": "Better: first", "better": "Second"}\n```', True) == 0.0

    @pytest.mark.parametrize(
        "reply",
        [
            "The first is better.",
            "Better: first\nBut who knows.",
            "Better: first\nThe response says so.\nBetter: second",
            "Better: first or second",
            '{"reason": "x"}',
            '{"better": 1}',
            '{"better": "neither"}',
            '{"better": "first"',
            "",
        ],
    )
    def test_what_is_missing_or_contradicts_itself_is_no_verdict(self, reply):
        with pytest.raises(ValueError):
            parse_reasoned(reply, True)

    def test_the_same_verdict_twice_is_one(self):
        assert parse_reasoned("Better: second\nIt is shorter.\nBetter: second", True) == 0.0

    def test_the_schema_offers_the_words(self):
        assert comparison_schema(False)["properties"]["better"]["enum"] == ["first", "second"]


class TestChoices:
    def test_a_tie_counts_half(self):
        assert share_of_choices([math.log(0.5), math.log(0.3), math.log(0.2)]) == pytest.approx(0.6)
        assert share_of_choices([math.log(0.75), math.log(0.25)]) == pytest.approx(0.75)

    def test_only_differences_count(self):
        assert share_of_choices([-1000.0, -1000.0 - math.log(3)]) == pytest.approx(0.75)

    @pytest.mark.parametrize("logprobs", [[], [-1.0], [-1.0] * 4, [float("nan"), -1.0], [float("-inf"), 0.0]])
    def test_what_is_not_finite_is_no_verdict(self, logprobs):
        with pytest.raises(ValueError):
            share_of_choices(logprobs)


@pytest.mark.parametrize(
    ("raw", "share"),
    [
        ("tie", 0.5),
        ("The first response is better.", 1.0),
        ("[The second is shorter.]\nBetter: second", 0.0),
        ("Shorter.\nBetter: second", 0.0),
        ('{"reason": "x", "better": "first"}', 1.0),
        (json.dumps([math.log(0.25), math.log(0.75)]), 0.25),
        (repr(0.125), 0.125),
    ],
)
def test_a_raw_verdict_of_any_form_gives_its_share_again(raw, share):
    assert share_of_raw(raw) == pytest.approx(share)
