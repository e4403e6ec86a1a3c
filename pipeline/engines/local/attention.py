"""Attention for the decode step that never repeats keys and values for grouped heads.

With one query per row, the query heads that share a key/value head are treated as several queries on it, so the
cache is read once and copied never (about four times faster on a CPU than repeating). Longer queries go to
transformers' own scaled-dot-product attention. It knows tensors only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

GROUPED = "prefmill_grouped"
"""Name under which `register` makes it known to transformers."""

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")


def register() -> str:
    """Make grouped attention known to transformers and return its name; safe to call again."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, sdpa_mask)
    return GROUPED


def grouped_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend; the interface that transformers' models call.

    Args:
        module: the attention layer.
        query: shape (rows, heads, queries, width).
        key: shape (rows, key heads, positions, width).
        value: shape (rows, key heads, positions, value width).
        attention_mask: boolean, broadcast to (rows, 1, queries, positions), True where seen; None for all.
        scaling: factor on the scores; None for width ** -0.5.
        options: whatever else the model passes on.

    Returns:
        Shape (rows, queries, heads, value width), and no weights.

    Raises:
        EngineError: if the model needs an attention variant that this one lacks.
    """
    refused = [name for name in _UNSUPPORTED if options.get(name) is not None]
    if refused:
        raise EngineError(
            f"this architecture's attention uses '{refused[0]}', which attention 'grouped' lacks; "
            "set the engine option attention: eager"
        )
    if query.shape[2] != 1:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
        return out, None
    return _one_query(query, key, value, attention_mask, scaling), None


def _one_query(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    import torch

    rows, heads, _, width = query.shape
    groups = key.shape[1]
    grouped = query.reshape(rows, groups, heads // groups, width) * (width**-0.5 if scaling is None else scaling)
    scores = torch.matmul(grouped, key.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill_(~mask, float("-inf"))
    mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
    return mixed.reshape(rows, 1, heads, value.shape[3])
