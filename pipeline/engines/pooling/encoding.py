"""From a pooling request to token ids: a conversation by the model's chat template, a text, or a pair of texts.

A conversation begins with exactly one BOS where the tokenizer puts one before text at all: templates that write it
themselves, tokenizers that add it, and both at once come out the same (Skywork's reward models warn of the second
one). Strings that look like control tokens are plain text wherever they stand. It knows the tokenizer, not the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.engines.local.formatting import TextFormat
from pipeline.engines.local.runtime import Ids
from pipeline.types import PoolRequest


@dataclass(frozen=True, slots=True)
class Encoded:
    """One input of the model.

    Attributes:
        ids: token ids.
        types: segment of each token (0, or 1 for the second text of a pair); empty for models without segments.
    """

    ids: Ids
    types: Ids = ()


class PoolingText:
    """Encodes requests for one tokenizer; used from one thread at a time."""

    def __init__(self, tokenizer: Any) -> None:
        """Find out whether the tokenizer begins texts with a BOS and whether it counts segments."""
        self._tokenizer = tokenizer
        self._format = TextFormat(tokenizer)
        self._has_types = "token_type_ids" in tokenizer.model_input_names
        self._bos = tokenizer.bos_token_id
        self._adds_bos = self._bos is not None and self._encode("a").ids[:1] == (self._bos,)

    def encode(self, request: PoolRequest) -> Encoded:
        """Return the ids of a request without candidates.

        Raises:
            EngineError: if messages are given and the model has no chat template.
            RowError: `engine.template_refused`.
        """
        if request.messages is None:
            return self._encode(request.text or "", request.text_pair)
        ids = self._one_bos(self._format.pooled_ids(request.messages, None))
        return Encoded(ids, (0,) * len(ids) if self._has_types else ())

    def _one_bos(self, ids: Ids) -> Ids:
        if self._bos is None:
            return ids
        start = next((i for i, token in enumerate(ids) if token != self._bos), len(ids))
        return ((self._bos,) if start or self._adds_bos else ()) + ids[start:]

    def _encode(self, text: str, pair: str | None = None) -> Encoded:
        found = self._tokenizer(text, pair, add_special_tokens=True, split_special_tokens=True)
        return Encoded(tuple(found.input_ids), tuple(found.token_type_ids) if self._has_types else ())
