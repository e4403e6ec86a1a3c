"""Let a judge say what is wrong with each response, for training on judgments.

Paper: CUT, arXiv:2312.14591, sections 3 to 5. A response without fault is an aligned positive case (Align-P); one with
faults is an aligned negative case (Align-N): it answers a prompt that holds the judgment. The third case of the paper,
the same response after the plain prompt (Misalign), follows from each negative row and is not a row of its own.
Template and reading are ours (prompts/critique). Faults only: judgments that praise work badly, by the paper. The stage
does not know whether a fault is real.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    MESSAGES,
    Json,
    Message,
    Prompt,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    messages_of,
)
from stages.judging.critique_replies import parse_judgment
from stages.judging.judge_requests import COLUMN
from stages.replies.asking import Asking, ask
from stages.replies.transcripts import show_conversation, show_text

_QUOTING = 1 << 30
"""Draw of the quotation's seed, apart from those of the attempts."""


class CritiqueConfig(StageConfig):
    """Options of `critique`."""

    iteration: int | None = Field(None, ge=1)
    """Written into the column `iteration`: which round of sampling, judging and training the responses come from."""
    subset_column: str | None = Field(None, pattern=COLUMN)
    """A text column by which the report counts polarities; it changes no row."""
    examples: bool = False
    """Show three worked judgments first; a model of a few hundred million parameters repeats its request without."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(512, ge=1)
    attempts: int = Field(3, ge=1, le=1000)
    max_prompt_characters: int | None = Field(None, ge=50)
    """Of a longer prompt the judge sees the last turns, and `critique_cut` is true; None for all."""
    max_response_characters: int | None = Field(None, ge=50)
    """Of a longer response the judge sees the beginning, and `critique_cut` is true; None for all."""

    @model_validator(mode="after")
    def _attempts_differ(self) -> Self:
        if self.temperature == 0 and self.attempts > 1:
            raise ValueError("at temperature 0 another attempt gives the same reply; set attempts: 1, or raise it")
        return self


class Critique(RowStage):
    """Adds a judgment of faults to each response.

    `polarity` is `positive` (the judge found no fault; `judgment` is null) or `negative`. `case` is the paper's:
    `aligned_positive` is trained on `prompt` and `response`, `aligned_negative` on `align_n_prompt` and `response`, and
    the same negative row gives the misaligned case: `prompt` and `response`. `align_n_prompt` is the prompt with the
    judgment put in front of its last turn; null for a positive row. `critique_raw` is the reply as it came.

    Reject codes:
        critique.no_prompt: the prompt is null or holds no turn.
        critique.no_response: the response is null or white space.
        critique.unparsable: the last reply holds no judgment, or one that contradicts itself.
        critique.refusal: the last reply declines, or was stopped by a content filter.
        critique.truncated: the last reply was cut off at `max_tokens`.
    """

    name: ClassVar[str] = "critique"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = CritiqueConfig

    outputs = columns(
        judgment=str,
        polarity=str,
        case=str,
        align_n_prompt=MESSAGES,
        judge_model=str,
        iteration=int,
        critique_raw=str,
        critique_cut=bool,
    )
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    prompt_names: Sequence[str] = ("faults.v1", "faults_examples.v1", "align_n.v1")

    config: CritiqueConfig

    def __init__(self, config: CritiqueConfig) -> None:
        """Read the column that the report counts by, if there is one."""
        super().__init__(config)
        named: dict[str, Any] = {config.subset_column: str} if config.subset_column else {}
        self.inputs = columns(**(named | {"prompt": MESSAGES, "response": str}))

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the faults of one response."""
        if not row["prompt"]:
            raise RowError("critique.no_prompt", "the column 'prompt' is null or holds no turn")
        if not (row["response"] or "").strip():
            raise RowError("critique.no_response", "the response is null or white space")
        config, judge, seed = self.config, ctx.engine("judge"), ctx.seed(row["id"], _QUOTING)
        prompt = messages_of(row["prompt"])
        conversation = show_conversation(prompt, seed, config.max_prompt_characters)
        response = show_text("RESPONSE", row["response"], seed, config.max_response_characters)
        template = ctx.prompt("faults_examples.v1" if config.examples else "faults.v1")
        messages = template.render(conversation=conversation.text, response=response.text)
        how = Asking(judge, config.temperature, config.max_tokens, config.attempts, "critique")
        answer = await ask(how, messages, lambda k: ctx.seed(row["id"], k), parse_judgment)
        judged = answer.parsed
        conditioned = None
        if judged.text is not None:
            conditioned = [dict(m) for m in align_n_prompt(prompt, judged.text, ctx.prompt("align_n.v1"))]
        added = {
            "judgment": judged.text,
            "polarity": judged.polarity,
            "case": f"aligned_{judged.polarity}",
            "align_n_prompt": conditioned,
            "judge_model": judge.model,
            "iteration": config.iteration,
            "critique_raw": answer.text,
            "critique_cut": conversation.cut or response.cut,
        }
        return [{**row, **added}]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many responses have faults, by subset, and how long the judgments are."""
        subset = self.config.subset_column
        words: dict[str, list[int]] = defaultdict(list)
        positive: dict[str, int] = defaultdict(int)
        for batch in books.rows(["judgment", "polarity", *([subset] if subset else [])]):
            for row in batch.to_pylist():
                where = str(row[subset]) if subset else "all"
                if row["polarity"] == "positive":
                    positive[where] += 1
                else:
                    words[where].append(len(row["judgment"].split()))
        names = sorted(words.keys() | positive.keys())
        if not names:
            return ()
        rows = tuple(_line(name, positive[name], sorted(words[name])) for name in names)
        headings = ("subset", "responses", "with faults", "share", "words, median", "words, 9 of 10 below")
        note = "The paper keeps one positive row for four negative ones; `positive` rows beyond that can be left out."
        return (ReportTable("Judgments", headings, rows, note),)


def align_n_prompt(prompt: Sequence[Message], judgment: str, template: Prompt) -> tuple[Message, ...]:
    """Return a prompt whose last turn holds a judgment of the response that follows; the turns before it stay."""
    (turn,) = template.render(instruction=prompt[-1]["content"], judgment=judgment)
    return (*prompt[:-1], turn)


def _line(name: str, positive: int, words: Sequence[int]) -> tuple[Json, ...]:
    total = positive + len(words)
    lengths = (median(words), words[(9 * len(words)) // 10]) if words else (None, None)
    return (name, total, len(words), len(words) / total, *lengths)
