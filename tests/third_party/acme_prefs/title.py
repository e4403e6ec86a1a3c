"""Give each domain a title, asked of an engine with a template of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pipeline.api import CHAT, GenRequest, Reject, Row, RowError, RowStage, StageConfig, StageContext, columns


class AcmeTitleConfig(StageConfig):
    """Options of `acme_title`."""

    longest: int = Field(200, ge=1)
    """Most characters of a title."""


class AcmeTitle(RowStage):
    """Adds a title.

    Reject codes:
        title.too_long: the title is longer than `longest`.
    """

    name: ClassVar[str] = "acme_title"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = AcmeTitleConfig
    prompt_folder: ClassVar[Path | None] = Path(__file__).parent / "prompts"

    inputs = columns(domain=str)
    outputs = columns(title=str)
    engine_roles: Mapping[str, str] = {"writer": CHAT}
    prompt_names: Sequence[str] = ("ask.v1",)

    config: AcmeTitleConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask once."""
        messages = ctx.prompt("ask.v1").render(domain=row["domain"])
        reply = await ctx.engine("writer").generate(GenRequest(messages=messages, seed=ctx.seed(row["id"])))
        if len(reply.text) > self.config.longest:
            raise RowError("title.too_long", f"{len(reply.text)} characters; expected at most {self.config.longest}")
        return [{**row, "title": reply.text}]
