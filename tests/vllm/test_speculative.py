"""Speculative decoding: the same greedy text, figures of acceptance, and `auto` as settled when planning."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.types import GenRequest, messages_of
from tests.vllm.conftest import MODEL, engine

COPY = (
    "Repeat this text word for word: The old harbour wall was built of grey stone by the people of the town, and the "
    "old harbour wall still stands. Begin now."
)


async def texts(one):
    requests = [
        GenRequest(messages=messages_of(COPY), max_tokens=60, temperature=0),
        GenRequest(messages=messages_of("Write a poem about rain."), max_tokens=60, temperature=0),
    ]
    return [r.text for r in await asyncio.gather(*(one.generate(r) for r in requests))]


async def figures_of(speculative):
    one = engine(speculative=speculative)
    await one.open()
    try:
        return await texts(one), one.statistics()
    finally:
        await one.close()


@pytest.mark.parametrize(
    "speculative",
    [
        {"method": "ngram", "num_tokens": 4, "ngram_min": 2, "ngram_max": 4},
        {"method": "draft_model", "num_tokens": 3, "model": MODEL},
    ],
    ids=["ngram", "draft_model"],
)
def test_greedy_text_is_the_model_s_own_and_acceptance_is_reported(loop, shared, speculative):
    speculated, figures = loop.run(figures_of(speculative))
    assert speculated == loop.run(texts(shared))
    assert figures["drafts"] > 0 and 0 < figures["acceptance"] <= 1
    assert 1 < figures["mean_accepted_length"] <= speculative["num_tokens"] + 1
