"""Add an embedding of each row's text, for `deduplicate` by meaning.

No paper: one request for each row to an engine that offers `embed`. The stage neither normalises nor compares vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.api import (
    EMBED,
    MESSAGES,
    PoolRequest,
    Reject,
    Row,
    RowError,
    RowStage,
    StageConfig,
    StageContext,
    columns,
)
from stages.selection.row_texts import text_type, texts_of

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class EmbedTextsConfig(StageConfig):
    """Options of `embed_texts`."""

    column: str = Field("prompt", pattern=_NAME)
    """What is embedded: of `prompt` and `messages` all user turns, of any other column its text."""


class EmbedTexts(RowStage):
    """Adds `embedding`, the engine's vector as it is, and `embedding_model`.

    Reject codes:
        embedding.no_text: the text is null or empty, or the conversation has no user turn.
        embedding.nonfinite: the engine gave no values, or values that are not finite.
    """

    name: ClassVar[str] = "embed_texts"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = EmbedTextsConfig

    engine_roles: Mapping[str, str] = {"embedder": EMBED}
    outputs = columns(embedding=pa.list_(pa.float32()), embedding_model=str)

    config: EmbedTextsConfig

    def __init__(self, config: EmbedTextsConfig) -> None:
        """Read the column that the config names."""
        super().__init__(config)
        needed: dict[str, Any] = {"id": str, config.column: text_type(config.column)}
        self.inputs = columns(**needed)

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the vector."""
        kind = MESSAGES if text_type(self.config.column) == MESSAGES else pa.string()
        (text,) = texts_of(pa.array([row[self.config.column]], kind))
        if text is None or not text.strip():
            raise RowError("embedding.no_text", f"column '{self.config.column}' holds no text")
        result = await ctx.engine("embedder").pool(PoolRequest("embed", text=text))
        if not result.values or not all(map(math.isfinite, result.values)):
            raise RowError("embedding.nonfinite", f"a vector of {len(result.values)} values, not all of them finite")
        return [{**row, "embedding": list(result.values), "embedding_model": result.model}]
