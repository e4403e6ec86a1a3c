"""Draw one token per row from logits, by inverse CDF on given uniforms, without sorting the vocabulary.

A token is found in three steps, each with a uniform of its own: a block of the vocabulary, a part of the block, the
token. So no cumulative sum over the whole vocabulary is made, and rounding noise in the logits (another batch
size) changes a draw with a probability of about 1e-4; one cumulative sum over 49,152 words made it about 0.1 where
the distribution is flat. Nucleus sampling (top_p, Holtzman et al., arXiv:1904.09751) is done by rejection: a token
drawn from the full distribution is kept if the mass of all more likely tokens is below top_p, which is exact and
accepts with probability top_p or more; what is left after a few draws is drawn from the sorted nucleus. A row's
token depends on its own logits and uniforms only. It knows neither models nor text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.canonical import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

DRAWS = 4
"""Draws per token: three that may be rejected, the last from the sorted nucleus."""

STEPS = 3
"""Uniforms per draw."""

_BRANCH = 32
_WORK_ELEMENTS = 1 << 20
_BELOW_ONE = 1.0 - 1e-12


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Settings of each row of a batch, tensors of shape (rows,) on the model's device.

    Attributes:
        temperature: float32; 0 is greedy.
        top_p: float32 in (0, 1].
        wants_logprob: whether any row wants log-probabilities.
    """

    temperature: Tensor
    top_p: Tensor
    wants_logprob: bool

    def keep(self, index: Tensor) -> SamplingRows:
        """Return the settings of some rows."""
        return SamplingRows(self.temperature[index], self.top_p[index], self.wants_logprob)


def uniforms(seed: int, draw: int, steps: int) -> npt.NDArray[np.float64]:
    """Return the random numbers of one sample, shape (steps, DRAWS, STEPS), in [0, 1).

    A longer array starts with the same numbers, so a sample does not depend on its token limit.
    """
    generator = np.random.Generator(np.random.Philox(key=derive_seed(seed, draw)))
    return generator.random((steps, DRAWS, STEPS))


def sample_tokens(logits: Tensor, rows: SamplingRows, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one token per row.

    Args:
        logits: shape (rows, vocabulary), any float dtype; worked on in float32.
        rows: temperature and top_p of each row.
        uniform: float64, shape (rows, DRAWS, STEPS).

    Returns:
        Token ids, int64, shape (rows,); and their log-probability in nats under the logits themselves
        (temperature 1, no nucleus), float32, zeros if `rows.wants_logprob` is false.
    """
    import torch

    count, vocabulary = logits.shape
    size = max(1, _WORK_ELEMENTS // vocabulary) if logits.device.type == "cpu" else count
    parts = [
        _sample_part(
            logits[i : i + size].float(),
            rows.temperature[i : i + size],
            rows.top_p[i : i + size],
            uniform[i : i + size],
            rows.wants_logprob,
        )
        for i in range(0, count, size)
    ]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _sample_part(
    logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor, wants_logprob: bool
) -> tuple[Tensor, Tensor]:
    import torch

    greedy = temperature == 0
    scale = torch.where(greedy, torch.ones_like(temperature), temperature)
    highest = logits.amax(dim=1, keepdim=True)
    weights = ((logits - highest) / scale[:, None]).exp_()
    token = _draw(weights, uniform[:, 0])
    if bool((top_p < 1).any()):
        _redraw_outside_nucleus(weights, top_p, uniform, token)
    if bool(greedy.any()):
        token = torch.where(greedy, logits.argmax(dim=1), token)
    if not wants_logprob:
        return token, torch.zeros_like(temperature)
    plain = weights if bool((scale == 1).all()) else (logits - highest).exp_()
    log_total = plain.sum(dim=1).log() + highest[:, 0]
    return token, logits.gather(1, token[:, None])[:, 0] - log_total


def _draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Return one index per row with probability proportional to its weight; `uniform` has shape (rows, STEPS)."""
    import torch

    rows, vocabulary = weights.shape
    spare = -vocabulary % (_BRANCH * _BRANCH)
    padded = torch.nn.functional.pad(weights, (0, spare)) if spare else weights
    tokens = padded.view(rows, -1, _BRANCH)
    parts = tokens.sum(dim=2).view(rows, -1, _BRANCH)
    row = torch.arange(rows, device=weights.device)
    block = _pick(parts.sum(dim=2), uniform[:, 0])
    part = block * _BRANCH + _pick(parts[row, block], uniform[:, 1])
    return part * _BRANCH + _pick(tokens[row, part], uniform[:, 2])


def _pick(weights: Tensor, uniform: Tensor) -> Tensor:
    """Return, per row, the first index whose cumulative weight exceeds uniform times the total."""
    import torch

    upto = weights.double().cumsum(dim=1)
    target = (uniform * _BELOW_ONE * upto[:, -1])[:, None]
    return torch.searchsorted(upto, target, right=True)[:, 0]


def _redraw_outside_nucleus(weights: Tensor, top_p: Tensor, uniform: Tensor, token: Tensor) -> None:
    """Replace, in place, tokens outside their row's nucleus; tokens as likely as the last one in it are all in it."""
    open_rows = (top_p < 1).nonzero()[:, 0]
    total = weights.sum(dim=1, dtype=weights.dtype)
    for draw in range(1, DRAWS):
        part = weights[open_rows]
        chosen = part.gather(1, token[open_rows, None])
        above = (part * (part > chosen)).sum(dim=1)
        open_rows = open_rows[above >= top_p[open_rows] * total[open_rows]]
        if not len(open_rows):
            return
        if draw < DRAWS - 1:
            token[open_rows] = _draw(weights[open_rows], uniform[open_rows, draw])
    token[open_rows] = _draw_sorted(weights[open_rows], top_p[open_rows], uniform[open_rows, DRAWS - 1])


def _draw_sorted(weights: Tensor, top_p: Tensor, uniform: Tensor) -> Tensor:
    ordered, order = weights.sort(dim=1, descending=True, stable=True)
    above = ordered.double().cumsum(dim=1) - ordered
    ordered[above >= (top_p.double() * ordered.sum(dim=1))[:, None]] = 0
    return order.gather(1, _draw(ordered, uniform)[:, None])[:, 0]


def uniform_table(seeds: Sequence[tuple[int, int]], steps: int) -> npt.NDArray[np.float64]:
    """Return `uniforms` of several (seed, draw) pairs, shape (pairs, steps, DRAWS, STEPS)."""
    return np.stack([uniforms(seed, draw, steps) for seed, draw in seeds])
