import json
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.testing import process_table
from stages.selection.filter_responses import CHECKS, FilterResponses, FilterResponsesConfig
from stages.selection.refusals import refusal
from stages.selection.repetition import loop
from stages.selection.self_description import date_cutoff, identity
from stages.selection.speech import own_words
from tests.unit.stages.books_in_memory import BooksInMemory

TEXTS = Path(__file__).with_name("labelled_responses.jsonl").read_text("utf-8")
LABELLED = [json.loads(line) for line in TEXTS.split("\n") if line]
FIND = {
    "refusal": lambda text: refusal(own_words(text)),
    "identity": lambda text: identity(own_words(text)),
    "date_cutoff": lambda text: date_cutoff(own_words(text)),
    "repetition": loop,
}
FINISH = pa.schema([("id", pa.string()), ("finish_reason", pa.string())])
MARKED = pa.schema([*FINISH, ("may_be_chosen", pa.bool_()), ("filter_reasons", pa.list_(pa.string()))])
GERMAN = "Das Wetter ist heute schön, und wir gehen am Nachmittag in den Park."
BAD = {
    "refusal": "I can't help with that.",
    "identity": "As an AI, I like trees.",
    "date_cutoff": "As of my last update, it was open.",
    "repetition": "It is so. " * 20,
    "language": GERMAN,
}

HOSTILE = (
    *("I ", "I only ", "I'm not a ", "a-", "AI-", "as a b-c ", "my training ended ", "everything I learned "),
    *("I was trained on ", "before ", "not not ", "sorry, ", ", said ", "\n", "'", "“", "I will have to ", "a"),
)


def run(*responses, schema=FINISH, **config):
    stage = FilterResponses(FilterResponsesConfig(**config))
    rows = [r if isinstance(r, dict) else {"response": r} for r in responses]
    return process_table(stage, [{"id": str(i), "finish_reason": "stop"} | r for i, r in enumerate(rows)], schema)


def reasons(*responses, **config):
    return run(*responses, **config).table["filter_reasons"].to_pylist()


@pytest.mark.parametrize("check", FIND)
def test_precision_and_recall_on_labelled_responses(check):
    found = {i for i, row in enumerate(LABELLED) if FIND[check](row["text"])}
    meant = {i for i, row in enumerate(LABELLED) if check in row["labels"]}
    assert len(LABELLED) >= 250 and len(meant) >= 25
    assert len(found & meant) >= 0.95 * max(len(found), len(meant))


