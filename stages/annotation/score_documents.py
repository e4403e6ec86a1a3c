"""Let a judge grade documents from 1 to 5, and keep the good ones if asked to.

Paper: PUGC, arXiv:2506.04463, studies a quality filter of user-generated content on that scale ({2,3} against {4,5});
its prompt and judge are not published, so the rubric (prompts/score_documents) is ours. The paper found that quantity
mattered more than this grade. The stage does not know whether what a document says is true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from pipeline.api import (
    CHAT,
    CHOICE,
    JSON_SCHEMA,
    GenRequest,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    quote,
)
from stages.annotation.quality_replies import QUALITIES, QUALITY_SCHEMA, Quality, parse_number, parse_reasoned
from stages.replies.asking import Asking, ask
from stages.synthesis.excerpts import cut_text

_QUOTING = 1 << 30
"""Draw of the quotation's seed, apart from those of the attempts."""


class ScoreDocumentsConfig(StageConfig):
    """Options of `score_documents`."""

    min_quality: int | None = Field(None, ge=1, le=5)
    """Least grade that is kept; None keeps all and only grades."""
    reason: bool = True
    """Ask for a sentence of reason before the grade. Without it the reply is one number, held to one by an engine that
    can choose among texts; better for small models."""
    max_document_characters: int = Field(8000, ge=100)
    """A longer document is cut after a paragraph or sentence, and flagged `quality_cut`."""
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(256, ge=1)
    attempts: int = Field(1, ge=1, le=1000)
    """Requests at most for one document; more than one makes sense with a temperature above 0."""


class ScoreDocuments(RowStage):
    """Adds `quality` (1 to 5), `quality_reason` (null without a reason) and `quality_cut` (the judge saw a part only).

    Reject codes:
        documents.empty: the text is null or white space.
        documents.unparsable: the last reply gave no whole number from 1 to 5.
        documents.truncated: the last reply was cut off at `max_tokens`.
        documents.refusal: the last reply was stopped by a content filter.
        documents.low_quality: the grade is below `min_quality`; grade and reason are kept with the reject.
    """

    name: ClassVar[str] = "score_documents"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ScoreDocumentsConfig
    filters: ClassVar[bool] = True

    inputs = columns(text=str)
    outputs = columns(quality=int, quality_reason=str, quality_cut=bool)
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA, CHOICE)}
    prompt_names: Sequence[str] = ("number.v1", "reasoned.v1")

    config: ScoreDocumentsConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the grade of one document."""
        text = row["text"]
        if not (text or "").strip():
            raise RowError("documents.empty", "the text is null or white space")
        shown, cut = cut_text(text, self.config.max_document_characters)
        found = await self._graded(quote("DOCUMENT", shown, ctx.seed(row["id"], _QUOTING)).text, row["id"], ctx)
        graded = {**row, "quality": found.grade, "quality_reason": found.reason, "quality_cut": cut}
        least = self.config.min_quality
        if least is not None and found.grade < least:
            return [Reject(graded, "documents.low_quality", f"quality {found.grade}; the least is {least}")]
        return [graded]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many documents got each grade, those set aside included."""
        grades = [v for batch in books.rows(["quality"]) for v in batch.column("quality").to_pylist()]
        grades += [r.row["quality"] for r in books.rejected() if r.code == "documents.low_quality"]
        rows = tuple((grade, grades.count(grade)) for grade in range(1, 6))
        return (ReportTable("Quality of documents", ("quality", "documents"), rows),)

    async def _graded(self, quoted: str, row_id: str, ctx: StageContext) -> Quality:
        config, judge = self.config, ctx.engine("judge")
        if not config.reason and judge.offers(CHOICE):
            return await self._chosen(quoted, row_id, ctx)
        parse: Callable[[str], Quality] = parse_number
        variables: dict[str, Any] = {"document": quoted}
        schema = None
        if config.reason:
            schema = QUALITY_SCHEMA if judge.offers(JSON_SCHEMA) else None
            variables["form"], parse = "json" if schema else "lines", parse_reasoned
        messages = ctx.prompt("reasoned.v1" if config.reason else "number.v1").render(**variables)
        how = Asking(judge, config.temperature, config.max_tokens, config.attempts, "documents", schema)
        return (await ask(how, messages, lambda k: ctx.seed(row_id, k), parse)).parsed

    async def _chosen(self, quoted: str, row_id: str, ctx: StageContext) -> Quality:
        request = GenRequest(
            messages=ctx.prompt("number.v1").render(document=quoted),
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            seed=ctx.seed(row_id),
            choices=QUALITIES,
        )
        try:
            return parse_number((await ctx.engine("judge").generate(request)).text)
        except ValueError as e:
            raise RowError("documents.unparsable", str(e)) from None
