"""The pure parts of the query stages: mentions of the source, replies, verdicts, excerpts."""

import json
from pathlib import Path

import pytest

from stages.replies.asking import Unusable
from stages.replies.word_runs import shared_run
from stages.synthesis.excerpts import cut_text
from stages.synthesis.mentions import mention_of_source
from stages.synthesis.query_replies import asks, parse_queries, queries_schema
from stages.synthesis.verdicts import VERDICT_SCHEMA, Verdict, parse_verdict

LINES = Path(__file__).with_name("queries_mentioning.txt").read_text("utf-8").splitlines()
LABELLED = [(line[0] == "+", line[2:]) for line in LINES if line[0] in "+-"]
ONE, OTHER = "Why do tomatoes split?", "How often should I water them?"


class TestMentions:
    def test_precision_and_recall_on_labelled_queries(self):
        found = {query for _, query in LABELLED if mention_of_source(query)}
        named = {query for mentions, query in LABELLED if mentions}
        assert len(LABELLED) >= 110 and len(named) >= 60
        assert len(found & named) / len(found) >= 0.96
        assert len(found & named) / len(named) >= 0.96

    def test_it_says_which_words_it_found(self):
        assert mention_of_source("What does\nthe author  think?") == "the author"
        assert mention_of_source("How do I post a letter?") is None

    def test_a_person_counts_only_where_the_query_has_not_introduced_one(self):
        assert mention_of_source("What should this man do? He is ill.") == "this man"
        assert mention_of_source("My brother is ill. How do I help this man?") is None

    def test_the_initials_of_the_poster_are_capitals(self):
        assert mention_of_source("What should OP do?") == "OP"
        assert mention_of_source("What does the abbreviation op. cit. mean?") is None


class TestReplies:
    @pytest.mark.parametrize(
        "reply",
        [
            f"{ONE}\n{OTHER}",
            f"1. {ONE}\n2. {OTHER}",
            f"1) {ONE}\n\n2) {OTHER}\n",
            f"- {ONE}\n* {OTHER}",
            f"Question 1: {ONE}\nQuestion 2: {OTHER}",
            f'"{ONE}"\n“{OTHER}”',
            f"**Question:** {ONE}\n**Q2:** {OTHER}",
            f"Here are two questions:\n{ONE}\n{OTHER}",
            f"{ONE}\n{OTHER}\n\nBoth are answered by what he writes. I hope that this helps.",
            f"{ONE}\n{ONE.upper()}\n{OTHER}",
            json.dumps({"questions": [ONE, OTHER]}),
            json.dumps([ONE, OTHER]),
            f"```json\n{json.dumps({'questions': [ONE, OTHER]})}\n```",
        ],
    )
    def test_every_clear_form_is_read(self, reply):
        assert parse_queries(reply, 5) == (ONE, OTHER)

    def test_no_more_than_asked_for_are_taken(self):
        assert parse_queries(f"{ONE}\n{OTHER}", 1) == (ONE,)
        assert queries_schema(2)["properties"]["questions"]["maxItems"] == 2

    def test_a_json_object_may_hold_one_question(self):
        assert parse_queries(json.dumps({"question": ONE}), 3) == (ONE,)

    def test_a_question_keeps_quotation_marks_inside(self):
        assert parse_queries('"Yes" or "no": should I sell?', 1) == ('"Yes" or "no": should I sell?',)

    @pytest.mark.parametrize(
        ("reply", "code"),
        [
            ("It splits after rain.\nWater more often.", "unparsable"),
            ("Here you are:\nwater and sun\nstraw and shade", "unparsable"),
            ('{"questions": [7]}', "unparsable"),
            ('{"questions": []}', "unparsable"),
            ('{"queries": ["a?"]}', "unparsable"),
            ('{"questions": ["Why', "unparsable"),
            ("[" * 100_000, "unparsable"),
            ('""', "unparsable"),
            ("***", "unparsable"),
            ("I'm sorry, but I can't help with that.", "refusal"),
            ("I cannot write this.\nIs there more?", "refusal"),
        ],
    )
    def test_everything_else_is_refused(self, reply, code):
        with pytest.raises(Unusable) as caught:
            parse_queries(reply, 3)
        assert caught.value.code == code

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (ONE, True),
            ("I have two cats and a small flat. Is a dog too much?", True),
            ("Explain how a heat pump works.", True),
            ("I need a plan for a week of dinners without meat.", True),
            ("What a wonderful way to start the day.", False),
            ("How to make pasta", False),
            ("Is it?", False),
            ("Tomatoes split after rain.", False),
        ],
    )
    def test_what_asks_for_something(self, text, expected):
        assert asks(text) == expected

    def test_a_run_of_words_is_found_whatever_the_punctuation(self):
        text = "After rain, the inside grows faster than the skin."
        assert shared_run("Does the INSIDE grow; faster?", [text], 4) is None
        assert shared_run("If the inside grows - faster than the skin?", [text], 5) == "the inside grows faster than"
        assert shared_run("Short", [text], 5) is None and shared_run(text, [], 3) is None


class TestVerdicts:
    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            ("Yes", Verdict(True, None)),
            ("no.", Verdict(False, None)),
            ("Yes. It names the beans.", Verdict(True, "It names the beans.")),
            ("**No** - it does not say who.", Verdict(False, "it does not say who.")),
            ("Answer: Yes, it does.", Verdict(True, "it does.")),
            ('{"reason": "Clear.", "verdict": "yes"}', Verdict(True, "Clear.")),
            ('```json\n{"verdict": "No", "reason": ""}\n```', Verdict(False, None)),
            ('{"verdict": true}', Verdict(True, None)),
        ],
    )
    def test_every_clear_form_is_read(self, reply, expected):
        assert parse_verdict(reply) == expected

    @pytest.mark.parametrize(
        "reply",
        [
            "Maybe.",
            "Yes or no, that depends.",
            "yes/no",
            "Yesterday it rained.",
            "No idea.",
            "The answer is yes.",
            '{"reason": "x"}',
            '{"verdict": "maybe", "reason": "x"}',
            '{"verdict": "yes", "reason": 7}',
            '{"verdict": 1}',
            '{"verdict"',
            "[" * 50_000,
            '{"a":' * 50_000,
        ],
    )
    def test_what_is_neither_yes_nor_no_is_refused(self, reply):
        with pytest.raises(Unusable):
            parse_verdict(reply)

    def test_the_schema_asks_for_the_reason_first(self):
        assert list(VERDICT_SCHEMA["properties"]) == ["reason", "verdict"]


class TestExcerpts:
    def test_a_short_text_stays_whole(self):
        assert cut_text("Short. ", 7) == ("Short. ", False)

    @pytest.mark.parametrize(
        ("text", "limit", "expected"),
        [
            ("First part is here.\n\nSecond part. And more words", 40, "First part is here.\n\nSecond part."),
            ("One is long enough.\n\nTwo has no end at all here", 36, "One is long enough."),
            ("word another third fourth", 18, "word another third"),
            ("word another third fourth", 15, "word another"),
            ("x" * 50, 20, "x" * 20),
            ("\n" * 10_000, 100, ""),
        ],
    )
    def test_it_is_cut_where_a_reader_would_stop(self, text, limit, expected):
        assert cut_text(text, limit) == (expected, True)


@pytest.mark.parametrize("reply", ["yeſ", "Verdict: yeſ, it does"])
def test_a_letter_that_only_folds_to_yes_is_neither_yes_nor_no(reply):
    with pytest.raises(Unusable):
        parse_verdict(reply)
