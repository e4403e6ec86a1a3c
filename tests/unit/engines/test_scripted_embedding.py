import asyncio
import math

import pytest

from pipeline.api import CLASSIFY, EMBED, REWARD, PoolRequest
from pipeline.testing import scripted_engine


def vector(text, **config):
    return asyncio.run(scripted_engine(**config).pool(PoolRequest("embed", text=text))).values


def pooled(task, **what):
    [value] = asyncio.run(scripted_engine().pool(PoolRequest(task, **what))).values
    return value


def test_an_embedding_has_length_one_and_depends_on_words_and_model_only():
    one = vector("the old river the")
    assert math.isclose(sum(v * v for v in one), 1.0) and one == vector("the THE river\nold")
    assert one != vector("the old river the", model="other") and one != vector("something else")


def test_more_words_in_common_make_a_higher_cosine():
    base, near, far = vector("a b c d e f"), vector("a b c d e x"), vector("u v w x y z")
    assert sum(map(math.prod, zip(base, near, strict=True))) > sum(map(math.prod, zip(base, far, strict=True)))


def test_messages_are_embedded_too_and_an_empty_text_is_the_zero_vector():
    turns = ({"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"})
    result = asyncio.run(scripted_engine().pool(PoolRequest("embed", messages=turns)))
    assert (result.values, result.tokens, result.model) == (vector("a b c"), 3, "scripted")
    assert not any(vector(""))


def test_it_offers_all_kinds_of_pooling():
    assert all(scripted_engine().offers(c) for c in (EMBED, REWARD, CLASSIFY))


def test_a_reward_is_that_of_the_last_turn_and_the_preferred_candidate_has_the_higher_one():
    turns = ({"role": "user", "content": "a b"}, {"role": "assistant", "content": "c d"})
    other = (turns[0], {"role": "assistant", "content": "e"})
    one, two = (pooled("reward", messages=m) for m in (turns, other))
    assert one == pooled("reward", text="c d") == pooled("reward", text="x", text_pair="c d") != two
    first, second = (pooled("classify", messages=turns[:1], candidates=c) for c in (("c d", "e"), ("e", "c d")))
    assert first + second == pytest.approx(1.0) and (first > 0.5) == (one > two)
