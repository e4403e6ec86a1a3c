"""IFEval's instructions: for each a text that follows it and one that does not; what cannot be told; both modes."""

import json
import time

import pytest
from pydantic import ValidationError

from stages.verification.instruction_checks import CHECKS, BadArguments
from stages.verification.instruction_lists import (
    InstructionsCheck,
    any_follows,
    follow,
    instructions_of,
    loose_readings,
    verdict_of,
)
from stages.verification.text_counts import count_sentences, count_words, paragraphs_of

GERMAN = "Der Fluss fließt langsam durch das breite Tal und mündet schließlich in die Nordsee."
ENGLISH = "the river flows slowly through the wide valley and finally reaches the northern sea."

CASES = [
    ("keywords:existence", {"keywords": ["river", "Lake"]}, "A RIVER and a lake.", "A river."),
    ("keywords:existence", {"keywords": ["c++ (new)"]}, "I use C++ (new).", "I use c."),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "at least"}, "Sea, seaside.", "One sea."),
    ("keywords:frequency", {"keyword": "sea", "frequency": 2, "relation": "less than"}, "One sea.", "Sea, sea."),
    ("keywords:forbidden_words", {"forbidden_words": ["art"]}, "A party.", "It is Art."),
    (
        "keywords:letter_frequency",
        {"letter": "Z", "let_frequency": 2, "let_relation": "at least"},
        "Pizza.",
        "Zoo.",
    ),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 1, "let_relation": "less than"}, "No.", "# Yes"),
    ("language:response_language", {"language": "de"}, GERMAN, ENGLISH),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two!", "One, two."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "Mr. Smith.", "A b. C d."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One\n***\nTwo\n***\n", "One\n***\n\n***\nTwo"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two-three", "one two"),
    ("length_constraints:number_words", {"num_words": 3.0, "relation": "less than"}, "one two", "one two three"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Then"},
        "One.\n\n'Then, two.",
        "Then one.\n\nNow two.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] at [place]", "[name] at [\n]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. more", "Bye. PS more"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P. P. S more", "P.S. more"),
    ("detectable_content:postscript", {"postscript_marker": "Note:"}, "end\nNOTE: x", "end note"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n - b\n**c**", "* a\n* b\n- c"),
    ("detectable_format:constrained_response", {}, "I say: My answer is no.", "my answer is no"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", "*a* and **"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}, "**a**", "* * text"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "PART", "num_sections": 2},
        "PART 1\na\nPART 2\nb",
        "PART one\nPART 1",
    ),
    ("detectable_format:json_format", {}, '```JSON\n{"a": 1}\n```', '{"a": 1} done'),
    ("detectable_format:title", {}, "x\n<<A song>>\ny", "<<>> <a>"),
    ("combination:two_responses", {}, "A\n******\nB", "A\n******\nA"),
    ("combination:two_responses", {}, "******A******B", "A******B******C"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi. "}, "say HI. Hello!", "Hello! Say hi."),
    ("startend:end_checker", {"end_phrase": "That is all."}, 'Well, "that is all."', "That is all. Bye"),
    ("startend:quotation", {}, ' "All of it" ', '"'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "DON'T use ALL-CAPS",
        "Only ONE",
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "Only DON'T",
        "NOT SO",
    ),
    ("change_case:english_capital", {}, ENGLISH.upper(), GERMAN.upper()),
    ("change_case:english_capital", {}, ENGLISH.upper(), ENGLISH),
    ("change_case:english_lowercase", {}, ENGLISH, GERMAN.lower()),
    ("punctuation:no_comma", {}, "None; at all", "One, two"),
]


@pytest.mark.parametrize(("name", "given", "good", "bad"), CASES)
def test_an_instruction_is_followed_by_one_text_and_not_by_the_other(name, given, good, bad):
    assert (CHECKS[name](good, given), CHECKS[name](bad, given)) == (True, False)


def test_all_25_instructions_of_ifeval_are_there_and_tried():
    assert len(CHECKS) == 25 and {case[0] for case in CASES} == set(CHECKS)


@pytest.mark.parametrize("name", [case[0] for case in CASES if case[1]])
def test_an_argument_that_is_missing_or_of_another_kind_is_told_and_never_drawn(name):
    with pytest.raises(BadArguments, match="needs "):
        CHECKS[name]("text", {})
    given = next(case[1] for case in CASES if case[0] == name)
    wrong = {key: True if isinstance(value, int | float) else 3 for key, value in given.items()}
    with pytest.raises(BadArguments, match="needs "):
        CHECKS[name]("text", wrong)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("length_constraints:number_words", {"num_words": float("inf"), "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": float("nan"), "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": 1.5, "relation": "at least"}),
        ("keywords:existence", {"keywords": ["sea", " "]}),
        ("startend:end_checker", {"end_phrase": "\n"}),
        ("language:response_language", {"language": "German"}),
    ],
)
def test_an_argument_that_no_text_could_follow_or_all_would_leaves_no_verdict(name, given):
    found = follow("the sea", [(name, given)])
    assert found.strict == found.loose == (None,) and "needs " in found.notes[0]


