"""Density-ratio rewards of 200 responses from three engines: in process, embedded, and through a server.

In bfloat16 two right engines differ by about 0.07 nats at each token, at random, and by two to three times that for a
copy rounded to 3 bits: each is as far from float32 as from the other. A tolerance for the mean of a response therefore
speaks of responses of the usual length, a few hundred tokens, and of a copy that is not quite so coarse.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest

from pipeline.engines.local.address import content_digest, resolve
from pipeline.engines.local.folders import written_folder
from pipeline.engines.local.formatting import TextFormat
from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.engines.vllm.server import VllmServerEngine
from pipeline.engines.vllm.server_config import VllmServerConfig
from pipeline.types import ScoreRequest, messages_of
from tests.vllm.conftest import MODEL, engine

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "recipes/data/quickstart_instructions.jsonl").read_text("utf-8").splitlines()
TEXTS = [json.loads(line)["prompt"] for line in LINES]
PROMPTS, SIBLINGS = 50, 4
WORDS = {"float32": 16, "bfloat16": 300}
"""Least words of a response; a word is 1.3 tokens."""
BITS = {"float32": 3, "bfloat16": 4}
"""Of the weak copy."""
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}
"""Nats for each token."""


def asked(words):
    """Return 200 requests: 50 prompts with four different responses of `words` to `words + 30` words."""
    out = []
    for i, draw in itertools.product(range(PROMPTS), range(SIBLINGS)):
        text = " ".join(TEXTS[(i + 11 * draw + 1) % 80 :] + TEXTS).split()
        out.append(ScoreRequest(" ".join(text[: words + (7 * i + 5 * draw) % 30]), messages_of(TEXTS[i])))
    return out


async def scores(one, requests):
    await one.open()
    try:
        return await asyncio.gather(*(one.score_tokens(r) for r in requests))
    finally:
        await one.close()


def made(kind, dtype, **options):
    if kind == "vllm":
        return engine(dtype=dtype, **options)
    if kind == "transformers":
        return TransformersEngine(TransformersConfig(model=MODEL, dtype=dtype, **options))
    return VllmServerEngine(VllmServerConfig(model=MODEL, dtype=dtype, eager=True, max_context=2048, **options))


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def by_engine(request, loop):
    """Return dtype, and engine kind to the results of the strong and the weak model."""
    dtype, found = request.param, {}
    requests, rounding = asked(WORDS[dtype]), {"bits": BITS[dtype], "group": 32}
    for kind in ("transformers", "vllm", "server"):
        strong = loop.run(scores(made(kind, dtype), requests))
        found[kind] = strong, loop.run(scores(made(kind, dtype, round_weights=rounding), requests))
    return dtype, found


def rewards(found, kind):
    strong, weak = found[kind]
    return [s.logprob - w.logprob for s, w in zip(strong, weak, strict=True)]


@pytest.mark.parametrize("kind", ["vllm", "server"])
def test_rewards_agree_to_the_tolerance_of_each_token(by_engine, kind):
    dtype, found = by_engine
    tokens = [r.tokens for r in found["transformers"][0]]
    pairs = zip(rewards(found, kind), rewards(found, "transformers"), tokens, strict=True)
    worst = max(abs(a - b) / n for a, b, n in pairs)
    assert worst <= TOLERANCE[dtype]


@pytest.mark.parametrize("kind", ["vllm", "server"])
def test_siblings_rank_alike_except_where_their_margin_is_within_the_tolerance(by_engine, kind):
    dtype, found = by_engine
    ours, theirs = rewards(found, kind), rewards(found, "transformers")
    tokens = [r.tokens for r in found["transformers"][0]]
    for i in range(0, len(ours), SIBLINGS):
        for a, b in itertools.combinations(range(i, i + SIBLINGS), 2):
            margin, doubt = theirs[a] - theirs[b], TOLERANCE[dtype] * (tokens[a] + tokens[b])
            assert abs(margin) <= doubt or (ours[a] - ours[b] > 0) == (margin > 0)


def test_all_engines_score_the_same_tokens(by_engine):
    _, found = by_engine
    counts = [[(r.prompt_tokens, r.tokens) for r in side] for pair in found.values() for side in pair]
    assert all(c == counts[0] for c in counts)


def test_a_prompt_begins_with_one_first_token_and_a_response_ends_with_one_end_token():
    from transformers import AutoTokenizer

    files = resolve(MODEL, None)
    folder = written_folder(files, "float32", None, content_digest(files))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = TextFormat(tokenizer)
    prompt, response = text.prompt_ids(messages_of("Why?"), None), text.response_ids("Because.", True, True)
    assert prompt[0] == tokenizer.bos_token_id and prompt[1] != tokenizer.bos_token_id
    assert response[-1] == tokenizer.eos_token_id and response.count(tokenizer.eos_token_id) == 1
    assert tokenizer.bos_token_id not in response
