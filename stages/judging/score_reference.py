"""Let a judge score responses from 1 to 5 by how well they agree with a document, several times, and average.

Paper: PUGC, arXiv:2506.04463: a judge reads the user's document as reference, N samples of it are averaged (N of 1, 3,
5, 8 in its figure 3). The paper's prompt, judge and N are not published; format and reading follow Prometheus 2, the
rubric (prompts/score_reference) is ours: it asks for agreement in substance, since what users write is partial and
opinionated and no model of style. The stage does not know whether the document is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from pipeline.api import (
    CHAT,
    CHOICE,
    JSON_SCHEMA,
    MESSAGES,
    BoundEngine,
    GenRequest,
    Maker,
    Message,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    Sample,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    messages_of,
)
from stages.judging.judge_requests import COLUMN
from stages.judging.reference_agreement import Agreement, agreement_by_samples
from stages.judging.reference_replies import SCORE_SCHEMA, SCORES, parse_json_score
from stages.judging.reference_text import copied_share, relevant_window
from stages.judging.result_marks import parse_bare_score, parse_score
from stages.replies.transcripts import show_conversation, show_text

_QUOTING = 1 << 30
"""Draw of the quotation's seed, apart from those of the attempts."""


class ScoreReferenceConfig(StageConfig):
    """Options of `score_reference`."""

    reference_column: str = Field("reference", pattern=COLUMN)
    samples: int = Field(8, ge=1, le=64)
    """Replies of the judge that are averaged (N); one request asks for all of them."""
    feedback: bool = True
    """Ask for a comparison before the score. Without it the reply is one number, shown by examples; for small models,
    and the cheapest."""
    format: Literal["auto", "text"] = "auto"
    """`auto`: held to a schema (with feedback) or to the five numbers (without) where the engine can. `text`: `[RESULT]
    N` at the end of plain text, whatever the engine can; for judges trained on that form, as Prometheus 2."""
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    attempts: int = Field(3, ge=1, le=1000)
    """Requests at most for the samples of one response; each further one asks for those that could not be read."""
    max_reference_characters: int = Field(8000, ge=50)
    """Of a longer reference the run of sentences that shares most with the prompt is shown, and `reference_cut` is
    true."""
    max_prompt_characters: int | None = Field(None, ge=50)
    """Of a longer prompt the last turns are shown, and `transcript_cut` is true; None for all."""
    max_response_characters: int | None = Field(None, ge=50)
    """Of a longer response the beginning is shown, and `transcript_cut` is true; None for all."""
    overlap_words: int = Field(8, ge=2, le=100)
    """Length of the runs of words that `response_overlap` counts."""
    copied_share: float = Field(0.5, gt=0, le=1)
    """Least `response_overlap` at which a response is flagged `copied`."""

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.temperature == 0 and (self.samples > 1 or self.attempts > 1):
            raise ValueError("at temperature 0 every reply is the same; set samples: 1 and attempts: 1, or raise it")
        return self

    @field_validator("reference_column")
    @classmethod
    def _reference_is_another_column(cls, name: str) -> str:
        if name in ScoreReference.inputs.names:
            raise ValueError(f"the column '{name}' is what is scored; name the one that holds the document")
        return name


