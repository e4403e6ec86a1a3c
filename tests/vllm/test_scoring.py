"""Scores of the real engine: equal to the embedded engine's, whatever the cache holds, and reusable from sampling."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.errors import RowError
from pipeline.types import GenRequest, ScoreRequest, messages_of
from tests.vllm.conftest import MODEL, engine

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    json.loads(x)["prompt"] for x in (ROOT / "recipes/data/quickstart_instructions.jsonl").read_text().splitlines()
]
LONG = " ".join(TEXTS[:30])
"""About 650 tokens: several blocks of the cache."""


def requests(prompt, count, words=60):
    return [
        ScoreRequest(response=" ".join(" ".join(TEXTS[40 + i :]).split()[i : i + words]), messages=messages_of(prompt))
        for i in range(count)
    ]


def sums(loop, one, asked):
    async def all_of_them():
        return await asyncio.gather(*(one.score_tokens(r) for r in asked))

    return loop.run(all_of_them())


@pytest.fixture(scope="session")
def reference(loop):
    one = TransformersEngine(TransformersConfig(model=MODEL, dtype="float32"))
    loop.run(one.open())
    yield one
    loop.run(one.close())


def test_scores_equal_those_of_the_transformers_engine_token_count_included(loop, shared, reference):
    asked = [*requests("How do I bake bread?", 6), *requests(LONG, 6)]
    ours, theirs = sums(loop, shared, asked), sums(loop, reference, asked)
    assert [(r.tokens, r.prompt_tokens) for r in ours] == [(r.tokens, r.prompt_tokens) for r in theirs]
    assert all(abs(a.logprob - b.logprob) <= 1e-3 * a.tokens for a, b in zip(ours, theirs, strict=True))


def test_the_end_token_counts_as_one_token_and_only_if_asked(loop, shared):
    request = ScoreRequest(response="Yes.", messages=messages_of("Is it?"))
    with_end, without = sums(loop, shared, [request, ScoreRequest("Yes.", messages_of("Is it?"), include_eos=False)])
    assert with_end.tokens == without.tokens + 1 and with_end.logprob < without.logprob


def test_scores_do_not_depend_on_order_or_on_what_was_sampled_and_scored_before(loop, reference):
    async def in_a_fresh_engine(asked, sample_first):
        one = engine()
        await one.open()
        try:
            if sample_first:  # leaves blocks of prompt and response in the cache
                for r in asked:
                    await one.generate(GenRequest(messages=r.messages, max_tokens=160, temperature=0))
            first = await asyncio.gather(*(one.score_tokens(r) for r in asked))
            longer = [ScoreRequest(f"{r.response} {r.response}", r.messages) for r in asked]
            await asyncio.gather(*(one.score_tokens(r) for r in longer))  # responses that begin with scored ones
            return first, one.statistics()
        finally:
            await one.close()

    asked = requests(LONG, 6, words=150)
    forward, _ = loop.run(in_a_fresh_engine(asked, False))
    backward, figures = loop.run(in_a_fresh_engine(asked[::-1], True))
    truth = sums(loop, reference, asked)
    for a, b, c in zip(forward, backward[::-1], truth, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-3) and a.logprob == pytest.approx(
            c.logprob, abs=1e-3 * a.tokens
        )
    assert figures["cached_tokens"] > 0 and figures["scored_again"] > 0


def test_equal_pairs_are_scored_once(loop, shared):
    before = shared.statistics()
    got = sums(loop, shared, requests("Score me once.", 1) * 5)
    counts = shared.statistics()
    assert counts["scored"] - before["scored"] == 1 and len({r.logprob for r in got}) == 1


def test_a_sampled_log_probability_is_the_score_of_its_text_where_the_engine_says_so(loop, shared):
    asked = [
        GenRequest(messages=messages_of(t), max_tokens=60, seed=i, temperature=0.7, logprobs=True)
        for i, t in enumerate(TEXTS[:24])
    ]

    async def sample():
        return await asyncio.gather(*(shared.generate(r) for r in asked))

    pairs = [(r, g.samples[0]) for r, g in zip(asked, loop.run(sample()), strict=True) if g.samples[0].scorable]
    scores = sums(loop, shared, [ScoreRequest(s.text, r.messages) for r, s in pairs])
    assert len(pairs) >= 3
    for (_, sample_), score in zip(pairs, scores, strict=True):
        assert score.tokens == sample_.tokens and score.logprob == pytest.approx(
            sample_.logprob, abs=1e-3 * score.tokens
        )


def test_an_empty_response_without_end_scores_zero(loop, shared):
    assert sums(loop, shared, [ScoreRequest("", messages_of("Hi"), include_eos=False)])[0].logprob == 0.0


def test_a_response_beyond_the_context_is_a_reject(loop, shared):
    with pytest.raises(RowError) as caught:
        sums(loop, shared, [ScoreRequest("word " * 3000, messages_of("Hi"))])
    assert caught.value.code == "score.context_exceeded"
