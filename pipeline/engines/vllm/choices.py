"""One of a few texts, with the probability of each: yes/no verdicts in one step.

The distribution is that of decoding held to the choices: where their first tokens differ, the model's probabilities
of these tokens, renormalised; where two begin alike, the probabilities of the whole texts. A sample is drawn from it
at the request's temperature with the request's seed; temperature 0 takes the most probable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.canonical import derive_seed
from pipeline.engines.vllm.scoring import Ask, Ids, Scorer
from pipeline.types import GenRequest, Sample

if TYPE_CHECKING:
    from pipeline.engines.local.formatting import TextFormat


async def choose(request: GenRequest, prompt: Ids, text: TextFormat, ask: Ask, scorer: Scorer) -> list[Sample]:
    """Return the samples of a request with choices; `logprob` is that of the text chosen, among the choices."""
    ids = [text.plain_ids(choice) for choice in request.choices]
    if not all(ids):
        raise ValueError("a choice has no tokens")
    first = [i[0] for i in ids]
    if len(set(first)) == len(first):
        raw = await _first_token_logprobs(prompt, first, ask)
    else:
        raw = [await scorer.score(prompt, i) for i in ids]
    logprobs = normalised(raw)
    seed = request.seed_to_draw
    samples = []
    for draw in range(request.n):
        at = drawn(logprobs, request.temperature, derive_seed(seed, draw) / 2**63)
        chosen = logprobs[at] if request.logprobs else None
        samples.append(Sample(request.choices[at], "stop", len(ids[at]), chosen, False, logprobs))
    return samples


async def _first_token_logprobs(prompt: Ids, first: Sequence[int], ask: Ask) -> list[float]:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    params: Any = SamplingParams(
        max_tokens=1,
        temperature=0,
        logprob_token_ids=list(first),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    position = (await ask(prompt, params, None)).outputs[0].logprobs[0]
    return [float(position[token].logprob) for token in first]


def normalised(raw: Sequence[float]) -> tuple[float, ...]:
    """Return log-probabilities among the choices alone, from log-probabilities up to a common constant."""
    highest = max(raw)
    total = highest + math.log(math.fsum(math.exp(v - highest) for v in raw))
    return tuple(v - total for v in raw)


def drawn(logprobs: Sequence[float], temperature: float, uniform: float) -> int:
    """Return the position drawn from the choices at a temperature, by inverse CDF on a uniform in [0, 1)."""
    if temperature == 0:
        return max(range(len(logprobs)), key=lambda i: logprobs[i])
    tempered = normalised([v / temperature for v in logprobs])
    upto = 0.0
    for i, value in enumerate(tempered):
        upto += math.exp(value)
        if uniform < upto:
            return i
    return len(logprobs) - 1
