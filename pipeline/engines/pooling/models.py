"""What a loaded pooling model computes for a batch: one row of numbers for each input, whatever else is in the batch.

Inputs are padded on the right. A decoder's score is read at the last token that is not the padding token, as
transformers' own classes do, but found in the input itself, never in the padded batch: a model whose padding token also
ends its turns, or that has none, gives the same score in every batch. It knows ids, not text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipeline.engines.local.runtime import Ids
from pipeline.engines.pooling.encoding import Encoded

if TYPE_CHECKING:
    from torch import Tensor


class PoolingModel(Protocol):
    """A model ready to run."""

    def values(self, inputs: Sequence[Encoded]) -> Tensor:
        """Return raw values, shape (inputs, values of each), float32."""


@dataclass(frozen=True, slots=True)
class Padded:
    """Inputs as tensors on a device, shape (inputs, longest).

    Attributes:
        arguments: what the model is called with.
        lengths: tokens of each input.
    """

    arguments: dict[str, Tensor]
    lengths: list[int]


def padded(inputs: Sequence[Encoded], filler: int, device: Any) -> Padded:
    """Return inputs padded on the right with `filler`."""
    import torch

    lengths = [len(one.ids) for one in inputs]
    width = max(lengths)
    ids = torch.tensor([[*one.ids, *[filler] * (width - len(one.ids))] for one in inputs])
    mask = torch.tensor([[1] * n + [0] * (width - n) for n in lengths])
    arguments = {"input_ids": ids, "attention_mask": mask}
    if inputs[0].types:
        arguments["token_type_ids"] = torch.tensor([[*one.types, *[0] * (width - len(one.types))] for one in inputs])
    return Padded({name: tensor.to(device) for name, tensor in arguments.items()}, lengths)


class Classifier:
    """A sequence classifier of transformers.

    Args:
        model: on its device, in evaluation mode.
        filler: id for padding.
    """

    def __init__(self, model: Any, filler: int) -> None:
        """Tell decoders, whose head is called `score`, from encoders."""
        self._model, self._filler = model, filler
        self._head = getattr(model, "score", None)
        self._not_read = getattr(model.config.get_text_config(), "pad_token_id", None)

    def values(self, inputs: Sequence[Encoded]) -> Tensor:
        """Return the logits, shape (inputs, labels), float32."""
        batch = padded(inputs, self._filler, self._model.device)
        if self._head is None:
            logits: Tensor = self._model(**batch.arguments).logits
            return logits.float()
        states = getattr(self._model, self._model.base_model_prefix)(**batch.arguments, use_cache=False)[0]
        last = [last_read(one.ids, self._not_read) for one in inputs]
        scores: Tensor = self._head(states[list(range(len(last))), last])
        return scores.float()


def last_read(ids: Ids, not_read: int | None) -> int:
    """Return the position of the last token that is not `not_read`; 0 if there is none, as transformers does."""
    return next((i for i in range(len(ids) - 1, -1, -1) if ids[i] != not_read), 0)


class Embedder:
    """An encoder whose states become one vector of unit length: their mean, or the state of the first or last token."""

    def __init__(self, model: Any, filler: int, pooling: Literal["mean", "first", "last"]) -> None:
        """Keep the model, on its device and in evaluation mode."""
        self._model, self._filler, self._pooling = model, filler, pooling

    def values(self, inputs: Sequence[Encoded]) -> Tensor:
        """Return the vectors, shape (inputs, width of the model), float32."""
        import torch

        batch = padded(inputs, self._filler, self._model.device)
        states = self._model(**batch.arguments)[0].float()
        rows = list(range(len(inputs)))
        if self._pooling == "mean":
            mask = batch.arguments["attention_mask"][..., None]
            vectors = (states * mask).sum(1) / mask.sum(1)
        else:
            vectors = states[rows, [0 if self._pooling == "first" else n - 1 for n in batch.lengths]]
        return torch.nn.functional.normalize(vectors, dim=-1)


class PairRanker:
    """A model of the layout of PairRM-hf: an encoder, and a head over the states of the three markers.

    The head scores source and first candidate, and source and second candidate; the value is the difference, whose
    sigmoid is the probability that the first is better. It is not antisymmetric: ask both orders.

    Args:
        encoder: on its device, in evaluation mode.
        head: weight and bias of the inner layer (width from twice the width) and of the outer one, float32.
        markers: ids of source, first and second candidate.
        filler: id for padding.
    """

    def __init__(self, encoder: Any, head: Sequence[Tensor], markers: Ids, filler: int) -> None:
        """Keep the parts."""
        self._encoder, self._head, self._markers, self._filler = encoder, head, markers, filler

    def values(self, inputs: Sequence[Encoded]) -> Tensor:
        """Return the log-odds that the first candidate is better, shape (inputs, 1), float32."""
        import torch

        batch = padded([Encoded(one.ids) for one in inputs], self._filler, self._encoder.device)
        states = self._encoder(**batch.arguments)[0].float()
        rows = list(range(len(inputs)))
        source, first, second = (states[rows, [one.ids.index(m) for one in inputs]] for m in self._markers)
        scores = [self._score(torch.cat([source, candidate], -1)) for candidate in (first, second)]
        return (scores[0] - scores[1]).mean(-1, keepdim=True)

    def _score(self, states: Tensor) -> Tensor:
        import torch

        inner, inner_bias, outer, outer_bias = self._head
        return torch.tanh(states @ inner.T + inner_bias) @ outer.T + outer_bias
