"""YAML that holds plain values only."""

from __future__ import annotations

import re

import pytest

from pipeline.errors import RecipeError
from pipeline.plain_yaml import read_plain_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: [1, 2.5, yes, true, null, ~, 'x']}", {"a": [1, 2.5, "yes", True, None, None, "x"]}),
        ("", None),
        ("on", "on"),
        ("0o17", 15),
        ("1_000", 1000),
        ("18446744073709551615", 2**64 - 1),
        ("|\n a\n b\n", "a\nb\n"),
        ("1:20", "1:20"),
    ],
)
def test_plain_values_are_read_as_yaml_1_2_says(text, value):
    assert read_plain_yaml(text, "it") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: *b", "it, line 1: aliases are not read; write the value out"),
        ("- &b 1", "anchors are not read; remove '&b'"),
        ("a:\n  !!int '3'", "it, line 2: tags are not read"),
        ("!x {}", "tags are not read"),
        ("[" * 51 + "]" * 51, "nested more than 50 deep"),
        ("a: [", "it is not valid YAML: "),
        ("a: b: c", "(line 1, column 5)"),
        ("a: \x07", "it is not valid YAML"),
        ("{a: 1, a: 2}", 'duplicate key "a"'),
        ("a: [1, .nan]", "it: a[1] is nan; expected a finite number"),
        ("{b: {c: -.inf}}", "it: b.c is -inf"),
        ("a: 2026-01-01", "it: a is a date; expected text (in quotes)"),
        ("a: 0x" + "f" * 5000, "a is a number of more than 64"),
        ("1: a", "it: the top has the key 1; put keys in quotes"),
        ("a: [{null: 1}]", "a[0] has the key None"),
        ("? 0x" + "f" * 5000 + "\n: a", "has the key of type int"),
        ('"\\ud800": 1', "lone surrogate"),
        ('a: "\\ud800"', "a holds a lone surrogate"),
        ("1" * 5000, "is not valid YAML"),
        (".inf", "the value is inf"),
    ],
)
def test_everything_else_is_refused_with_its_place(text, reason):
    with pytest.raises(RecipeError, match=re.escape(reason)):
        read_plain_yaml(text, "it")


def test_the_place_of_the_whole_is_put_in_front():
    with pytest.raises(RecipeError, match=re.escape("it: limits.x[0] is inf")):
        read_plain_yaml("x: [.inf]", "it", "limits")
