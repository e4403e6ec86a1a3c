"""Let a judge compare two responses, in both orders, and say how far its verdict can be trusted.

Paper: WildBench, arXiv:2406.04770 (WB-Reward): five outcomes from much better to much worse, guided by a checklist,
with a length margin K. WildBench draws one order per item; here both are always asked, and what they disagree on is a
tie, as in FastChat (arXiv:2306.05685). Wording ours (prompts/judge_pair); arithmetic in `outcomes`, reading in
`pair_verdicts`.

Nothing depends on which of the two is called a: the two requests, their seeds too, are made from the texts and the
row's id alone, so that exchanging the columns gives the mirrored row. The stage does not know which response is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    CHOICE,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Message,
    Reject,
    ReportTable,
    Row,
    RowStage,
    StageBooks,
    StageContext,
    columns,
    derive_seed,
)
from stages.judging.judge_requests import COLUMN, ColumnedJudgeConfig, Judge, checklist_in, text_in
from stages.judging.outcomes import combined, length_ruled, mirrored, outcome_of_empty
from stages.judging.pair_report import verdict_tables
from stages.judging.pair_verdicts import (
    CHOICE_SCHEMA,
    PLAIN_CHOICES,
    PairVerdict,
    read_choice,
    read_plain,
    soft_preference,
)


class JudgePairConfig(ColumnedJudgeConfig):
    """Options of `judge_pair`."""

    a_column: str = Field("response_a", pattern=COLUMN)
    b_column: str = Field("response_b", pattern=COLUMN)
    checklist: str | None = Field(None, pattern=COLUMN)
    """Column with the questions that `make_checklist` made (`checklist`); null judges without them."""
    style: Literal["wildbench", "plain"] = "wildbench"
    """`wildbench`: reasons and one of five outcomes as JSON. `plain`: A, B or tie and nothing else, for small models;
    held to these by an engine that can choose among texts."""
    length_margin: int | None = None
    """K, in characters: a slight win of a response that is longer by more becomes a tie in `outcome_length_ruled`. Null
    or negative leaves all wins; WildBench reports none and 500."""
    soft: bool = False
    """Style `plain`, with an engine that gives the probability of each choice: also keep these as `soft_preference`."""

    @model_validator(mode="after")
    def _soft_needs_plain(self) -> Self:
        if self.soft and self.style != "plain":
            raise ValueError("soft: true needs style: plain, whose verdict is one of three words; set it")
        return self

    @model_validator(mode="after")
    def _two_columns(self) -> Self:
        if self.a_column == self.b_column:
            raise ValueError(f"a_column and b_column are both '{self.a_column}'; name two columns")
        return self


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The verdict of one order, A being what was shown first."""

    outcome: str
    raw: str | None
    attempts: int
    reasons: str | None = None
    logprobs: tuple[float, ...] | None = None


