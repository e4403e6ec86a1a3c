"""Let the policy improve its own answer, several times in a row, and keep every turn.

Paper: EVOLVE, arXiv:2502.05605. What is confirmed of it is its abstract: base models do not refine by themselves, a
chain of self-refinements makes the candidates, and a reward model or a rule picks pairs from them for training on
direct answers and on refinement together. The transition prompt, the keeping of the better answer and all details are
ours (4.1 of our training notes). The stage does not choose pairs, and does not know whether a refinement is better
unless a scorer is asked.

An answer goes back to the policy as its own turn, not as quoted text: that conversation is what is trained on later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    MESSAGES,
    REWARD,
    SCORE_TOKENS,
    Factor,
    GenRequest,
    Message,
    PoolRequest,
    PrerequisiteError,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    Sample,
    ScoreRequest,
    StageBooks,
    StageConfig,
    StageContext,
    Yield,
    columns,
    messages_of,
)
from stages.sampling.chain_report import CHAIN_COLUMNS, chain_tables
from stages.sampling.refinement import parted, same_answer, why_no_answer
from stages.sampling.sample_responses import problem_of, with_system
from stages.selection.refusals import refusal
from stages.selection.speech import own_words
from stages.sources.records import readable

_SCORER = {"reward": REWARD, "mean_logprob": SCORE_TOKENS}


class RefineResponsesConfig(StageConfig):
    """Options of `refine_responses`."""

    rounds: int = Field(3, ge=1, le=20)
    """Refinements of each draft, one request each."""
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    system: str | None = Field(None, min_length=1)
    """System text put in front of a prompt that has none, for sampling only; give what `sample_responses` was given."""
    keep_if_better: Literal["none", "reward", "mean_logprob"] = "none"
    """What the next round starts from: `none` the last answer; else the best so far, as the role `scorer` tells by the
    reward of an answer, or by its mean log-probability per token (nats) after the prompt alone."""


class RefineResponses(RowStage):
    """Makes one row per turn: the draft as turn 1, then a row for each refinement; all are candidates of the prompt.

    `chain_id` is the draft's id, `parent_turn` the turn that was refined (null for the draft), `transition` the
    request for an improvement, on each row. A refinement's row is the draft's with the columns below set anew; what
    other stages said of the draft stays on it, so score and filter after this stage. `response_raw` is the whole reply
    where a line that announced the answer was taken off. `identical` says that it equals its parent but for white
    space, `refuses` that it refuses, `refusal_flip` that one of both refuses (all but `refuses` null for the draft).
    `score` is null without a scorer; `kept` says that the next round starts from the turn.

    A turn that fails is set aside with those after it; the turns before it stay. A refinement that was cut off stays,
    with `finish_reason` `length`, and ends the chain. So each draft gives `rounds` + 1 rows and rejects.

    Reject codes (the first two for the whole row; `response` is what was replied, if anything):
        refine.no_draft: the response to be refined is null or white space.
        refine.unscored: the scorer gave no finite number for the answer; of the draft, the whole row.
        refine.empty: the reply is empty or white space.
        refine.filtered: the provider's content filter cut the reply.
        refine.bad_text: the reply holds lone surrogates, which no UTF-8 file can.
        refine.no_refinement: the reply speaks of the request, or asks for what to improve, but improves nothing.
        refine.chain_ended: not asked, since an earlier turn failed or was cut off.
    What the engine refuses (a conversation beyond its context, say) keeps the engine's code.
    """

    name: ClassVar[str] = "refine_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = RefineResponsesConfig
    fan_out: ClassVar[bool] = True
    copies_prompt: ClassVar[bool] = True

    inputs = columns(prompt=MESSAGES, response=str)
    outputs = columns(
        prompt_id=str,
        chain_id=str,
        turn=int,
        parent_turn=int,
        response=str,
        response_raw=str,
        finish_reason=str,
        response_tokens=int,
        prompt_tokens=int,
        identical=bool,
        refuses=bool,
        refusal_flip=bool,
        score=float,
        kept=bool,
        transition=str,
        policy_logprob=float,
        policy_scored_by=str,
        policy_model=str,
        sample_seed=int,
    )
    prompt_names: Sequence[str] = ("transition.v1",)

    config: RefineResponsesConfig

    def __init__(self, config: RefineResponsesConfig) -> None:
        """Ask for a scorer only where answers are compared."""
        super().__init__(config)
        scorer = _SCORER.get(config.keep_if_better)
        self.engine_roles: Mapping[str, str] = {"policy": CHAT} | ({"scorer": scorer} if scorer else {})

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return a request for each round, and a score for each turn where answers are compared."""
        return {role: (Factor("rounds", self.config.rounds + (role == "scorer")),) for role in self.engine_roles}

    def yields(self) -> Yield:
        """Return the draft and a row for each round."""
        return Yield((Factor("turns", self.config.rounds + 1),))

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Refine one draft, round after round."""
        if not (row["response"] or "").strip():
            raise RowError("refine.no_draft", "the response is null or white space; there is nothing to refine")
        start = _Start(row, messages_of(row["prompt"]), _transition(ctx))
        best = _Turn(1, row["response"], await self._score(start, row["response"], ctx))
        out: list[Row | Reject] = [start.draft(best.score)]
        last = self.config.rounds + 1
        for number in range(2, last + 1):
            item = await self._round(start, best, number, ctx)
            out.append(item)
            if isinstance(item, Reject) or item["finish_reason"] == "length":
                out += [start.not_asked(later, number) for later in range(number + 1, last + 1)]
                break
            if item["kept"]:
                best = _Turn(number, item["response"], item["score"])
        return out

    async def _round(self, start: _Start, best: _Turn, number: int, ctx: StageContext) -> Row | Reject:
        """Ask for one refinement of the best answer so far and judge the reply."""
        config, engine, seed = self.config, ctx.engine("policy"), ctx.seed(start.row["id"], number)
        told = start.shared(number, best.number) | {"policy_model": engine.model, "sample_seed": seed}
        request = GenRequest(
            messages=start.conversation(best.text, config.system),
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=seed,
        )
        try:
            result = await engine.generate(request)
            told["prompt_tokens"] = result.prompt_tokens
            told |= _reply(result.samples[0], start.transition)
            score = told["score"] = await self._score(start, told["response"], ctx)
        except _Unfit as e:
            return Reject(told | e.evidence, e.code, e.message)
        except RowError as e:
            return Reject(told, e.code, e.message)
        better = score is None or best.score is None or score > best.score
        return told | _compared(told["response"], best.text) | {"kept": better}

    async def _score(self, start: _Start, answer: str, ctx: StageContext) -> float | None:
        """Return how good an answer is, None if nobody is asked.

        Raises:
            RowError: `refine.unscored`, or what the engine says.
        """
        if self.config.keep_if_better == "none":
            return None
        scorer = ctx.engine("scorer")
        if self.config.keep_if_better == "reward":
            whole = (*start.prompt, _turn("assistant", answer))
            values = (await scorer.pool(PoolRequest(task="reward", messages=whole))).values
        else:
            scored = await scorer.score_tokens(ScoreRequest(response=answer, messages=start.prompt))
            values = (scored.logprob / scored.tokens,) if scored.tokens else ()
        if len(values) != 1 or not math.isfinite(values[0]):
            raise RowError("refine.unscored", f"'{scorer.model}' gave {list(values)[:4]}; expected one finite number")
        return values[0]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Tell, by turn, how often refinements repeat, refuse, grow and win."""
        return chain_tables(books.rows(CHAIN_COLUMNS), self.config.keep_if_better != "none")


