import pyarrow as pa
import pytest

from pipeline.api import MESSAGES
from stages.selection.row_texts import texts_of
from stages.selection.words import fold, is_single_character, split_terms, split_words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  Hello\n\tWORLD ", "hello world"),
        ("\uff28\uff49 Stra\u00dfe", "hi strasse"),
        ("\ufb01ne\u00a0print", "fine print"),
    ],
)
def test_folding_evens_out_case_width_and_white_space(text, folded):
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("folded", "words"),
    [
        ("don't stop, now!", ["don", "t", "stop", "now"]),
        ("\u201cquoted\u201d \u2014 text", ["quoted", "text"]),
        ("x+y=2", ["x", "y", "2"]),
        ("\u5199\u4e00\u9996\u8bd7\u3002ok", ["\u5199", "\u4e00", "\u9996", "\u8bd7", "ok"]),
        ("\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964", 2),
        ("?! ...", []),
    ],
)
def test_words_end_at_white_space_and_punctuation(folded, words):
    found = split_words(folded)
    assert (len(found) if isinstance(words, int) else found) == words


def test_terms_tell_signs_of_arithmetic_from_marks_of_a_list():
    assert split_terms("3+5") == ["3", "+", "5"] != split_terms("3*5")
    assert split_terms("3 - 5") == ["3", "-", "5"] and split_terms("a/b") == ["a", "/", "b"]
    assert split_terms("- a **bold** well-known thing") == ["a", "bold", "well", "known", "thing"]


def test_single_characters_are_letters_and_digits_but_no_ideographs():
    assert is_single_character("x") and is_single_character("7")
    assert not is_single_character("ab") and not is_single_character("\u8bd7")


def test_the_text_of_a_conversation_is_what_the_user_says():
    turns = [("system", "Be brief."), ("user", "One"), ("assistant", "1"), ("user", "Two")]
    rows = [[{"role": r, "content": c} for r, c in turns], None, [], [{"role": "assistant", "content": "x"}]]
    column = pa.chunked_array([pa.array(rows[:1], MESSAGES), pa.array(rows[1:], MESSAGES)])
    assert texts_of(column) == ["One\nTwo", None, None, None]
    assert texts_of(column.slice(1)) == [None, None, None] and texts_of(pa.array(["a", None])) == ["a", None]