class ScoreReference(RowStage):
    """Adds the samples of the judge and their mean.

    `reference_scores` holds N values, null where the last reply to that sample could not be read, was cut off or
    filtered; `reference_raw` those last replies. `reference_score` (1 to 5) and `reference_std` (divided by n, not
    n - 1) are over the `valid_n` values that are there. `response_overlap` is the share, 0 to 1, of the response's runs
    of `overlap_words` words that stand in the whole reference, null for a response without such a run; `copied` flags
    it from `copied_share` on: the policy has not seen the document, so it must have known it.

    Reject codes:
        reference.missing: the reference is null or white space.
        reference.no_prompt: the prompt is null or holds no turn.
        reference.no_response: the response is null or white space.
        reference.too_few_valid: fewer than half of the samples could be read; they are kept with the reject.
    """

    name: ClassVar[str] = "score_reference"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ScoreReferenceConfig

    inputs = columns(prompt_id=str, prompt=MESSAGES, response=str)
    outputs = columns(
        reference_scores=list[int],
        reference_raw=list[str],
        reference_score=float,
        reference_std=float,
        valid_n=int,
        reference_judge=str,
        reference_cut=bool,
        transcript_cut=bool,
        response_overlap=float,
        copied=bool,
    )
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA, CHOICE)}
    prompt_names: Sequence[str] = ("feedback.v1", "number.v1")

    config: ScoreReferenceConfig

    def __init__(self, config: ScoreReferenceConfig) -> None:
        """Read the reference from the column that the config names."""
        super().__init__(config)
        self.inputs = pa.schema([*type(self).inputs, (config.reference_column, pa.string())])

    def check_makers(self, makers: Mapping[str, Maker]) -> None:
        """Refuse a reference that a stage upstream withholds, before any response is sampled.

        Raises:
            ValueError: with what to change.
        """
        maker = makers.get(self.config.reference_column)
        if maker is not None and maker.options.get("reference") == "hash":
            raise ValueError(
                f"stage '{maker.stage_id}' leaves only a hash of the document, so there is no text to score by; set "
                "reference: text there, and leave the text out of prompt_columns of select_pairs, so that it is not "
                "published"
            )

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the samples of one response."""
        reference, response = row[self.config.reference_column] or "", row["response"] or ""
        if not reference.strip():
            raise RowError("reference.missing", f"the column '{self.config.reference_column}' is null or white space")
        if not row["prompt"]:
            raise RowError("reference.no_prompt", "the column 'prompt' is null or holds no turn")
        if not response.strip():
            raise RowError("reference.no_response", "the response is null or white space")
        judge = ctx.engine("judge")
        asked = self._asked(row, reference, judge, ctx)
        draws = await self._samples(asked, judge, row["id"], ctx)
        overlap = copied_share(response, reference, self.config.overlap_words)
        scored = {
            **row,
            **summary([d.score for d in draws]),
            "reference_raw": [d.raw for d in draws],
            "reference_judge": judge.model,
            "reference_cut": asked.reference_cut,
            "transcript_cut": asked.transcript_cut,
            "response_overlap": overlap,
            "copied": overlap is not None and overlap >= self.config.copied_share,
        }
        valid, least = scored["valid_n"], -(-self.config.samples // 2)
        if valid < least:
            message = f"{valid} of {self.config.samples} samples could be read; at least {least} are needed"
            if ended := sum(d.ended == "length" for d in draws):
                message += f"; {ended} were cut off at max_tokens {self.config.max_tokens}"
            return [Reject(scored, "reference.too_few_valid", message)]
        return [scored]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how soon the order of responses settles with more samples, and how the scores fell."""
        prompt_ids: list[str | None] = []
        scores: list[list[int | None]] = []
        copied = cut = 0
        for batch in books.rows(["prompt_id", "reference_scores", "copied", "reference_cut"]):
            prompt_ids += batch.column("prompt_id").to_pylist()
            scores += batch.column("reference_scores").to_pylist()
            copied += sum(batch.column("copied").to_pylist())
            cut += sum(batch.column("reference_cut").to_pylist())
        if not scores:
            return ()
        refused = [r.row["reference_scores"] for r in books.rejected() if r.code == "reference.too_few_valid"]
        flat = [s for row in [*scores, *refused] for s in row]
        counts = tuple((label, flat.count(value)) for label, value in _SCORE_LABELS)
        flags = (("responses with a part of the reference only", cut), ("responses flagged as copied", copied))
        return (
            agreement_table(agreement_by_samples(prompt_ids, scores, self.config.samples)),
            ReportTable("Reference scores", ("sample", "count"), counts + flags, "Of all samples, of rejects too."),
        )

    def _asked(self, row: Row, reference: str, judge: BoundEngine, ctx: StageContext) -> _Asked:
        """Render the request; all that stands before the response is the same for all responses to a prompt."""
        config, shared = self.config, ctx.seed(row["prompt_id"] or row["id"], _QUOTING)
        prompt = messages_of(row["prompt"])
        shown, reference_cut = relevant_window(reference, prompt[-1]["content"], config.max_reference_characters)
        conversation = show_conversation(prompt, shared, config.max_prompt_characters)
        response = show_text("RESPONSE", row["response"], ctx.seed(row["id"], _QUOTING), config.max_response_characters)
        texts = {
            "conversation": conversation.text,
            "reference": show_text("REFERENCE", shown, shared).text,
            "response": response.text,
        }
        cut = conversation.cut or response.cut
        held = config.format == "auto"
        if not config.feedback:
            choices = SCORES if held and judge.offers(CHOICE) else ()
            messages = ctx.prompt("number.v1").render(**texts)
            return _Asked(messages, parse_bare_score, reference_cut, cut, choices=choices)
        schema = SCORE_SCHEMA if held and judge.offers(JSON_SCHEMA) else None
        messages = ctx.prompt("feedback.v1").render(**texts, form="json" if schema else "text")
        return _Asked(messages, parse_json_score if schema else parse_score, reference_cut, cut, schema=schema)

    async def _samples(self, asked: _Asked, judge: BoundEngine, row_id: str, ctx: StageContext) -> list[_Draw]:
        """Return N draws; those that cannot be read are asked for again, all together, with another seed."""
        config, draws = self.config, [_Draw(None, None, None)] * self.config.samples
        for attempt in range(config.attempts):
            open_places = [i for i, draw in enumerate(draws) if draw.score is None]
            if not open_places:
                break
            request = GenRequest(
                messages=asked.messages,
                n=len(open_places),
                max_tokens=config.max_tokens,
                temperature=config.temperature,
                top_p=config.top_p,
                seed=ctx.seed(row_id, attempt),
                json_schema=asked.schema,
                choices=asked.choices,
            )
            result = await judge.generate(request)
            for place, sample in zip(open_places, result.samples, strict=False):  # a missing sample is asked for again
                draws[place] = _read(sample, asked.parse)
        return draws


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request without its seed, and how its replies are read."""

    messages: tuple[Message, ...]
    parse: Callable[[str], int | None]
    reference_cut: bool
    transcript_cut: bool
    choices: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Draw:
    score: int | None
    raw: str | None
    ended: str | None


def summary(scores: Sequence[int | None]) -> Row:
    """Return the columns that follow from the samples of one response: mean and deviation over those that are there."""
    valid = [s for s in scores if s is not None]
    return {
        "reference_scores": list(scores),
        "reference_score": fmean(valid) if valid else None,
        "reference_std": pstdev(valid) if valid else None,
        "valid_n": len(valid),
    }


def agreement_table(found: Sequence[Agreement]) -> ReportTable:
    """Return agreement against the number of samples as a table; shares are None where nothing can be compared."""
    rows = tuple(
        (
            a.samples,
            a.valid,
            _share(a.same, a.pairs),
            _share(a.same_ordered, a.ordered),
            _share(a.tied, a.pairs),
            _share(a.same_best, a.prompts),
        )
        for a in found
    )
    pairs, prompts = (found[0].pairs, found[0].prompts) if found else (0, 0)
    return ReportTable(
        "Agreement of the first samples with all",
        ("samples", "valid", "same order, ties counted", "same order, untied", "tied", "same best"),
        rows,
        f"{pairs:,} pairs of responses to {prompts:,} prompts. 'untied': of the pairs that all samples order, a tie is "
        "a miss. It says how settled the judge is, not whether it is right; the last row is 1 by itself.",
    )


_SCORE_LABELS: tuple[tuple[str, int | None], ...] = (
    *((f"score {n}", n) for n in range(1, 6)),
    ("could not be read", None),
)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _read(sample: Sample, parse: Callable[[str], int | None]) -> _Draw:
    text = sample.text.encode("utf-8", "replace").decode("utf-8")  # no file holds lone surrogates
    return _Draw(parse(text) if sample.finish_reason == "stop" else None, text, sample.finish_reason)
