"""Score a response by the weighted criteria that were written for its prompt.

Paper: Rubrics as Rewards, arXiv:2507.17746. Explicit: a verdict for each item, and the weighted share of what is met,
pitfalls that hold subtracted, cut to [0, 1]. Implicit: the judge sees the rubric and gives one score from 1 to 10, put
on [0, 1]. The wording is ours (prompts/score_rubric); the arithmetic is in `rubric_items`. The stage does not question
the rubric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Message,
    Reject,
    Row,
    RowError,
    RowStage,
    StageContext,
    columns,
    quote,
)
from stages.judging.judge_requests import ColumnedJudgeConfig, Judge, text_in
from stages.judging.rubric_items import RUBRIC, require_rubric, rubric_lines, rubric_score
from stages.judging.rubric_replies import read_verdicts, verdicts_schema
from stages.judging.score_replies import read_plain_score
from stages.replies.asking import Answer, Unusable
from stages.synthesis.verdicts import VERDICT_SCHEMA, Verdict, parse_verdict

_UNREAD = ("rubric.unparsable", "rubric.truncated", "rubric.refusal")


class ScoreRubricConfig(ColumnedJudgeConfig):
    """Options of `score_rubric`."""

    mode: Literal["explicit", "implicit"] = "explicit"
    """`explicit`: a verdict per item, added up by us. `implicit`: one score by the judge, who sees the rubric."""
    per_item: bool = False
    """Mode `explicit`: ask about each item in a request of its own; dearer, steadier with small judges."""

    @model_validator(mode="after")
    def _items_are_explicit(self) -> Self:
        if self.per_item and self.mode != "explicit":
            raise ValueError("per_item: true asks about each item, which mode implicit does not; set mode: explicit")
        return self


class ScoreRubric(RowStage):
    """Adds `rubric_score` in [0, 1], and all that it is made of.

    Explicit: `rubric_verdicts` has one entry per item, whether it holds, null where it could not be read;
    `rubric_valid_n` counts the others, `rubric_earned` and `rubric_possible` are the sums of weights, whose quotient is
    cut to [0, 1]. Implicit: `rubric_holistic` is the judge's score from 1 to 10, and `rubric_score` is (score - 1) / 9.
    What the other mode gives is null. `rubric_raw` holds the replies (one for all items, or one for each),
    `rubric_judge_attempts` counts the requests, `rubric_judge_model` names the judge. A response without text scores 0
    without a request and is flagged `rubric_empty`. `conversation_cut` and `response_cut` say that the judge saw a part
    only. With `prefix` all these names begin with it.

    Reject codes:
        rubric.no_prompt: the prompt is null or holds no turn.
        rubric.no_response: the response is null.
        rubric.no_rubric: the rubric is null, has no item, none to fulfil, or one without a text or a weight.
        rubric.too_few: fewer than half of the items, or none of those to fulfil, have a verdict that can be read.
        rubric.unparsable: the last reply holds no verdicts, or no score.
        rubric.truncated: the last reply was cut off at `max_tokens`.
        rubric.refusal: the last reply was stopped by a content filter.
    """

    name: ClassVar[str] = "score_rubric"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[ScoreRubricConfig]] = ScoreRubricConfig

    inputs = columns(prompt=MESSAGES, response=str, rubric=RUBRIC)
    outputs = columns(
        rubric_score=float,
        rubric_verdicts=list[bool],
        rubric_valid_n=int,
        rubric_earned=float,
        rubric_possible=float,
        rubric_holistic=int,
        rubric_raw=list[str],
        rubric_judge_attempts=int,
        rubric_judge_model=str,
        rubric_empty=bool,
        conversation_cut=bool,
        response_cut=bool,
    )
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA,)}

    config: ScoreRubricConfig

    def __init__(self, config: ScoreRubricConfig) -> None:
        """Take the template of the mode."""
        super().__init__(config)
        self.outputs = config.outputs(self.outputs)
        explicit = "item.v1" if config.per_item else "verdicts.v1"
        self.prompt_names = (explicit if config.mode == "explicit" else "holistic.v1",)

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return one request, or one for each item, whose number the rows tell."""
        return {"judge": (Factor("items"),) if self.config.per_item else ()}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Score one response, or decide about an empty one."""
        config, judge = self.config, Judge(self.config, ctx, row, "rubric")
        conversation, text = judge.conversation(), text_in(row, "response", "rubric")
        require_rubric(row["rubric"])
        response = judge.response("RESPONSE", text, self.config.max_response_characters)
        cuts = {
            "conversation_cut": conversation.cut,
            "response_cut": response.cut,
            "rubric_judge_model": judge.model,
        }
        if not text.strip():
            return [{**row, **config.named(_columns(score=0.0, raw=(), empty=True) | cuts)}]
        shown = {"conversation": conversation.text, "response": response.text}
        if config.per_item:
            return [await self._each(row, judge, shown, cuts)]
        ask = self._holistic if config.mode == "implicit" else self._together
        return [{**row, **config.named(await ask(row, judge, shown) | cuts)}]

    async def _holistic(self, row: Row, judge: Judge, shown: Mapping[str, str]) -> Row:
        messages = self._render(judge, **shown, rubric=_quoted(row, judge))
        answer = await judge.verdict(messages, read_plain_score)
        score = answer.parsed.score
        return _columns(score=(score - 1) / 9, raw=(answer.text,), attempts=answer.attempts, holistic=score)

    async def _together(self, row: Row, judge: Judge, shown: Mapping[str, str]) -> Row:
        items = row["rubric"]
        form = "json" if judge.ctx.engine("judge").offers(JSON_SCHEMA) else "lines"
        messages = self._render(judge, **shown, rubric=_quoted(row, judge), n=len(items), form=form)
        schema = verdicts_schema(len(items)) if form == "json" else None

        def parse(reply: str) -> list[bool | None]:
            verdicts = read_verdicts(reply, len(items))
            if rubric_score(verdicts, _weights(items)) is None:
                raise Unusable("no item to fulfil has a verdict that can be read", "too_few")
            return verdicts

        answer = await judge.verdict(messages, parse, json_schema=schema)
        return _explicit(answer.parsed, items, (answer.text,), answer.attempts)

    async def _each(self, row: Row, judge: Judge, shown: Mapping[str, str], cuts: Row) -> Row | Reject:
        """Ask about each item; the conversation and the response come first, so that the prefix is shared."""
        items, problem = row["rubric"], "none could be read"
        answers: list[Answer[Verdict] | None] = []
        form = "json" if judge.ctx.engine("judge").offers(JSON_SCHEMA) else "lines"
        for number, item in enumerate(items):
            criterion = quote("CRITERION", item["text"], judge.quoting).text
            messages = self._render(judge, **shown, criterion=criterion, form=form)
            schema = VERDICT_SCHEMA if form == "json" else None
            try:
                answers.append(await judge.verdict(messages, parse_verdict, number, schema))
            except RowError as e:
                if e.code not in _UNREAD:
                    raise
                answers.append(None)
                problem = e.message
        verdicts = [a.parsed.yes if a else None for a in answers]
        attempts = sum(a.attempts if a else self.config.attempts for a in answers)
        made = _explicit(verdicts, items, [a.text if a else None for a in answers], attempts)
        if made["rubric_score"] is None or 2 * made["rubric_valid_n"] < len(items):
            told = f"{made['rubric_valid_n']} of {len(items)} items have a verdict that can be read; {problem}"
            return Reject({**row, **self.config.named(made | cuts)}, "rubric.too_few", told)
        return {**row, **self.config.named(made | cuts)}

    def _render(self, judge: Judge, **variables: str | int) -> tuple[Message, ...]:
        return judge.ctx.prompt(self.prompt_names[0]).render(**variables)


def _quoted(row: Row, judge: Judge) -> str:
    return quote("RUBRIC", rubric_lines(row["rubric"]), judge.quoting).text


def _weights(items: Sequence[Row]) -> list[float]:
    return [float(item["weight"]) for item in items]


def _explicit(verdicts: Sequence[bool | None], items: Sequence[Row], raw: Sequence[str | None], attempts: int) -> Row:
    found = rubric_score(verdicts, _weights(items))
    made = _columns(score=found.score if found else None, raw=raw, attempts=attempts)
    made |= {"rubric_verdicts": list(verdicts), "rubric_valid_n": sum(v is not None for v in verdicts)}
    return made | ({"rubric_earned": found.earned, "rubric_possible": found.possible} if found else {})


def _columns(
    *,
    score: float | None,
    raw: Sequence[str | None],
    attempts: int = 0,
    holistic: int | None = None,
    empty: bool = False,
) -> Row:
    return {
        "rubric_score": score,
        "rubric_verdicts": None,
        "rubric_valid_n": None,
        "rubric_earned": None,
        "rubric_possible": None,
        "rubric_holistic": holistic,
        "rubric_raw": list(raw),
        "rubric_judge_attempts": attempts,
        "rubric_empty": empty,
    }
