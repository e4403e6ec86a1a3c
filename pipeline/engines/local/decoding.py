"""The generation loop: many rows, one token each per step, siblings from one prompt pass.

Rows that end leave the batch. Stop strings are looked for in the text of the last tokens. The loop knows token
ids, samplers and a decode function; chats and requests are the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.engines.local.cache import RowCache
from pipeline.engines.local.runtime import Ids, LocalModel, PromptPass, group_prompts
from pipeline.engines.local.sampling import SamplingRows, sample_tokens, uniform_table

if TYPE_CHECKING:
    from torch import Tensor

Decode = Callable[[Sequence[int]], str]
"""Text of token ids, special tokens left out."""

_SHRINK_BELOW = 0.85
_STOP_WINDOW = 16


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One sample to draw.

    Attributes:
        prompt: token ids of the prompt, at least one.
        seed: of the request; with `draw` it fixes the random numbers.
        draw: position of the sample in its request.
        max_tokens: most new tokens.
        temperature: 0 is greedy.
        top_p: nucleus mass.
        stop: strings that end the sample.
        logprobs: whether the log-probability is wanted.
    """

    prompt: Ids
    seed: int
    draw: int
    max_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    logprobs: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """A finished sample: its place in the list of plans, new tokens (end token included), why it ended, nats."""

    row: int
    tokens: list[int]
    stopped: bool
    logprob: float


@dataclass(slots=True)
class _Batch:
    """Rows still drawn; all lists and first axes in the same order."""

    plans: Sequence[RowPlan]
    rows: list[int]
    cache: RowCache
    settings: SamplingRows
    uniform: Tensor
    lengths: Tensor
    tokens: list[list[int]] = field(default_factory=list)
    logprob: list[float] = field(default_factory=list)
    live: list[bool] = field(default_factory=list)


def draw_samples(model: LocalModel, plans: Sequence[RowPlan], ends: frozenset[int], decode: Decode) -> Iterator[Drawn]:
    """Draw all samples of a batch and yield each when it ends.

    Args:
        model: the loaded model.
        plans: rows of the batch; rows with the same prompt share its pass.
        ends: token ids that end a sample.
        decode: for stop strings.

    Raises:
        Stopped: if the engine is closed meanwhile.
    """
    import torch

    batch, hidden = _begin(model, plans)
    step = 0
    while True:
        model.guard()
        token, logprob = sample_tokens(model.logits(hidden), batch.settings, batch.uniform[:, step])
        yield from _record(batch, token.tolist(), logprob.tolist(), ends, decode)
        if not any(batch.live):
            return
        if sum(batch.live) <= _SHRINK_BELOW * len(batch.live):
            index = torch.tensor([i for i, live in enumerate(batch.live) if live], device=model.device)
            token = token[index]
            _shrink(batch, index)
        hidden = model.extend(batch.cache, token[:, None], batch.lengths + step)[:, 0]
        step += 1


def _begin(model: LocalModel, plans: Sequence[RowPlan]) -> tuple[_Batch, Tensor]:
    """Read the prompts, copy them to their rows, and return the batch with the rows' last hidden states."""
    import torch

    passes = [model.read_prompts(group) for group in group_prompts({p.prompt for p in plans}, model.pass_tokens)]
    where: dict[Ids, tuple[PromptPass, int]] = {p: (done, i) for done in passes for i, p in enumerate(done.prompts)}
    rows = sorted(range(len(plans)), key=lambda r: (len(plans[r].prompt), plans[r].prompt))
    counts: dict[Ids, int] = {}
    for row in rows:
        counts[plans[row].prompt] = counts.get(plans[row].prompt, 0) + 1
    chosen = [plans[r] for r in rows]
    steps = max(p.max_tokens for p in chosen)
    cache = model.rows_after([(*where[p], n) for p, n in counts.items()], min(steps, 128))
    hidden = torch.stack([where[p.prompt][0].last[where[p.prompt][1]] for p in chosen])
    device = model.device
    settings = SamplingRows(
        torch.tensor([p.temperature for p in chosen], dtype=torch.float32, device=device),
        torch.tensor([p.top_p for p in chosen], dtype=torch.float32, device=device),
        any(p.logprobs for p in chosen),
    )
    uniform = torch.from_numpy(uniform_table([(p.seed, p.draw) for p in chosen], steps)).to(device)
    lengths = torch.tensor([len(p.prompt) for p in chosen], device=device)
    count = len(rows)
    return _Batch(
        plans, rows, cache, settings, uniform, lengths, [[] for _ in rows], [0.0] * count, [True] * count
    ), hidden


def _record(
    batch: _Batch, token: list[int], logprob: list[float], ends: frozenset[int], decode: Decode
) -> Iterator[Drawn]:
    for i, row in enumerate(batch.rows):
        if not batch.live[i]:
            continue
        plan, tokens = batch.plans[row], batch.tokens[i]
        tokens.append(token[i])
        batch.logprob[i] += logprob[i]
        stopped = token[i] in ends or (bool(plan.stop) and _holds_stop(tokens, plan.stop, decode))
        if stopped or len(tokens) >= plan.max_tokens:
            batch.live[i] = False
            yield Drawn(row, tokens, stopped, batch.logprob[i])


def _holds_stop(tokens: list[int], stop: tuple[str, ...], decode: Decode) -> bool:
    window = max(len(s) for s in stop) + _STOP_WINDOW
    text = decode(tokens[-window:])
    return any(s in text for s in stop)


def _shrink(batch: _Batch, index: Tensor) -> None:
    kept = index.tolist()
    batch.cache.keep(kept)
    batch.settings = batch.settings.keep(index)
    batch.uniform, batch.lengths = batch.uniform[index], batch.lengths[index]
    batch.rows = [batch.rows[i] for i in kept]
    batch.tokens = [batch.tokens[i] for i in kept]
    batch.logprob = [batch.logprob[i] for i in kept]
    batch.live = [True] * len(kept)
