import asyncio

import pytest

from pipeline.api import Sample
from pipeline.testing import raises_row_error
from stages.replies.asking import Asking, ask
from tests.unit.stages.skillmix_parts import engine_with

QUESTION = ({"role": "user", "content": "?"},)
SHORTEN = ({"role": "user", "content": "Shorter!"},)


def asked(*samples, attempts=3, shorten=()):
    """Return the engine, and what asks it for a number."""
    engine = engine_with(*samples)
    how = Asking(engine, 0.7, 50, attempts, "skills")
    return engine, lambda: asyncio.run(ask(how, QUESTION, lambda k: 100 + k, int, shorten))


def test_it_asks_again_with_a_new_seed_until_a_reply_can_be_used():
    engine, go = asked("no", Sample("4", "length"), "42")
    answer = go()
    assert (answer.parsed, answer.text, answer.attempts, answer.messages) == (42, "42", 3, QUESTION)
    assert [r.seed for r in engine.generate_calls] == [100, 101, 102]


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        ("no", "skills.unparsable"),
        (" ", "skills.unparsable"),
        ("1\ud800", "skills.unparsable"),
        (Sample("4", "length"), "skills.truncated"),
        (Sample("4", "content_filter"), "skills.refusal"),
    ],
)
def test_the_last_attempt_names_the_reject(sample, code):
    engine, go = asked(sample, attempts=2)
    assert "after 2 attempts" in raises_row_error(code, go).message
    assert len(engine.generate_calls) == 2


def test_only_after_a_cut_a_shorter_reply_is_asked_for_in_the_same_conversation():
    engine, go = asked("no", Sample("4 and", "length"), "5", shorten=SHORTEN)
    answer = go()
    assert (answer.parsed, answer.attempts, answer.length_rewrites) == (5, 3, 1)
    assert answer.messages == (*QUESTION, {"role": "assistant", "content": "4 and"}, *SHORTEN)
    assert [len(r.messages) for r in engine.generate_calls] == [1, 1, 3]
    assert [r.seed for r in engine.generate_calls] == [100, 101, 101]


def test_a_shorter_reply_that_is_cut_off_too_ends_the_attempt():
    engine, go = asked(Sample("4", "length"), attempts=2, shorten=SHORTEN)
    raises_row_error("skills.truncated", go)
    assert [len(r.messages) for r in engine.generate_calls] == [1, 3, 1, 3]


def test_a_cut_reply_that_no_request_can_hold_is_not_sent_back():
    engine, go = asked(Sample("4\ud800", "length"), "5", shorten=SHORTEN)
    assert go().length_rewrites == 0 and [len(r.messages) for r in engine.generate_calls] == [1, 1]
