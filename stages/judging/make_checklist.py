"""Let a model write questions that help to judge responses to a prompt.

Paper: WildBench, arXiv:2406.04770: 5 to 10 questions per task, there by GPT-4-Turbo and Claude 3 Opus, merged
and reviewed by people; here by one model, unreviewed, and held to their number and form. The wording is ours
(prompts/make_checklist). The stage sees no response, and does not know whether a question is a good one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Reject,
    ReportTable,
    Row,
    RowStage,
    StageBooks,
    StageContext,
    columns,
)
from stages.judging.checklist_replies import checklist_schema, read_checklist
from stages.judging.judge_requests import Judge, JudgeConfig


class MakeChecklistConfig(JudgeConfig):
    """Options of `make_checklist`."""

    min_questions: int = Field(5, ge=1)
    max_questions: int = Field(10, ge=1, le=50)
    format: Literal["auto", "json", "lines"] = "auto"
    """`json`, `lines` (a numbered list, asked for with examples, for small models), or JSON where the engine can hold
    output to a schema."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_questions > self.max_questions:
            given = f"min_questions {self.min_questions} is above max_questions {self.max_questions}"
            raise ValueError(f"{given}; lower the one or raise the other")
        return self


class MakeChecklist(RowStage):
    """Adds `checklist`, the questions in order, and how it came about.

    `checklist_raw` is the reply, `checklist_attempts` the requests it took, `checklist_model` who wrote it;
    `conversation_cut` says that the model saw a part only.

    Reject codes:
        checklist.no_prompt: the prompt is null or holds no turn.
        checklist.unparsable: the last reply is no list of that many different questions.
        checklist.truncated: the last reply was cut off at `max_tokens`.
        checklist.refusal: the last reply was stopped by a content filter.
    """

    name: ClassVar[str] = "make_checklist"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[MakeChecklistConfig]] = MakeChecklistConfig

    inputs = columns(prompt=MESSAGES)
    outputs = columns(
        checklist=list[str], checklist_raw=str, checklist_attempts=int, checklist_model=str, conversation_cut=bool
    )
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA,)}
    prompt_names: Sequence[str] = ("questions.v1", "questions_lines.v1")

    config: MakeChecklistConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the questions of one prompt."""
        config, judge = self.config, Judge(self.config, ctx, row, "checklist")
        least, most = config.min_questions, config.max_questions
        conversation = judge.conversation()
        form = config.format
        if form == "auto":
            form = "json" if ctx.engine("judge").offers(JSON_SCHEMA) else "lines"
        template = ctx.prompt("questions.v1" if form == "json" else "questions_lines.v1")
        messages = template.render(conversation=conversation.text, least=least, most=most)
        schema = checklist_schema(least, most) if form == "json" else None
        answer = await judge.verdict(messages, lambda reply: read_checklist(reply, least, most), json_schema=schema)
        made = {"checklist": answer.parsed, "checklist_raw": answer.text, "checklist_attempts": answer.attempts}
        made["checklist_model"] = judge.model
        return [{**row, **made, "conversation_cut": conversation.cut}]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count the prompts by the number of their questions."""
        found = [len(v) for b in books.rows(["checklist"]) for v in b.column("checklist").to_pylist()]
        rows = tuple((n, found.count(n)) for n in sorted(set(found)))
        return (ReportTable("Questions per checklist", ("questions", "prompts"), rows),)
