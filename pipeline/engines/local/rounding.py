"""Round the linear weights of a model to few bits in place: a weaker copy of the same model.

Follows engines.md section 2: the copy is the weak side of a density ratio when no second model with the same
tokenizer is at hand. Min-max steps per group at 3 bits, group 32, gave an accuracy of .630 on the 100 pairs of LLMBar
Natural, per token and in sum; two symmetric variants gave .610 and .580 (recipes/audit/cdr.yaml). It knows
nothing of how a model was loaded. Weights keep their dtype: this simulates rounding and saves no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def round_linear_weights(model: Any, bits: int, group: int) -> int:
    """Round the weight of every linear layer; embeddings, norms and biases stay.

    A head that shares its weight with the token embedding stays too.

    Args:
        model: a torch module; changed in place.
        bits: 2 to 8, of one weight.
        group: neighbouring input values that share one scale and offset.

    Returns:
        How many weight matrices were rounded, at least 1.

    Raises:
        ValueError: if the model has no linear layer.
    """
    import torch

    embeddings = {m.weight.data_ptr() for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    rounded = 0
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module.weight.data_ptr() not in embeddings:
                module.weight.copy_(round_groups(module.weight, bits, group))
                rounded += 1
    if not rounded:
        raise ValueError("round_weights: the model has no linear layer to round")
    return rounded


def round_groups(weight: Tensor, bits: int, group: int) -> Tensor:
    """Return a matrix with each group of a row's values moved to the nearest of 2**bits even steps.

    The steps run from the least to the greatest value of the group (min-max, asymmetric), both kept exactly;
    the last group of a row may be shorter.

    Args:
        weight: shape (outputs, inputs).
        bits: 2 to 8.
        group: at least 2.

    Returns:
        Float32, same shape.
    """
    import torch

    outputs, inputs = weight.shape
    spare = -inputs % group
    values = weight.float()
    if spare:
        values = torch.cat([values, values[:, -1:].expand(outputs, spare)], dim=1)
    values = values.reshape(outputs, -1, group)
    low = values.amin(dim=2, keepdim=True)
    step = (values.amax(dim=2, keepdim=True) - low) / (2**bits - 1)
    step = torch.where(step > 0, step, torch.ones_like(step))
    values = torch.round((values - low) / step) * step + low
    return values.reshape(outputs, -1)[:, :inputs]
