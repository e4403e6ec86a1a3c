"""Tokens per second of `prefmill run` with the `vllm` engine over those of a bare `LLM.generate` of the same requests.

    python -m benchmarks.vllm_generation --prompts 256 --pairs 3

Each pair runs the bare library and the whole command (shards of 32 rows, journal on), one after the other. Loading the
model is left out on both sides; for us the span is from the first request to the last answer, and, in a second figure,
everything but the loading: start of the program, planning, reading, committing.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

from benchmarks.vllm_setup import MODEL, instructions, model_folder, run_bare, run_recipe, statistics_of
from pipeline.store.manifest import open_run

BARE = """
import json, sys, time
s = json.load(open(sys.argv[1]))
from vllm import LLM, SamplingParams
if __name__ == "__main__":
    llm = LLM(model=s["model"], dtype="bfloat16", max_model_len=2048, enforce_eager=s["eager"],
              generation_config="vllm", logprobs_mode="raw_logprobs", enable_chunked_prefill=False)
    tokenizer = llm.get_tokenizer()
    prompts = [{"prompt_token_ids": list(tokenizer.apply_chat_template([{"role": "user", "content": p}],
                add_generation_prompt=True, tokenize=True, return_dict=False))} for p in s["prompts"]]
    params = [SamplingParams(n=s["n"], temperature=0.8, max_tokens=s["tokens"], seed=1000 * i, logprobs=0)
              for i in range(len(prompts))]
    began = time.perf_counter()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    seconds = time.perf_counter() - began
    tokens = sum(len(o.token_ids) for r in outputs for o in r.outputs)
    print("RESULT " + json.dumps({"seconds": seconds, "tokens": tokens}))
"""


def bare(prompts: list[str], n: int, tokens: int, eager: bool) -> tuple[float, int]:
    """Return seconds and tokens of the bare library."""
    settings = {"model": model_folder("bfloat16"), "prompts": prompts, "n": n, "tokens": tokens, "eager": eager}
    out = run_bare(BARE, settings, "bfloat16")
    return out["seconds"], out["tokens"]


def ours(prompts: list[str], n: int, tokens: int, eager: bool) -> tuple[float, float, int]:
    """Return seconds between first request and last answer, seconds of all but loading, and tokens."""
    engine = {"kind": "vllm", "model": MODEL, "dtype": "bfloat16", "max_context": 2048, "eager": eager}
    recipe: dict[str, Any] = {
        "recipe": 1,
        "name": "bench",
        "seed": 3,
        "engines": {"policy": engine},
        "stages": [
            {"id": "prompts", "use": "load_prompts", "with": {"path": "prompts.jsonl"}},
            {
                "id": "responses",
                "use": "sample_responses",
                "roles": {"policy": "policy"},
                "with": {"n": n, "temperature": 0.8, "max_tokens": tokens},
            },
        ],
        "limits": {"shard_rows": 32, "rows_in_flight": 256, "max_reject_rate": 1.0},
    }
    began = time.perf_counter()
    run, keep = run_recipe(recipe, prompts)
    wall = time.perf_counter() - began
    with keep:
        figures = statistics_of(run, "policy")
        rows = [t for t in open_run(run).stages["responses"].tables(["response_tokens"])]
        made = sum(sum(t["response_tokens"].to_pylist()) for t in rows)
    return figures["busy_s"], wall - figures["open_s"], made


def main() -> None:
    """Print each pair and the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--compiled", action="store_true", help="compile the model on both sides")
    options = parser.parse_args()
    prompts = instructions(options.prompts)
    model_folder("bfloat16")
    ratios, whole = [], []
    for pair in range(options.pairs):
        order = (bare, ours) if pair % 2 == 0 else (ours, bare)
        out: dict[str, Any] = {f.__name__: f(prompts, options.n, options.tokens, not options.compiled) for f in order}
        plain = out["bare"][1] / out["bare"][0]
        busy, rest, tokens = out["ours"]
        ratios.append(tokens / busy / plain)
        whole.append(tokens / rest / plain)
        print(
            f"pair {pair + 1}: bare {plain:.0f} tokens/s ({out['bare'][1]:,} tokens), prefmill {tokens / busy:.0f} "
            f"({tokens:,}), all but loading {tokens / rest:.0f}: {ratios[-1]:.3f} and {whole[-1]:.3f}",
            flush=True,
        )
    print(f"ratio prefmill / bare: median {median(ratios):.3f}, with start, planning and commits {median(whole):.3f}")


if __name__ == "__main__":
    main()