class JudgePair(RowStage):
    """Adds the verdict of both orders together, and of each by itself.

    `outcome_forward` and `outcome_backward` are the judge's outcomes with a, and with b, shown first, both un-mapped so
    that A means a. `outcome` is the lesser lead where both name the same winner, else a tie. `preference` is P(a
    better): the mean of both orders at 1, 0.75, 0.5, 0.25 and 0, but 0.5 for every tie; `preference_mean` is the mean
    also where the orders disagree. `consistent` says that both orders name the same winner, or that both are ties;
    reject or drop the others before training. `outcome_length_ruled` is `outcome` after the length margin; `preference`
    is not changed by it. A verdict of style `plain` claims no extent and counts as slight. `soft_preference` is P(a) +
    P(tie) / 2 of the choices' probabilities, the mean of both orders, with `choice_logprobs_forward` and `_backward`
    (nats, of the words A, B and tie as shown); null unless `soft`. `raw_*` are the replies, `reasons_*` what the judge
    wrote before its choice, `judge_attempts` all requests, `judge_model` the judge, `length_a` and `length_b`
    characters. Two responses without text are a tie, one of them loses by much, both without a request and flagged
    `judge_empty`. `conversation_cut`, `a_cut` and `b_cut` say that the judge saw a part only. With `prefix` all these
    names begin with it.

    Reject codes:
        judge.no_prompt: the prompt is null or holds no turn.
        judge.no_response: one of the responses is null.
        judge.no_checklist: a checklist is asked for and the row has none.
        judge.unparsable: the last reply in one of the orders holds no verdict, or two.
        judge.truncated: the last reply in one of the orders was cut off at `max_tokens`.
        judge.refusal: the last reply in one of the orders was stopped by a content filter.
        judge.no_probabilities: `soft` is set and the engine gave none.
    """

    name: ClassVar[str] = "judge_pair"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[JudgePairConfig]] = JudgePairConfig

    outputs = columns(
        outcome=str,
        outcome_length_ruled=str,
        preference=float,
        preference_mean=float,
        consistent=bool,
        outcome_forward=str,
        outcome_backward=str,
        reasons_forward=str,
        reasons_backward=str,
        raw_forward=str,
        raw_backward=str,
        soft_preference=float,
        choice_logprobs_forward=list[float],
        choice_logprobs_backward=list[float],
        judge_attempts=int,
        judge_model=str,
        judge_empty=bool,
        length_a=int,
        length_b=int,
        conversation_cut=bool,
        a_cut=bool,
        b_cut=bool,
    )
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA, CHOICE)}

    config: JudgePairConfig

    def __init__(self, config: JudgePairConfig) -> None:
        """Read the columns, and take the template and the capability of the style."""
        super().__init__(config)
        listed: dict[str, Any] = {config.checklist: list[str]} if config.checklist else {}
        both: dict[str, Any] = {config.a_column: str, config.b_column: str}
        self.inputs = columns(prompt=MESSAGES, **both, **listed)
        self.outputs = config.outputs(self.outputs)
        self.prompt_names = ("choice.v1",) if config.style == "wildbench" else ("plain.v1",)
        self.engine_roles: Mapping[str, str] = {"judge": CHOICE if config.soft else CHAT}

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return one request for each order."""
        return {"judge": (Factor("orders", 2),)}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask in both orders, or decide about a pair with an empty text."""
        config, judge = self.config, Judge(self.config, ctx, row)
        conversation, items = judge.conversation(), checklist_in(row, config.checklist)
        a, b = text_in(row, config.a_column), text_in(row, config.b_column)
        empty = outcome_of_empty(not a.strip(), not b.strip())
        seen = {
            "judge_model": judge.model,
            "conversation_cut": conversation.cut,
            "a_cut": judge.response("RESPONSE", a, config.max_response_characters).cut,
            "b_cut": judge.response("RESPONSE", b, config.max_response_characters).cut,
        }
        if empty is not None:
            forward = backward = _Verdict(empty, None, 0)
            made = self._columns(forward, backward, a, b) | {"judge_empty": True}
            return [{**row, **config.named(made | seen)}]
        shown = {"conversation": conversation.text, "checklist": judge.checklist(items) if items else ""}
        forward = await self._verdict(judge, shown, a, b)
        backward = await self._verdict(judge, shown, b, a)
        return [{**row, **config.named(self._columns(forward, _unmapped(backward), a, b) | seen)}]

    async def _verdict(self, judge: Judge, shown: Mapping[str, str], first: str, second: str) -> _Verdict:
        """Ask about the two in one order; seeds are made from the texts, so that names of columns do not matter."""
        config = self.config
        messages = judge.ctx.prompt(self.prompt_names[0]).render(
            **shown,
            first=judge.response("RESPONSEA", first, config.max_response_characters).text,
            second=judge.response("RESPONSEB", second, config.max_response_characters).text,
        )
        draw = derive_seed(first, second)
        if config.style == "plain" and judge.ctx.engine("judge").offers(CHOICE):
            return await self._chosen(judge, messages, draw)
        plain = config.style == "plain"
        parse: Callable[[str], PairVerdict] = read_plain if plain else read_choice
        answer = await judge.verdict(messages, parse, draw, None if plain else CHOICE_SCHEMA)
        return _Verdict(answer.parsed.outcome, answer.text, answer.attempts, answer.parsed.reasons)

    async def _chosen(self, judge: Judge, messages: tuple[Message, ...], draw: int) -> _Verdict:
        chosen = await judge.choice(messages, PLAIN_CHOICES, draw, self.config.soft)
        return _Verdict(read_plain(chosen.text).outcome, chosen.text, 1, None, chosen.choice_logprobs)

    def _columns(self, forward: _Verdict, backward: _Verdict, a: str, b: str) -> Row:
        both = combined(forward.outcome, backward.outcome)
        return {
            "outcome": both.outcome,
            "outcome_length_ruled": length_ruled(both.outcome, len(a), len(b), self.config.length_margin),
            "preference": both.preference,
            "preference_mean": both.mean,
            "consistent": both.consistent,
            "outcome_forward": forward.outcome,
            "outcome_backward": backward.outcome,
            "reasons_forward": forward.reasons,
            "reasons_backward": backward.reasons,
            "raw_forward": forward.raw,
            "raw_backward": backward.raw,
            **self._soft_columns(forward.logprobs, backward.logprobs),
            "judge_attempts": forward.attempts + backward.attempts,
            "judge_empty": False,
            "length_a": len(a),
            "length_b": len(b),
        }

    def _soft_columns(self, forward: Sequence[float] | None, backward: Sequence[float] | None) -> Row:
        if not self.config.soft or forward is None or backward is None:
            return dict.fromkeys(("soft_preference", "choice_logprobs_forward", "choice_logprobs_backward"))
        return {
            "soft_preference": (soft_preference(forward) + 1 - soft_preference(backward)) / 2,
            "choice_logprobs_forward": list(forward),
            "choice_logprobs_backward": list(backward),
        }

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count the outcomes, and say how often the order decided."""
        return verdict_tables(books, self.config.prefix)


def _unmapped(verdict: _Verdict) -> _Verdict:
    """Return a verdict in which b was shown first, with A meaning a."""
    return _Verdict(mirrored(verdict.outcome), verdict.raw, verdict.attempts, verdict.reasons, verdict.logprobs)