def test_a_letter_is_one_character_and_a_relation_one_of_two():
    with pytest.raises(BadArguments, match="one character"):
        CHECKS["keywords:letter_frequency"]("x", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"})
    with pytest.raises(BadArguments, match="'less than' or 'at least'"):
        CHECKS["length_constraints:number_words"]("x", {"num_words": 1, "relation": "at most"})


def test_the_language_of_a_few_letters_is_not_told():
    assert CHECKS["language:response_language"]("Ja.", {"language": "de"}) is None
    assert CHECKS["change_case:english_lowercase"]("ok", {}) is None


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_empty_paragraph_is_none_to_begin(at):
    given = {"num_paragraphs": 2, "nth_paragraph": at, "first_word": "b"}
    text = "a\n\n\n\nb"
    assert CHECKS["length_constraints:nth_paragraph_first_word"](text, given) is False


def test_loose_takes_the_best_of_eight_readings():
    text = "Sure, here it is:\n*no* comma in the middle\nHope it helps, friend"
    assert len(loose_readings(text)) == 8 and loose_readings("one line") == ["one line", ""]
    found = follow(text, [("punctuation:no_comma", {}), ("keywords:existence", {"keywords": ["lake"]})])
    assert (found.strict, found.loose) == ((False, False), (True, False))


def test_an_empty_response_follows_nothing():
    found = follow(" \n", [("punctuation:no_comma", {})])
    assert (found.strict, found.loose) == ((False,), (False,))


def test_a_reading_that_cannot_be_told_is_no_failure_unless_another_follows():
    assert (any_follows([False, None]), any_follows([None, True]), any_follows([False])) == (None, True, False)


def test_the_verdict_needs_all_and_the_score_is_the_share():
    text = "a, b"
    half = follow(text, [("punctuation:no_comma", {}), ("keywords:existence", {"keywords": ["a"]})])
    verdict = verdict_of(half, "strict")
    assert (verdict.passed, verdict.score, verdict.note) == (False, 0.5, "strict 1, loose 1 of 2")
    assert verdict.parts == ((False, True), (False, True))
    whole = verdict_of(follow(text, [("keywords:existence", {"keywords": ["a"]})]), "loose")
    assert (whole.passed, whole.score) == (True, 1.0)


def test_an_instruction_that_is_unknown_or_lacks_arguments_leaves_no_verdict():
    found = follow("text", [("no:such", {}), ("keywords:existence", {}), ("punctuation:no_comma", {})])
    verdict = verdict_of(found, "strict")
    assert (found.strict, verdict.passed, verdict.score) == ((None, None, True), None, None)
    assert "no:such: not one of IFEval's" in verdict.note and "keywords:existence: needs keywords" in verdict.note


def test_a_failure_stands_beside_what_cannot_be_told_but_has_no_share():
    verdict = verdict_of(follow("a, b", [("no:such", {}), ("punctuation:no_comma", {})]), "strict")
    assert (verdict.passed, verdict.score) == (False, None)


def test_instructions_of_a_row_leave_null_arguments_out():
    given = json.dumps({"num_words": 5, "relation": "at least", "keyword": None})
    ids = ["length_constraints:number_words", "punctuation:no_comma"]
    assert instructions_of(ids, [given, None]) == [
        (ids[0], {"num_words": 5, "relation": "at least"}),
        (ids[1], {}),
    ]
    assert instructions_of(ids[1:], None) == [(ids[1], {})]


@pytest.mark.parametrize(
    ("ids", "arguments", "told"),
    [
        (None, None, "lists no instruction"),
        ([], [], "lists no instruction"),
        (["punctuation:no_comma"], [], "1 instructions, but arguments for 0"),
        (["punctuation:no_comma"], ["{"], "no JSON object"),
        (["punctuation:no_comma"], ["[1]"], "no JSON object"),
    ],
)
def test_a_row_whose_lists_do_not_fit_is_told(ids, arguments, told):
    with pytest.raises(ValueError, match=told):
        instructions_of(ids, arguments)


def test_instructions_of_the_recipe_are_checked_when_it_is_read():
    InstructionsCheck(instructions=[{"id": "length_constraints:number_words", "num_words": 5, "relation": "at least"}])
    with pytest.raises(ValidationError, match="is none of keywords:existence"):
        InstructionsCheck(instructions=[{"id": "no:such"}])
    with pytest.raises(ValidationError, match="number_words needs num_words"):
        InstructionsCheck(instructions=[{"id": "length_constraints:number_words"}])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One", 1),
        ("One. Two? Three!", 3),
        ("Mr. Smith met Dr. A. Jones at 3.5 p.m. today.", 1),
        ('He said "Stop!" and left... Then nothing.', 3),
        ("1. First item.\n2. Second item.", 2),
        ("So do I. You too.", 2),
        ("什么？好的。", 2),
        ("...", 1),
        ("Wait... what?!", 2),
    ],
)
def test_sentences_are_counted_by_rules(text, count):
    assert count_sentences(text) == count


@pytest.mark.parametrize("text", ["[" * 100_000, "." * 100_000 + "x", "*" * 100_000, "<<" * 50_000, "\n" * 100_000])
def test_a_text_made_to_take_long_takes_no_longer(text):
    given = {"num_placeholders": 1, "num_sentences": 2, "relation": "at least", "num_highlights": 1, "num_bullets": 1}
    names = ["detectable_content:number_placeholders", "length_constraints:number_sentences", "detectable_format:title"]
    names += ["detectable_format:number_highlighted_sections", "detectable_format:number_bullet_lists"]
    start = time.process_time()
    assert not any(CHECKS[name](text, given) for name in names)
    assert time.process_time() - start < 2


def test_words_and_paragraphs_are_counted():
    assert count_words("Don't use well-known e_mail 3.5") == 8
    assert paragraphs_of("a\nb\n \nc\n\n\n\nd\n\n ") == ["a\nb", "c", "d"]