@dataclass(frozen=True, slots=True)
class _Turn:
    """The answer that the next round starts from."""

    number: int
    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class _Start:
    """A draft, its prompt, and how an improvement is asked for."""

    row: Row
    prompt: tuple[Message, ...]
    transition: str

    def conversation(self, answer: str, system: str | None) -> tuple[Message, ...]:
        """Return the prompt, an answer to it, and the request for a better one."""
        return (*with_system(self.prompt, system), _turn("assistant", answer), _turn("user", self.transition))

    def draft(self, score: float | None) -> Row:
        """Return the draft's row, with all that was known of it."""
        refuses = refusal(own_words(self.row["response"])) is not None
        known = {name: self.row.get(name) for name in RefineResponses.outputs.names}
        none = dict.fromkeys(("response_raw", "identical", "refusal_flip"))
        told = {"score": score, "refuses": refuses, "kept": True}
        return self.row | known | none | told | self._place(1, None)

    def shared(self, turn: int, parent: int | None) -> Row:
        """Return a later turn's row without its reply: null stands where the draft's own figures were."""
        return self.row | dict.fromkeys(RefineResponses.outputs.names) | self._place(turn, parent)

    def _place(self, turn: int, parent: int | None) -> Row:
        return {
            "prompt_id": self.row.get("prompt_id") or self.row["id"],
            "chain_id": self.row["id"],
            "turn": turn,
            "parent_turn": parent,
            "transition": self.transition,
        }

    def not_asked(self, turn: int, after: int) -> Reject:
        """Return the reject of a turn that a chain did not reach."""
        return Reject(
            self.shared(turn, None), "refine.chain_ended", f"not asked: turn {after} failed or was cut off before it"
        )


class _Unfit(RowError):
    """A reply that is no refinement; `evidence` goes into the reject's row."""

    def __init__(self, code: str, message: str, evidence: Row) -> None:
        super().__init__(code, message)
        self.evidence = evidence


def _transition(ctx: StageContext) -> str:
    """Return the request for an improvement.

    Raises:
        PrerequisiteError: if the template is not one user turn.
    """
    turns = ctx.prompt("transition.v1").render()
    if [m["role"] for m in turns] != ["user"]:
        raise PrerequisiteError("prompt template 'transition.v1' must be one user turn, as the shipped one is")
    return turns[0]["content"]


def _reply(sample: Sample, transition: str) -> Row:
    """Return what a reply says.

    Raises:
        _Unfit: if it holds no refinement.
    """
    told = {
        "response": readable(sample.text),
        "finish_reason": sample.finish_reason,
        "response_tokens": sample.tokens,
    }
    problem = problem_of(sample)
    if problem is not None:
        raise _Unfit(f"refine.{problem[0].partition('.')[2]}", problem[1], told)
    reply = parted(sample.text)
    lacking = why_no_answer(reply.answer, transition)
    if lacking is not None:
        raise _Unfit("refine.no_refinement", f"the reply is no improved answer: {lacking}", told)
    return told | {"response": reply.answer, "response_raw": sample.text if reply.announcement else None}


def _compared(answer: str, parent: str) -> Row:
    refuses, refused = (refusal(own_words(text)) is not None for text in (answer, parent))
    return {"identical": same_answer(answer, parent), "refuses": refuses, "refusal_flip": refuses != refused}


def _turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}
