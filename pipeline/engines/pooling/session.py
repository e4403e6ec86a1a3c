"""What an open classifier engine does with batches of requests: encode, choose together, run, and answer.

All of it runs in the engine's worker thread. It knows no event loop and no files.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.engines.pooling.encoding import Encoded, PoolingText
from pipeline.engines.pooling.pair_text import PairText, filled_template, source_text
from pipeline.errors import EngineError, RowError
from pipeline.types import CLASSIFY, PoolRequest, PoolResult

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.engines.batching import Ticket
    from pipeline.engines.pooling.loading import Loaded


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request in token ids."""

    request: PoolRequest
    input: Encoded


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two candidates are put to the model.

    Attributes:
        template: text with `{prompt}`, `{first}` and `{second}`; None for the sections of PairRM.
        label: which value of a template's model says that the first is better.
    """

    template: str | None
    label: int


class Session:
    """A loaded model and its text.

    Args:
        loaded: from `loading.load`.
        comparison: how candidates are compared; None if they are not.
        name: what results carry as `model`.
        pass_tokens: most tokens, padding included, of one pass.
    """

    def __init__(self, loaded: Loaded, comparison: Comparison | None, name: str, pass_tokens: int) -> None:
        """Prepare the text of the model."""
        self._loaded, self._comparison = loaded, comparison
        self._name, self._pass_tokens = name, pass_tokens
        self._text = PoolingText(loaded.tokenizer)
        sections = comparison is not None and comparison.template is None
        self._pairs = PairText(loaded.tokenizer) if sections else None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let a running batch end after its current pass; called from another thread."""
        self._stopping.set()

    def prepare(self, request: PoolRequest) -> Prepared:
        """Encode a request and check that it fits.

        Raises:
            RowError: `engine.context_exceeded`, `engine.template_refused`.
            EngineError: the model cannot be asked in this way.
        """
        encoded = self._encode(request)
        if len(encoded.ids) > self._loaded.context:
            raise RowError(
                "engine.context_exceeded",
                f"text of {len(encoded.ids):,} tokens exceeds the context of {self._loaded.context:,}; nothing is cut",
            )
        if not encoded.ids:
            raise RowError("engine.empty_prompt", "the text has no tokens, and the tokenizer adds none")
        return Prepared(request, encoded)

    def choose(self, waiting: Sequence[Prepared]) -> list[int]:
        """Return what fits one pass together with the oldest request: those nearest to its length."""
        lengths = [len(one.input.ids) for one in waiting]
        order = sorted(range(len(waiting)), key=lambda i: (abs(lengths[i] - lengths[0]), i))
        chosen: list[int] = []
        widest = 0
        for i in order:
            widest = max(widest, lengths[i])
            if chosen and widest * (len(chosen) + 1) > self._pass_tokens:
                break
            chosen.append(i)
        return chosen

    def run(self, batch: Sequence[Ticket[PoolRequest, Prepared, PoolResult]]) -> None:
        """Run one pass and answer its tickets."""
        import torch

        if self._stopping.is_set():
            return
        with torch.inference_mode():
            raw = self._loaded.model.values([ticket.prepared.input for ticket in batch])
        for ticket, row in zip(batch, raw, strict=True):
            tokens = len(ticket.prepared.input.ids)
            values = tuple(self._values(ticket.request, row))
            if all(math.isfinite(v) for v in values):
                ticket.resolve(PoolResult(values, tokens, self._name))
            else:
                ticket.fail(RowError("pool.nonfinite", f"the model gave {list(values)[:4]} for {tokens:,} tokens"))

    def _encode(self, request: PoolRequest) -> Encoded:
        if request.candidates is None:
            return self._text.encode(request)
        assert self._comparison is not None  # the engine refuses candidates without a pair_ranker
        source = source_text(request.messages or ())
        if self._pairs is not None:
            return Encoded(self._pairs.encode(source, *request.candidates))
        text = filled_template(self._comparison.template or "", source, *request.candidates)
        return self._text.encode(PoolRequest("classify", text=text))

    def _values(self, request: PoolRequest, raw: Tensor) -> list[float]:
        values = raw
        if request.task == CLASSIFY:
            values = raw.sigmoid() if self._loaded.several_at_once else raw.softmax(-1)
        found = [float(v) for v in values.tolist()]
        if request.candidates is None or self._comparison is None or self._comparison.template is None:
            return found
        if self._comparison.label >= len(found):
            raise EngineError(f"pair_ranker.label {self._comparison.label}: the model has {len(found)} labels, from 0")
        return [found[self._comparison.label]]
