"""Let a judge score a response from 1 to 10, with its strengths and weaknesses.

Paper: WildBench, arXiv:2406.04770 (WB-Score): the judge reads the conversation, the response and a checklist
made for the prompt, and writes strengths and weaknesses before the score; (score - 5) * 2 puts the middle at 0. The
wording is ours (prompts/judge_score). It does not know a right answer: what the judge cannot check it does not check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageContext,
    columns,
)
from stages.judging.judge_requests import COLUMN, ColumnedJudgeConfig, Judge, checklist_in, text_in
from stages.judging.score_replies import SCORE_SCHEMA, ScoreReply, read_plain_score, read_score, rescaled
from stages.replies.asking import Answer

_UNREAD = ("judge.unparsable", "judge.truncated", "judge.refusal")


class JudgeScoreConfig(ColumnedJudgeConfig):
    """Options of `judge_score`."""

    checklist: str | None = Field(None, pattern=COLUMN)
    """Column with the questions that `make_checklist` made (`checklist`); null judges without them."""
    style: Literal["wildbench", "plain"] = "wildbench"
    """`wildbench`: strengths, weaknesses and score as JSON. `plain`: the number alone, for small models."""
    samples: int = Field(1, ge=1, le=100)
    """Scores asked for; their mean is kept if at least half of them can be read. More than 1 needs a temperature."""

    @model_validator(mode="after")
    def _samples_can_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 are all the same at temperature 0; set a temperature, such as 1.0")
        return self


class JudgeScore(RowStage):
    """Adds the mean score of the judge's readable samples, and all that it is made of.

    `judge_score` is in [1, 10], `judge_score_rescaled` is (score - 5) * 2. `judge_scores`, `strengths`, `weaknesses`
    and `judge_raw` have one entry per sample, null where no attempt could be read; `valid_n` counts the readable ones,
    `judge_attempts` all requests, `judge_model` names the judge. A response without text scores 1 without a request, as
    in WildBench, and is flagged `judge_empty`, its lists empty. `conversation_cut` and `response_cut` say that the
    judge saw a part only. With `prefix` all these names begin with it.

    Reject codes:
        judge.no_prompt: the prompt is null or holds no turn.
        judge.no_response: the response is null.
        judge.no_checklist: a checklist is asked for and the row has none.
        judge.unparsable: no sample could be read; the last reply gave no score, or two.
        judge.truncated: no sample could be read; the last reply was cut off at `max_tokens`.
        judge.refusal: no sample could be read; the last reply was stopped by a content filter.
        judge.too_few: fewer than half of the samples could be read; they are kept with the reject.
    """

    name: ClassVar[str] = "judge_score"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[JudgeScoreConfig]] = JudgeScoreConfig

    outputs = columns(
        judge_score=float,
        judge_score_rescaled=float,
        judge_scores=list[float],
        valid_n=int,
        strengths=list[str],
        weaknesses=list[str],
        judge_raw=list[str],
        judge_attempts=int,
        judge_model=str,
        judge_empty=bool,
        conversation_cut=bool,
        response_cut=bool,
    )
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA,)}

    config: JudgeScoreConfig

    def __init__(self, config: JudgeScoreConfig) -> None:
        """Read the checklist's column, and take the template of the style."""
        super().__init__(config)
        listed: dict[str, Any] = {config.checklist: list[str]} if config.checklist else {}
        self.inputs = columns(prompt=MESSAGES, response=str, **listed)
        self.outputs = config.outputs(self.outputs)
        self.prompt_names = ("score.v1",) if config.style == "wildbench" else ("plain.v1",)

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return one request per sample."""
        return {"judge": (Factor("N", self.config.samples),)}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Score one response, or decide about an empty one."""
        config, judge = self.config, Judge(self.config, ctx, row)
        conversation = judge.conversation()
        items, text = checklist_in(row, config.checklist), text_in(row, "response")
        response = judge.response("RESPONSE", text, config.max_response_characters)
        cuts = {"conversation_cut": conversation.cut, "response_cut": response.cut, "judge_model": judge.model}
        if not text.strip():
            made = _scored([]) | cuts | {"judge_score": 1.0, "judge_score_rescaled": rescaled(1)}
            return [{**row, **config.named(made)}]
        messages = ctx.prompt(self.prompt_names[0]).render(
            conversation=conversation.text,
            checklist=judge.checklist(items) if items else "",
            response=response.text,
        )
        plain = config.style == "plain"
        parse, schema = (read_plain_score, None) if plain else (read_score, SCORE_SCHEMA)
        answers: list[Answer[ScoreReply] | None] = []
        problems = []
        for sample in range(config.samples):
            try:
                answers.append(await judge.verdict(messages, parse, sample, schema))
            except RowError as e:
                if e.code not in _UNREAD:
                    raise
                answers.append(None)
                problems.append(e)
        return [self._decided(row, _scored(answers, config.attempts) | cuts, problems)]

    def _decided(self, row: Row, made: Row, problems: Sequence[RowError]) -> Row | Reject:
        samples, valid = self.config.samples, made["valid_n"]
        if not valid:
            raise problems[-1]
        out = {**row, **self.config.named(made)}
        if 2 * valid < samples:
            return Reject(out, "judge.too_few", f"{valid} of {samples} samples could be read; {problems[-1].message}")
        return out

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count the scores, rounded to whole numbers."""
        name = f"{self.config.prefix}judge_score"
        found = [v for b in books.rows([name]) for v in b.column(name).to_pylist()]
        counts = tuple((n, sum(n - 0.5 <= v < n + 0.5 for v in found)) for n in range(1, 11))
        return (ReportTable("Scores of the judge", ("score", "responses"), counts),)


def _scored(answers: Sequence[Answer[ScoreReply] | None], attempts: int = 0) -> Row:
    """Return the columns of all samples; a sample without an answer took all its attempts."""
    scores = [float(a.parsed.score) if a else None for a in answers]
    valid = [s for s in scores if s is not None]
    mean = sum(valid) / len(valid) if valid else None
    return {
        "judge_score": mean,
        "judge_score_rescaled": None if mean is None else rescaled(mean),
        "judge_scores": scores,
        "valid_n": len(valid),
        "strengths": [a.parsed.strengths if a else None for a in answers],
        "weaknesses": [a.parsed.weaknesses if a else None for a in answers],
        "judge_raw": [a.text if a else None for a in answers],
        "judge_attempts": sum(a.attempts if a else attempts for a in answers),
        "judge_empty": not answers,
    }
