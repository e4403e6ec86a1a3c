"""Ask a verifier about one rule and one response, and read its verdict; a reply that says none is asked again.

The conversation comes first and the rule last, so that an engine with a prefix cache reads the conversation once for
all rules; the release's order puts the rule first. An engine that chooses among texts, or that scores a given text,
gives the probability of each verdict. Knows one response; what its verdicts add up to is in `stages.rules.rule_scores`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pipeline.api import (
    CHOICE,
    JSON_SCHEMA,
    GenRequest,
    Json,
    Message,
    RowError,
    ScoreRequest,
    StageContext,
    canonical_json,
)
from stages.replies.asking import Asking, ask
from stages.replies.together import all_of
from stages.rules.rule_sets import Rule
from stages.rules.verdict_replies import CHOICES, NO, VERDICT_SCHEMA, VERDICTS, YES, parse_verdict, release_verdict

ATTEMPTS = 1000
"""Most attempts for one rule; each rule draws its seeds from a range of that many."""
AREA = "rules."
Layout = Literal["conversation_first", "release"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier said of one rule.

    Attributes:
        value: 1 yes, 0 no, -1 not applicable, None if no reply could be read.
        p_yes: probability of yes over yes and no, where the engine tells; None where it does not, or both are 0.
        raw: the last complete reply, None if every one was cut off; or the log-probabilities of the verdicts, as JSON.
            In the release's layout the one reply, complete or not.
    """

    value: int | None
    p_yes: float | None
    raw: str | None


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask, the same for all rules of a row."""

    layout: Layout
    short: bool
    scored: bool
    free_reply: bool
    concise: bool
    temperature: float
    retry_temperature: float
    max_tokens: int
    attempts: int


@dataclass(frozen=True, slots=True)
class RuleQuestions:
    """Asks the role `verifier` about one row."""

    ctx: StageContext
    row_id: str
    manner: Manner
    conversation: str
    response: str

    async def verdict_on(self, rule: Rule, number: int) -> Verdict:
        """Return the verdict on a rule; `number` is its place in the set, and its seeds depend on it.

        Raises:
            RowError: what the engine itself refuses; a reply without a verdict is no error.
        """
        engine, manner = self.ctx.engine("verifier"), self.manner
        if manner.scored:
            return await self._scored(rule)
        if manner.layout == "release":
            return await self._released(rule, number)
        held = not manner.free_reply
        if held and engine.offers(CHOICE):
            return await self._chosen(rule, number)
        as_json = held and not manner.short and engine.offers(JSON_SCHEMA)
        replies = _Replies()
        schema = VERDICT_SCHEMA if as_json else None
        messages = self._messages(rule, "json" if as_json else "marks")
        value = await self._asked(messages, number, replies, schema)
        return Verdict(value, None, replies.last)

    async def _asked(
        self, messages: tuple[Message, ...], number: int, replies: _Replies, schema: Mapping[str, Json] | None
    ) -> int | None:
        """Ask once at `temperature`, then again at `retry_temperature`, since greedy replies do not change."""
        rounds = [(self.manner.temperature, 1, 0), (self.manner.retry_temperature, self.manner.attempts - 1, 1)]
        for temperature, attempts, before in rounds:
            how = Asking(self.ctx.engine("verifier"), temperature, self.manner.max_tokens, attempts, "rules", schema)
            first = number * ATTEMPTS + before
            try:
                return (await ask(how, messages, partial(self._seed, first), replies.read)).parsed
            except RowError as e:
                if not e.code.startswith(AREA):  # the engine's own refusals concern the whole row
                    raise
        return None

    def _seed(self, first: int, attempt: int) -> int:
        return self.ctx.seed(self.row_id, first + attempt)

    async def _released(self, rule: Rule, number: int) -> Verdict:
        """Ask once and read whatever comes, an empty reply, a refusal or one that was cut off too, as the release."""
        request = GenRequest(
            messages=self._messages(rule, "marks"),
            max_tokens=self.manner.max_tokens,
            temperature=self.manner.temperature,
            seed=self._seed(number * ATTEMPTS, 0),
        )
        reply = (await self.ctx.engine("verifier").generate(request)).samples[0].text
        return Verdict(release_verdict(reply), None, reply.encode("utf-8", "replace").decode())

    async def _chosen(self, rule: Rule, number: int) -> Verdict:
        request = GenRequest(
            messages=self._messages(rule, "marks"),
            max_tokens=self.manner.max_tokens,
            temperature=self.manner.temperature,
            seed=self._seed(number * ATTEMPTS, 0),
            choices=CHOICES,
        )
        sample = (await self.ctx.engine("verifier").generate(request)).samples[0]
        try:
            value: int | None = parse_verdict(sample.text)
        except ValueError:
            value = None
        return Verdict(value, probability_of_yes(sample.choice_logprobs), sample.text)

    async def _scored(self, rule: Rule) -> Verdict:
        """Take the verdict that is the likeliest reply; `raw` keeps the log-probability of each."""
        engine, messages = self.ctx.engine("verifier"), self._messages(rule, "marks")
        found = await all_of([engine.score_tokens(ScoreRequest(mark, messages)) for mark in CHOICES])
        logprobs = [f.logprob for f in found]
        if not all(math.isfinite(value) for value in logprobs):
            return Verdict(None, None, None)
        raw = canonical_json(dict(zip(CHOICES, logprobs, strict=True))).decode()
        return Verdict(VERDICTS[logprobs.index(max(logprobs))], probability_of_yes(logprobs), raw)

    def _messages(self, rule: Rule, form: str) -> tuple[Message, ...]:
        shown = {"conversation": self.conversation, "response": self.response}
        asked = {"rule": rule.text, "concise": self.manner.concise}
        if self.manner.layout == "release":
            return self.ctx.prompt("release.v1").render(**shown, **asked)
        if self.manner.short:
            return self.ctx.prompt("verdict_short.v1").render(**shown, **asked)
        return self.ctx.prompt("verdict.v1").render(**shown, **asked, form=form)


@dataclass(slots=True)
class _Replies:
    """Reads replies and remembers the last."""

    last: str | None = field(default=None)

    def read(self, reply: str) -> int:
        self.last = reply
        return parse_verdict(reply)


def probability_of_yes(logprobs: Sequence[float] | None) -> float | None:
    """Return P(yes) / (P(yes) + P(no)) from the log-probabilities (nats) of `CHOICES`, in their order.

    None where there are none or one is NaN, or where neither has a probability.
    """
    if logprobs is None:
        return None
    yes, no = (logprobs[VERDICTS.index(v)] for v in (YES, NO))
    if math.isnan(yes + no) or max(yes, no) == -math.inf:
        return None
    return 1.0 / (1.0 + math.exp(no - yes)) if no - yes < 700 else 0.0
