"""Let a model write weighted criteria for the responses to a prompt, from a reference answer where there is one.

Paper: Rubrics as Rewards, arXiv:2507.17746: per prompt 7 to 20 criteria, each essential, important, optional or a
pitfall, by a strong model that is given a reference. The bounds and the weights behind the names are ours and options;
the wording is ours (prompts/make_rubric). The stage sees no response. Whether its criteria are right it does not know:
a rubric from a weak model without a reference is a guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageContext,
    columns,
)
from stages.judging.judge_requests import COLUMN, Judge, JudgeConfig
from stages.judging.rubric_items import IMPORTANCES, RUBRIC
from stages.judging.rubric_replies import read_rubric, rubric_schema


class MakeRubricConfig(JudgeConfig):
    """Options of `make_rubric`."""

    max_tokens: int = Field(2048, ge=1)
    min_items: int = Field(5, ge=1)
    max_items: int = Field(15, ge=1, le=50)
    reference: str | None = Field(None, pattern=COLUMN)
    """Column with a text that holds or supports a right answer; null makes the rubric from the prompt alone."""
    max_reference_characters: int | None = Field(12_000, ge=100)
    """A longer reference is shown without its end, and flagged `reference_cut`; null shows all."""
    weight_essential: float = Field(5.0, gt=0)
    weight_important: float = Field(3.0, gt=0)
    weight_optional: float = Field(1.0, gt=0)
    weight_pitfall: float = Field(4.0, gt=0)
    """What a pitfall that holds subtracts; stored as a negative weight."""
    format: Literal["auto", "json", "lines"] = "auto"
    """`json`, `lines` (a numbered list, for small models), or JSON where the engine can hold output to a schema."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_items > self.max_items:
            given = f"min_items {self.min_items} is above max_items {self.max_items}"
            raise ValueError(f"{given}; lower the one or raise the other")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Return the weight of each importance."""
        given = (self.weight_essential, self.weight_important, self.weight_optional, -self.weight_pitfall)
        return dict(zip(IMPORTANCES, given, strict=True))


class MakeRubric(RowStage):
    """Adds `rubric`, a list of items with text, importance and weight, and how it came about.

    A negative weight is a pitfall: its text names a fault that a response may have. `rubric_raw` is the reply,
    `rubric_attempts` the requests, `rubric_model` who wrote it; `conversation_cut` and `reference_cut` say that the
    model saw a part only.

    Reject codes:
        rubric.no_prompt: the prompt is null or holds no turn.
        rubric.no_reference: a reference is asked for and the row has none.
        rubric.unparsable: the last reply is no list of that many different items, or has pitfalls only.
        rubric.truncated: the last reply was cut off at `max_tokens`.
        rubric.refusal: the last reply was stopped by a content filter.
    """

    name: ClassVar[str] = "make_rubric"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[MakeRubricConfig]] = MakeRubricConfig

    outputs = columns(
        rubric=RUBRIC,
        rubric_raw=str,
        rubric_attempts=int,
        rubric_model=str,
        conversation_cut=bool,
        reference_cut=bool,
    )
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA,)}
    prompt_names: Sequence[str] = ("items.v1",)

    config: MakeRubricConfig

    def __init__(self, config: MakeRubricConfig) -> None:
        """Read the reference's column, if there is one."""
        super().__init__(config)
        referred: dict[str, Any] = {config.reference: str} if config.reference else {}
        self.inputs = columns(prompt=MESSAGES, **referred)

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the rubric of one prompt."""
        config, judge = self.config, Judge(self.config, ctx, row, "rubric")
        conversation = judge.conversation()
        text, cut = self._reference(row, judge)
        form = config.format
        if form == "auto":
            form = "json" if ctx.engine("judge").offers(JSON_SCHEMA) else "lines"
        least, most = config.min_items, config.max_items
        messages = ctx.prompt("items.v1").render(
            conversation=conversation.text, reference=text, least=least, most=most, form=form
        )
        answer = await judge.verdict(
            messages,
            lambda reply: read_rubric(reply, least, most, config.weights),
            json_schema=rubric_schema(least, most) if form == "json" else None,
        )
        made = {"rubric": [item.to_row() for item in answer.parsed], "rubric_raw": answer.text}
        cuts = {"conversation_cut": conversation.cut, "reference_cut": cut}
        return [{**row, **made, "rubric_attempts": answer.attempts, "rubric_model": judge.model, **cuts}]

    def _reference(self, row: Row, judge: Judge) -> tuple[str, bool]:
        if self.config.reference is None:
            return "", False
        text = row[self.config.reference]
        if not (text or "").strip():
            raise RowError("rubric.no_reference", f"the column '{self.config.reference}' is null or empty")
        shown = judge.response("REFERENCE", text, self.config.max_reference_characters)
        return shown.text, shown.cut

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count the items by importance."""
        rubrics = [v for batch in books.rows(["rubric"]) for v in batch.column("rubric").to_pylist()]
        counts = Counter(item["importance"] or "by number" for rubric in rubrics for item in rubric)
        rows = tuple((name, counts[name]) for name in (*IMPORTANCES, "by number"))
        return (ReportTable("Items of rubrics", ("importance", "items"), rows, f"Of {len(rubrics)} rubrics."),)
