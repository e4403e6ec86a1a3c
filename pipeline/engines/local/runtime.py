"""A loaded causal language model and the three passes the engine makes with it.

Prompts go through `read_prompts` once, right-padded and without a mask (a causal model never looks at what comes
after). Rows that continue them go through `extend`. `logits` applies the head to chosen positions only, so
that positions times vocabulary stays bounded. It knows neither chats nor sampling.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.engines.local.cache import PromptCache, RowCache
from pipeline.errors import EngineError, Stopped

if TYPE_CHECKING:
    from torch import Tensor

Ids = tuple[int, ...]
"""Token ids."""

_HEAD_ELEMENTS = 1 << 25
_BUSY_TOKENS = 512


@dataclass(frozen=True, slots=True)
class PromptPass:
    """Prompts after one pass.

    Attributes:
        prompts: the token ids, in the order of the cache's first axis.
        cache: keys and values.
        last: hidden state after each prompt's last token, shape (prompts, width).
    """

    prompts: Sequence[Ids]
    cache: PromptCache
    last: Tensor


@dataclass(slots=True)
class LocalModel:
    """The model, its head and what both need.

    Attributes:
        model: the whole causal language model of transformers.
        device: where it is, a torch device.
        context: most positions of prompt and continuation together.
        pass_tokens: most tokens, padding included, of one pass through the layers.
        row_slots: most rows times positions of keys and values held at once.
        stopping: set by another thread to abort within one layer.
    """

    model: Any
    device: Any
    context: int
    pass_tokens: int
    row_slots: int
    stopping: threading.Event = field(default_factory=threading.Event)

    def guard(self) -> None:
        """Raise `Stopped` if the engine is being closed."""
        if self.stopping.is_set():
            raise Stopped("the engine is being closed; the request was not done")

    def read_prompts(self, prompts: Sequence[Ids]) -> PromptPass:
        """Run prompts through the layers once; each at least one token."""
        import torch

        longest = max(len(p) for p in prompts)
        ids = torch.tensor([p + (0,) * (longest - len(p)) for p in prompts], device=self.device)
        cache = PromptCache(self.guard)
        hidden = self.model.base_model(
            input_ids=ids, attention_mask=None, past_key_values=cache, use_cache=True
        ).last_hidden_state
        ends = torch.tensor([len(p) - 1 for p in prompts], device=self.device)
        return PromptPass(prompts, cache, hidden[torch.arange(len(prompts), device=self.device), ends])

    def rows_after(self, parts: Sequence[tuple[PromptPass, int, int]], more: int) -> RowCache:
        """Return a cache of rows that continue prompts.

        Args:
            parts: in row order: a prompt pass, which of its prompts, and how many rows continue it.
            more: positions to make room for.
        """
        cache = RowCache(self.guard, self.device)
        longest = max(len(done.prompts[i]) for done, i, _ in parts)
        cache.allocate(parts[0][0].cache, sum(n for _, _, n in parts), longest, more)
        first = 0
        for done, i, n in parts:
            self.guard()
            cache.place(done.cache, i, len(done.prompts[i]), first, first + n)
            first += n
        return cache

    def extend(self, cache: RowCache, ids: Tensor, start: Tensor) -> Tensor:
        """Run new tokens of each row through the layers and add them to the cache.

        Args:
            cache: keys and values of the rows so far.
            ids: shape (rows, queries); padding only at the end of a row, and then nothing may follow it.
            start: position of each row's first new token, shape (rows,).

        Returns:
            Hidden states, shape (rows, queries, width).
        """
        import torch

        queries = ids.shape[1]
        cache.make_room(queries)
        positions = start[:, None] + torch.arange(queries, device=self.device)[None, :]
        hidden = self.model.base_model(
            input_ids=ids,
            attention_mask=cache.visible,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        cache.used += queries
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Apply the head; shape (positions, width) to (positions, vocabulary), in the model's dtype."""
        import torch

        out = self.model.get_output_embeddings()(hidden)
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return out if cap is None else torch.tanh(out / cap) * cap

    def logprobs_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the log-probability of one token at each position, float32, shape (positions,).

        At most about 33 million logits are held at once.
        """
        import torch

        out = []
        for part, target in zip(*self._pieces(hidden, targets), strict=True):
            self.guard()
            logits = self.logits(part).float()
            out.append(logits.gather(1, target[:, None])[:, 0] - torch.logsumexp(logits, dim=1))
        return torch.cat(out)

    def _pieces(self, hidden: Tensor, targets: Tensor) -> tuple[Iterable[Tensor], Iterable[Tensor]]:
        size = max(1, _HEAD_ELEMENTS // self.model.get_output_embeddings().weight.shape[0])
        return hidden.split(size), targets.split(size)


def group_prompts(prompts: Iterable[Ids], pass_tokens: int) -> list[list[Ids]]:
    """Sort prompts by length and cut them into groups for one pass each, at least one prompt in a group."""
    groups: list[list[Ids]] = []
    real = 0
    for prompt in sorted(prompts, key=lambda p: (len(p), p)):
        padded = len(prompt) * (len(groups[-1]) + 1) if groups else 0
        if not groups or ends_group(real + len(prompt), padded, pass_tokens):
            groups.append([])
            real = 0
        groups[-1].append(prompt)
        real += len(prompt)
    return groups


def ends_group(real: int, padded: int, pass_tokens: int) -> bool:
    """Return whether a sequence that makes a pass this large should begin the next one instead.

    A pass that is large enough to keep a processor busy ends before padding becomes more than a fifth of it.

    Args:
        real: tokens of the pass with the sequence.
        padded: the same with padding.
        pass_tokens: most tokens of a pass, padding included.
    """
    return padded > pass_tokens or (padded > _BUSY_TOKENS and real < 0.8 * padded)


def check_paths_agree(model: LocalModel, tokens: Ids) -> None:
    """Compare the shared-prompt path with one plain pass of the whole model on a few tokens.

    Raises:
        EngineError: if they differ by more than rounding: the architecture does something that the engine's
            caches, positions or head do not know.
    """
    import torch

    cut, half = len(tokens) - 3, len(tokens) // 2
    with torch.inference_mode():
        done = model.read_prompts([tokens[:half], tokens[:cut]])
        cache = model.rows_after([(done, 0, 1), (done, 1, 1)], 2)
        feed = torch.tensor([tokens[half : half + 2], tokens[cut : cut + 2]], device=model.device)
        hidden = model.extend(cache, feed, torch.tensor([half, cut], device=model.device))
        ours = model.logits(torch.cat([done.last[:, None], hidden], dim=1)).float().log_softmax(dim=-1)
        logits = model.model(input_ids=torch.tensor([tokens], device=model.device), use_cache=False).logits
        plain = logits[0].float().log_softmax(dim=-1)
    tolerance = 1e-2 if plain.isfinite().all() and logits.dtype == torch.float32 else 0.75
    likely = plain > -12
    for row, at in enumerate((half, cut)):
        window = slice(at - 1, at + 2)
        worst = float((ours[row] - plain[window]).abs()[likely[window]].max())
        if not worst <= tolerance:
            raise EngineError(
                f"architecture '{model.model.config.model_type}': log-probabilities of the shared-prompt path differ "
                f"from a plain pass by {worst:.3g} nats (expected at most {tolerance}); this engine cannot run it, "
                "serve the model and use an engine that talks to the server"
            )
