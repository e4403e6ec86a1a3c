"""Ask which of two responses is better, in the order in which they are given: a judge, or a pair ranker.

A comparison that gives nothing usable is `Unknown` and is left to the caller; only faults of the engine itself go on.
Knows two texts and their prompt; knows nothing about matrices or brackets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from pipeline.api import (
    CHOICE,
    JSON_SCHEMA,
    GenRequest,
    Message,
    RowError,
    ScoreRequest,
    StageContext,
    messages_of,
)
from stages.annotation.rank_pair import rank_pair
from stages.preference.comparison_replies import (
    comparison_schema,
    parse_reasoned,
    parse_word,
    share_of_choices,
    words,
)
from stages.replies.asking import Asking, Unusable, ask
from stages.replies.together import all_of
from stages.replies.transcripts import show_conversation, show_text

_QUOTING = 1 << 30
"""Draw of the quotation's seed, apart from those of the attempts."""
Verdict = Literal["word", "reasoned", "choices", "scoring"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One response of a prompt."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """P(the response shown first is better) in [0, 1], and what it was read from."""

    share: float
    raw: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A comparison without a usable answer, and why it has none."""

    reason: str


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """How a judge is asked; see the options of `rate_preferences`."""

    verdict: Verdict
    allow_ties: bool
    temperature: float
    max_tokens: int
    attempts: int
    max_prompt_characters: int | None
    max_response_characters: int | None


class Comparer(Protocol):
    """Compares two responses in one order."""

    cut: bool
    """Whether something was left out of what was shown so far."""

    async def compare(self, first: Candidate, second: Candidate) -> Comparison | Unknown:
        """Return how far the first is better, or why there is no usable answer."""


class Judge:
    """A chat model that is shown the conversation and two responses.

    Seeds follow from the ids of the two responses, so that the place of a response in its row changes nothing.
    """

    def __init__(self, ctx: StageContext, prompt: object, options: JudgeOptions) -> None:
        """Quote the conversation once.

        Args:
            ctx: with the role `judge` and the templates.
            prompt: the row's prompt.
            options: how to ask.
        """
        self._ctx, self._options = ctx, options
        self._engine = ctx.engine("judge")
        self._messages = messages_of(prompt)  # type: ignore[arg-type]
        self.cut = False

    async def compare(self, first: Candidate, second: Candidate) -> Comparison | Unknown:
        """Ask for one order of two responses."""
        name, options = f"{first.id}\0{second.id}", self._options
        reasoned = options.verdict == "reasoned"
        schema = comparison_schema(options.allow_ties) if reasoned and self._engine.offers(JSON_SCHEMA) else None
        messages = self._render(first, second, "json" if schema else "lines")
        try:
            if options.verdict == "scoring":
                return await self._score(messages)
            if options.verdict == "choices" or (options.verdict == "word" and self._engine.offers(CHOICE)):
                return await self._choose(messages, name)
            parse = partial(parse_reasoned if reasoned else parse_word, ties=options.allow_ties)
            how = Asking(self._engine, options.temperature, options.max_tokens, options.attempts, "preference", schema)
            answer = await ask(how, messages, lambda attempt: self._ctx.seed(name, attempt), parse)
            return Comparison(answer.parsed, answer.text)
        except RowError as e:
            return Unknown(f"{e.code}: {e.message}")
        except Unusable as e:
            return Unknown(str(e))

    def _render(self, first: Candidate, second: Candidate, form: str) -> tuple[Message, ...]:
        options, seed = self._options, self._ctx.seed(f"{first.id}\0{second.id}", _QUOTING)
        conversation = show_conversation(self._messages, seed, options.max_prompt_characters)
        one = show_text("FIRST", first.text, seed, options.max_response_characters)
        other = show_text("SECOND", second.text, seed, options.max_response_characters)
        self.cut = self.cut or conversation.cut or one.cut or other.cut
        reasoned = options.verdict == "reasoned"
        further = {"form": form} if reasoned else {}
        return self._ctx.prompt("reasoned.v1" if reasoned else "word.v1").render(
            conversation=conversation.text, first=one.text, second=other.text, ties=options.allow_ties, **further
        )

    async def _choose(self, messages: tuple[Message, ...], name: str) -> Comparison:
        """Have one of the words chosen, and take its probability if wanted; such a reply is never asked for again."""
        options = self._options
        request = GenRequest(
            messages=messages,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
            seed=self._ctx.seed(name),
            choices=words(options.allow_ties),
        )
        sample = (await self._engine.generate(request)).samples[0]
        if options.verdict == "choices":
            return _soft(sample.choice_logprobs or ())
        return Comparison(parse_word(sample.text, options.allow_ties), sample.text)

    async def _score(self, messages: tuple[Message, ...]) -> Comparison:
        """Ask for the log-probability of each word as the beginning of the reply."""
        wanted = words(self._options.allow_ties)
        requests = [ScoreRequest(response=word, messages=messages, include_eos=False) for word in wanted]
        return _soft([r.logprob for r in await all_of(self._engine.score_tokens(request) for request in requests)])


class Ranker:
    """A pair ranker, by `rank_pair`."""

    cut = False

    def __init__(self, ctx: StageContext, prompt: object) -> None:
        """Take the role `ranker` and the row's prompt."""
        self._engine = ctx.engine("ranker")
        self._messages = messages_of(prompt)  # type: ignore[arg-type]

    async def compare(self, first: Candidate, second: Candidate) -> Comparison | Unknown:
        """Rank one order of two responses."""
        try:
            share = await rank_pair(self._engine, self._messages, first.text, second.text)
        except RowError as e:
            return Unknown(f"{e.code}: {e.message}")
        return Comparison(share, repr(share))


def _soft(logprobs: Sequence[float]) -> Comparison:
    return Comparison(share_of_choices(logprobs), json.dumps(list(logprobs)))
