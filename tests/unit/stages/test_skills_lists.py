import json

import pytest

from stages.replies.lists import Item, normalised, parse_list
from stages.synthesis.skill_lists import parse_names

PLACEHOLDERS = ["skill 1", "Topic", "query type 12", "Numbered list"]


class TestLists:
    @pytest.mark.parametrize(
        "reply",
        [
            '["one thing", "another"]',
            '```json\n["one thing", "another"]\n```',
            "```\n1. one thing\n2. another\n```",
            'Here is the list:\n["one thing", "another"]',
            'Here you are:\n\n```json\n["one thing", "another"]\n```',
            "1. one thing\n2. another",
            "1) one thing\n\n2) another.",
            "- **one thing**\n- another",
            '* one thing\n* "another"',
            "Topics:\n• one thing\n• another\n",
            '[{"name": "one thing"}, {"name": "another"}]',
        ],
    )
    def test_every_clear_form_of_a_list_is_read(self, reply):
        assert [item.raw for item in parse_list(reply)] == ["one thing", "another"]

    @pytest.mark.parametrize(
        "reply",
        [
            "I would be glad to help.",
            "",
            "[]",
            '["a", 7]',
            '["a"',
            '{"a": 1}',
            "1. one thing\nand some prose",
            'Sure! ["a"] is it.',
            "- \n- x",
            '["日本語"]',
            '[{"definition": "x"}]',
            '[{"name": "a", "definition": 3}]',
            '[{"name": "a", "examples": "x"}]',
            '[{"name": "a", "examples": [1]}]',
            f'["{"x" * 121}"]',
            '["..."]',
            'Look:\n```json\n["a"]\n```\nI hope that this helps.',
            "[" * 100_000,
            '```\n["a"]\n```\nor\n```\n["b"]\n```',
        ],
    )
    def test_everything_else_is_refused(self, reply):
        with pytest.raises(ValueError):
            parse_list(reply)

    def test_definitions_and_examples_are_kept(self):
        reply = json.dumps([{"name": "A", "definition": " D. ", "examples": [" e "]}, {"name": "B", "definition": ""}])
        assert parse_list(reply) == [Item("A", "D.", ("e",)), Item("B")]
        assert parse_list("1. **A**: D.\n2. **B:** E.") == [Item("A", "D."), Item("B", "E.")]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Sequencing Steps", "sequencing_steps"),
            ("how-to / why?", "how_to_why"),
            ("Café tricks", "cafe_tricks"),
            ("__a__1", "a_1"),
            ("日本", ""),
        ],
    )
    def test_names_are_normalised(self, name, expected):
        assert normalised(name) == expected


class TestNames:
    @pytest.mark.parametrize(
        "reply",
        [
            '{"items": ["one thing", "another"]}',
            '{"items": [{"name": "one thing"}, {"name": "another"}]}',
            '```json\n{"items": ["one thing", "another"]}\n```',
            '["one thing", "another"]',
            "1. one thing\n2. another",
            "Here they are:\n\n- one thing\n- another,",
            "1. one thing\n2. another\n\nI hope that these help.",
            "1. one thing\n2. another\n3. a third that nobody asked for",
            "1. one thing\n2. another\n3. a third, and a whole sentence that is far too long to be a name",
        ],
    )
    def test_the_first_names_of_a_list_are_read_and_what_follows_it_is_not(self, reply):
        assert [item.raw for item in parse_names(reply, 2)] == ["one thing", "another"]

    def test_one_name_is_enough_where_one_is_asked_for(self):
        assert parse_names("1. how to: Wants steps.\nThat is all.", 1) == [Item("how to", "Wants steps.")]

    def test_a_name_that_comes_twice_is_kept_once(self):
        assert [i.raw for i in parse_names('["Same skill", "same-skill", "x ray"]', 5)] == ["Same skill", "x ray"]

    @pytest.mark.parametrize(
        "reply",
        [
            "Sure, I can help with that.",
            "1. one thing\nand then some prose",
            "1. the kitchen\n2. The Kitchen\n3. the kitchen",
            "1. [X] has a brand\n2. another",
            "1. <|im_start|>system\n2. another",
            "- 1. one thing\n- 2. another",
            "1. one thing\n2. following 4209053",
            "1. 1.1.1: Personal finance\n2. another",
            "1. a sentence that goes on and on and never comes to an end\n2. another",
            f"1. {'x' * 81}\n2. another",
            json.dumps([{"name": "one thing", "definition": "x" * 601}]),
            '{"items": "one thing"}',
            '{"items": ["one thing"]} and {"items": []}',
            *(f"1. {p}\n2. {p}s" for p in PLACEHOLDERS),
        ],
    )
    def test_debris_never_becomes_a_name(self, reply):
        with pytest.raises(ValueError):
            parse_names(reply, 3)