@pytest.mark.parametrize("check", FIND)
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_takes_no_longer_than_its_length_allows(check, unit):
    text, start = (unit * (60_000 // len(unit)))[:60_000], time.process_time()
    FIND[check](text)
    assert time.process_time() - start < 2  # seconds; a pattern of quadratic time takes far longer


def test_words_of_others_are_taken_out():
    assert own_words("Say “I can’t” or 'I won't do it' — don't!") == "Say … or … — don't!"
    assert own_words("> I am Bob\nIt's `x`:\n```\nI am code\n") == "…\nIt's …:\n…"
    assert own_words('"I cannot do that."') == "I cannot do that."


def test_a_loop_says_what_is_repeated():
    assert loop("ab" * 30) == "'ab' 30 times in a row"
    assert loop("so on and " * 10) == "3 words at least 6 times in a row"
    assert loop("\n".join(f"{i}) It is a good idea {'!' * (i % 3)}" for i in range(8))) is None
    assert loop("\n".join(f"{i}) It is a good idea" for i in range(8))) == "7 of 8 lines again, one 8 times"
    assert loop("0 " * 99) is None and loop("0 " * 101) == "1 words at least 100 times in a row"


def test_good_responses_may_be_chosen_and_bad_ones_are_marked():
    result = run("Trees are tall.", *BAD.values(), languages=["en"])
    assert result.table["may_be_chosen"].to_pylist() == [True] + [False] * 5 and not result.rejects
    assert result.table["filter_reasons"].to_pylist() == [[]] + [[name] for name in BAD]


def test_a_response_may_have_several_reasons():
    text = "I'm sorry, but as an AI language model I can't help with events after 2021. "
    assert reasons({"response": text * 9, "finish_reason": "length"}) == [[*CHECKS]]


def test_only_the_checks_named_are_made():
    assert reasons(*BAD.values(), checks=["identity"]) == [[], ["identity"], [], [], []]
    assert reasons(*BAD.values(), checks=[], languages=["en"]) == [[]] * 4 + [["language"]]
    assert reasons({"response": "Cut", "finish_reason": "length"}, checks=["refusal"]) == [[]]


def test_an_unsure_language_is_not_wrong():
    assert reasons("The capital is Paris.", GERMAN, languages=["fr"], least_probability=0.9) == [[], ["language"]]


def test_without_finish_reason_nothing_counts_as_cut_off():
    rows = [{"response": "Cut", "finish_reason": "length"}]
    assert reasons(*rows, schema=None) == [[]] and reasons(*rows) == [["truncation"]]


def test_marks_of_an_earlier_filter_are_kept():
    rows = [
        {"response": "Fine.", "may_be_chosen": False, "filter_reasons": ["toxic"]},
        {"response": BAD["refusal"], "may_be_chosen": True, "filter_reasons": None},
        {"response": BAD["refusal"], "may_be_chosen": None, "filter_reasons": ["refusal"]},
        {"response": "Fine.", "may_be_chosen": True, "filter_reasons": []},
    ]
    table = run(*rows, schema=MARKED).table
    assert table["may_be_chosen"].to_pylist() == [False, False, False, True]
    assert table["filter_reasons"].to_pylist() == [["toxic"], ["refusal"], ["refusal"], []]
    assert table.column_names == [*MARKED.names, "response"]


def test_both_sides_are_filtered_if_the_recipe_says_so():
    rows = ["Trees are tall.", *BAD.values(), {"response": "Cut", "finish_reason": "length"}]
    result = run(*rows, languages=["en"], apply="both")
    assert result.table["response"].to_pylist() == ["Trees are tall."]
    assert "may_be_chosen" not in result.table.column_names
    codes = [f"filter.{name}" for name in (*BAD, "truncation")]
    assert [r.code for r in result.rejects] == codes
    assert (result.rejects[0].row, result.rejects[0].message) == (
        {"id": "1", "filter_reasons": ["refusal"]},
        "refusal: I can't help",
    )


@pytest.mark.parametrize("apply", ["chosen", "both"])
@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_response_without_text_is_set_aside(text, apply):
    result = run(text, "Fine.", apply=apply)
    assert [(r.row, r.code) for r in result.rejects] == [({"id": "0"}, "filter.no_text")]
    assert result.table["id"].to_pylist() == ["1"]


def test_reasons_are_counted():
    stage = FilterResponses(FilterResponsesConfig())
    result = run("Fine.", BAD["refusal"], "As an AI, I can't help with that.", None)
    (table,) = stage.report(BooksInMemory(4, result.table))
    assert table.rows == (("refusal", 2, 0.5), ("identity", 1, 0.25), ("any of them", 2, 0.5))


def test_reasons_of_rejects_are_counted():
    stage = FilterResponses(FilterResponsesConfig(apply="both"))
    result = run("Fine.", BAD["refusal"], "As an AI, I can't help with that.", None, apply="both")
    (table,) = stage.report(BooksInMemory(4, result.table, refused=result.rejects))
    assert table.title == "Responses set aside"
    assert table.rows == (("refusal", 2, 0.5), ("identity", 1, 0.25), ("any of them", 2, 0.5))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"checks": []}, "nothing to look for"), ({"languages": ["english"]}, "language 'english' is not known")],
)
def test_a_config_that_makes_no_sense_is_refused(wrong, text):
    with pytest.raises(ValidationError, match=text):
        FilterResponsesConfig(**wrong)
