"""Tokens per second of scoring through the `vllm` engine, over a bare eager prefill and a loop with dictionaries.

    python -m benchmarks.vllm_scoring --pairs 1000 --rounds 2
    python -m benchmarks.vllm_scoring --prefix            (an 880-token prefix that 32 responses share, float32)

Baselines run the bare library in a process of its own with the prefix cache off: `prefill` reads the same tokens and
makes one more, `dicts` asks for `prompt_logprobs=1` as dictionaries. With `--prefix` the baseline is our own pass with
the cache off, and the sums are compared. Loading is left out everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from statistics import median
from typing import Any

from benchmarks.vllm_setup import MODEL, instructions, model_folder, run_bare
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.types import ScoreRequest, messages_of

BARE = """
import json, sys, time
s = json.load(open(sys.argv[1]))
from transformers import AutoTokenizer
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    llm = LLM(model=s["model"], dtype="bfloat16", max_model_len=2048, enforce_eager=True,
              enable_prefix_caching=False, enable_chunked_prefill=False)
    tokenizer = AutoTokenizer.from_pretrained(s["model"])
    rows = []
    for prompt, response in s["pairs"]:
        text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True,
                                             tokenize=False)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        rows.append({"prompt_token_ids": ids + tokenizer(response, add_special_tokens=False).input_ids
                     + [tokenizer.eos_token_id]})
    out = {"tokens": sum(len(r["prompt_token_ids"]) for r in rows)}
    plain = SamplingParams(max_tokens=1, temperature=0, detokenize=False)
    dicts = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=1)
    llm.generate(rows[:8], plain, use_tqdm=False)
    for name, params in (("prefill", plain), ("dicts", dicts)):
        began = time.perf_counter()
        llm.generate(rows, params, use_tqdm=False)
        out[name] = time.perf_counter() - began
    print("RESULT " + json.dumps(out))
"""


def pairs_of(count: int) -> list[tuple[str, str]]:
    """Return different prompts, four different responses of 80 to 200 tokens each."""
    texts = instructions(count)
    return [(texts[i // 4], " ".join(texts[(7 * i + j) % count] for j in range(4 + i % 5))) for i in range(count)]


def sharing_pairs() -> list[tuple[str, str]]:
    """Return 32 pairs with one prompt of about 880 tokens and different responses of about 170."""
    texts = instructions(400)
    prompt = " ".join(texts[:42])
    return [(prompt, " ".join(texts[100 + 6 * i : 106 + 6 * i])) for i in range(32)]


async def _score(engine: VllmEngine, pairs: list[tuple[str, str]]) -> tuple[float, int, list[float]]:
    requests = [ScoreRequest(response=r, messages=messages_of(p)) for p, r in pairs]
    began = time.perf_counter()
    results = await asyncio.gather(*(engine.score_tokens(r) for r in requests))
    seconds = time.perf_counter() - began
    return seconds, sum(r.prompt_tokens + r.tokens for r in results), [r.logprob for r in results]


async def score(pairs: list[tuple[str, str]], **options: Any) -> tuple[float, int, list[float]]:
    """Open an engine, warm it up, score pairs; return seconds, tokens and sums."""
    engine = VllmEngine(VllmConfig(model=MODEL, eager=True, max_context=2048, **options))
    await engine.open()
    try:
        await _score(engine, [(f"Warm up {i}.", "Fine.") for i in range(8)])
        return await _score(engine, pairs)
    finally:
        await engine.close()


def compare_with_bare(count: int, rounds: int) -> None:
    """Print the ratios to both baselines."""
    pairs = pairs_of(count)
    to_prefill, to_dicts = [], []
    for number in range(rounds):
        settings = {"model": model_folder("bfloat16"), "pairs": pairs}
        if number % 2 == 0:
            bare, ours = run_bare(BARE, settings, "bfloat16"), asyncio.run(score(pairs, dtype="bfloat16"))
        else:
            ours, bare = asyncio.run(score(pairs, dtype="bfloat16")), run_bare(BARE, settings, "bfloat16")
        assert ours[1] == bare["tokens"], f"{ours[1]} tokens scored, {bare['tokens']} in the baseline"
        rate = ours[1] / ours[0]
        prefill, dicts = bare["tokens"] / bare["prefill"], bare["tokens"] / bare["dicts"]
        to_prefill.append(rate / prefill)
        to_dicts.append(rate / dicts)
        print(
            f"round {number + 1}: {ours[1]:,} tokens; prefmill {rate:.0f} tokens/s, bare prefill {prefill:.0f}, "
            f"dictionaries {dicts:.0f}: {to_prefill[-1]:.3f} and {to_dicts[-1]:.3f}",
            flush=True,
        )
    print(f"ratio to bare prefill: median {median(to_prefill):.3f}; to dictionaries: {median(to_dicts):.3f}")


def compare_with_cache_off(rounds: int) -> None:
    """Print how many times faster a shared prefix is with the cache, and the largest difference of sums."""
    pairs = sharing_pairs()
    ratios, worst = [], 0.0
    for number in range(rounds):
        runs = {on: asyncio.run(score(pairs, dtype="float32", prefix_cache=on)) for on in (True, False)}
        worst = max([worst, *(abs(a - b) for a, b in zip(runs[True][2], runs[False][2], strict=True))])
        ratios.append(runs[False][0] / runs[True][0])
        print(
            f"round {number + 1}: {len(pairs)} rows, {runs[True][1]:,} tokens; cache off {runs[False][0]:.1f} s, on "
            f"{runs[True][0]:.1f} s: {ratios[-1]:.2f} times",
            flush=True,
        )
    print(f"shared prefix: median {median(ratios):.2f} times as fast; largest difference of a sum {worst:.2g} nats")


def main() -> None:
    """Run the comparison asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prefix", action="store_true")
    options = parser.parse_args()
    if options.prefix:
        compare_with_cache_off(options.rounds)
    else:
        compare_with_bare(options.pairs, options.rounds)


if __name__ == "__main__":
    main()
