"""Let a judge rate the responses to a prompt from 1 to 5 in several aspects, and average the aspects.

Paper: UltraFeedback, arXiv:2310.01377: helpfulness, honesty, instruction following, truthfulness, the responses of a
prompt rated together in one request for each aspect; Tülu 3 and Olmo 3 choose pairs by the mean. Levels and wording
(prompts/rate_aspects) are ours. Widely used code turns N/A into -1 and what it cannot read into 1; here both are null.
The stage does not know which aspect matters for a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Json,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    derive_seed,
    messages_of,
)
from stages.judging.aspect_replies import RATINGS_SCHEMA, Rating, mean_rating, parse_ratings
from stages.replies.asking import Asking, Unusable, ask
from stages.replies.transcripts import show_conversation, show_text

Aspect = Literal["helpfulness", "honesty", "instruction_following", "truthfulness"]
ASPECTS: tuple[Aspect, ...] = ("helpfulness", "honesty", "instruction_following", "truthfulness")
_ATTEMPTS = 1000
_MOST_RESPONSES = 1000
_QUOTING, _ORDER = 1 << 40, (1 << 40) + 1
"""Draws of the seeds of quotations and of the order, apart from those of the attempts."""


class RateAspectsConfig(StageConfig):
    """Options of `rate_aspects`."""

    aspects: tuple[Aspect, ...] = ASPECTS
    together: bool = True
    """Show all responses to a prompt in one request for each aspect, in an order drawn for the prompt; `false` asks
    about each response by itself, which costs as many requests as there are responses but has no order."""
    format: Literal["auto", "text"] = "auto"
    """`auto`: JSON where the engine can hold a reply to a schema, else blocks of lines; `text`: always blocks."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(2048, ge=1)
    attempts: int = Field(3, ge=1, le=_ATTEMPTS)
    """Requests at most for one reply that rates all it was shown; if none does, the one that rates most is taken."""
    max_prompt_characters: int | None = Field(None, ge=50)
    """Of a longer prompt the last turns are shown, and `aspects_cut` is true; None for all."""
    max_response_characters: int | None = Field(None, ge=50)
    """Of a longer response the beginning is shown, and `aspects_cut` is true; None for all."""

    @model_validator(mode="after")
    def _aspects_are_distinct(self) -> Self:
        if not self.aspects or len(set(self.aspects)) < len(self.aspects):
            raise ValueError("aspects: name each aspect once, and at least one")
        return self

    @model_validator(mode="after")
    def _attempts_differ(self) -> Self:
        if self.temperature == 0 and self.attempts > 1:
            raise ValueError("at temperature 0 another attempt gives the same reply; set attempts: 1, or raise it")
        return self


class RateAspects(RowStage):
    """Adds a list for each aspect, beside `response_ids`: 1 to 5, null for N/A and for a rating that is missing.

    `aspect_mean` is the mean of a response's ratings that are there, null if none is. `missing_ratings` counts the
    aspects whose rating could not be read, so that they can be told from N/A. `shown_at` is the place, from 1, at which
    a response was shown. `<aspect>_rationale` says why, `<aspect>_raw` is the reply that was read (numbered by
    `shown_at`): one text, or with `together: false` one for each response.

    Reject codes:
        aspects.no_prompt: the prompt is null or holds no turn.
        aspects.bad_group: there are no responses, their ids are not distinct or not as many, or one has no text.
        aspects.no_ratings: no response got a rating; what the judge replied is kept with the reject.
    """

    name: ClassVar[str] = "rate_aspects"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = RateAspectsConfig

    inputs = columns(prompt_id=str, prompt=MESSAGES, response_ids=list[str], responses=list[str])
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA,)}

    config: RateAspectsConfig

    def __init__(self, config: RateAspectsConfig) -> None:
        """Declare the columns and templates of the aspects."""
        super().__init__(config)
        self.prompt_names = tuple(f"{a}.v1" for a in config.aspects)
        named: dict[str, Any] = {a: list[int] for a in config.aspects}
        named |= {f"{a}_rationale": list[str] for a in config.aspects}
        named |= {f"{a}_raw": str if config.together else list[str] for a in config.aspects}
        self.outputs = columns(
            **named,
            aspect_mean=list[float],
            missing_ratings=list[int],
            shown_at=list[int],
            aspects_judge=str,
            aspects_cut=bool,
        )

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Count one request for each aspect, or for each aspect of each response."""
        aspects = Factor("aspects", len(self.config.aspects))
        return {"judge": (aspects,) if self.config.together else (aspects, Factor("n"))}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask about one prompt's responses, one aspect after the other."""
        if not row["prompt"]:
            raise RowError("aspects.no_prompt", "the column 'prompt' is null or holds no turn")
        group = _group_of(row, ctx.seed(row["id"], _ORDER))
        shown = self._shown(row, group, ctx)
        rated = {aspect: await self._rated(k, aspect, shown, row, ctx) for k, aspect in enumerate(self.config.aspects)}
        out: Row = {**row, "aspects_judge": ctx.engine("judge").model, "aspects_cut": shown.cut, "shown_at": group.at}
        by_aspect: list[list[int | None]] = []
        missing = [0] * len(group.at)
        for aspect, replies in rated.items():
            ratings, raws = [r for reply in replies for r in reply.ratings], [reply.raw for reply in replies]
            own = [ratings[place - 1] for place in group.at]
            missing = [m + (r is None) for m, r in zip(missing, own, strict=True)]
            by_aspect.append([r.score if r else None for r in own])
            out[aspect] = by_aspect[-1]
            out[f"{aspect}_rationale"] = [r.rationale if r else None for r in own]
            out[f"{aspect}_raw"] = raws[0] if self.config.together else [raws[place - 1] for place in group.at]
        out |= {"aspect_mean": [mean_rating(s) for s in zip(*by_aspect, strict=True)], "missing_ratings": missing}
        if all(mean is None for mean in out["aspect_mean"]):
            message = f"{sum(missing)} of {len(by_aspect) * len(missing)} ratings could not be read, the others are N/A"
            problems = sorted({reply.problem for replies in rated.values() for reply in replies if reply.problem})
            message += "".join(f"; {problem}" for problem in problems[:1])
            return [Reject(out, "aspects.no_ratings", message)]
        return [out]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how ratings fell by aspect, and by the place at which a response was shown."""
        aspects = self.config.aspects
        counts: dict[str, Counter[int | None]] = {a: Counter() for a in aspects}
        by_place: dict[int, list[float]] = {}
        missing = 0
        for batch in books.rows([*aspects, "aspect_mean", "missing_ratings", "shown_at"]):
            for row in batch.to_pylist():
                missing += sum(row["missing_ratings"])
                for aspect in aspects:
                    counts[aspect].update(row[aspect])
                for place, mean in zip(row["shown_at"], row["aspect_mean"], strict=True):
                    by_place.setdefault(place, []).extend([] if mean is None else [mean])
        if not by_place:
            return ()
        absent = sum(c[None] for c in counts.values())
        note = f"Of the {absent:,} without a rating {missing:,} could not be read, {absent - missing:,} are N/A."
        rows = tuple((a, *(counts[a][n] for n in range(1, 6)), counts[a][None], _mean(counts[a])) for a in aspects)
        headings = ("aspect", "1", "2", "3", "4", "5", "none", "mean")
        places = tuple((p, len(m), fmean(m) if m else None) for p, m in sorted(by_place.items()))
        tables = [ReportTable("Ratings by aspect", headings, rows, note)]
        if self.config.together:
            told = "The order is drawn, so that places should not differ by more than chance."
            tables.append(ReportTable("Ratings by place", ("shown at", "responses", "mean"), places, told))
        return tables

    def _shown(self, row: Row, group: _Group, ctx: StageContext) -> _Shown:
        config, seed = self.config, ctx.seed(row["id"], _QUOTING)
        conversation = show_conversation(messages_of(row["prompt"]), seed, config.max_prompt_characters)
        responses = [show_text("RESPONSE", text, seed, config.max_response_characters) for text in group.texts]
        cut = conversation.cut or any(r.cut for r in responses)
        return _Shown(conversation.text, tuple(r.text for r in responses), cut)

    async def _rated(self, number: int, aspect: str, shown: _Shown, row: Row, ctx: StageContext) -> list[_MostComplete]:
        """Return the replies about one aspect; together they rate the responses in the order shown."""
        parts = [shown.responses] if self.config.together else [(text,) for text in shown.responses]
        return [
            await self._asked(number * _MOST_RESPONSES + k, aspect, shown.conversation, part, row["id"], ctx)
            for k, part in enumerate(parts)
        ]

    async def _asked(
        self, number: int, aspect: str, conversation: str, part: Sequence[str], row_id: str, ctx: StageContext
    ) -> _MostComplete:
        config, judge = self.config, ctx.engine("judge")
        schema = RATINGS_SCHEMA if config.format == "auto" and judge.offers(JSON_SCHEMA) else None
        messages = ctx.prompt(f"{aspect}.v1").render(
            conversation=conversation, responses=list(part), count=len(part), form="json" if schema else "text"
        )
        how = Asking(judge, config.temperature, config.max_tokens, config.attempts, "aspects", schema)
        best = _MostComplete(len(part))
        try:
            await ask(how, messages, lambda k: ctx.seed(row_id, number * _ATTEMPTS + k), best.take)
        except RowError as e:
            if not e.code.startswith("aspects."):
                raise
            best.problem = e.message
        return best


class _MostComplete:
    """Of several replies to one question, keeps the one that rates most responses; the first of equals."""

    def __init__(self, count: int) -> None:
        self.ratings: list[Rating | None] = [None] * count
        self.raw: str | None = None
        self.problem: str | None = None

    def take(self, reply: str) -> None:
        """Read a reply; refuse it, so that the judge is asked again, if a rating is missing."""
        if self.raw is None:
            self.raw = reply
        found = parse_ratings(reply, len(self.ratings))
        missing = found.count(None)
        if missing < self.ratings.count(None):
            self.ratings, self.raw = found, reply
        if missing:
            raise Unusable(f"{missing} of {len(found)} ratings are missing")


@dataclass(frozen=True, slots=True)
class _Group:
    """A prompt's responses in the order shown, and the place, from 1, of each response of the row."""

    texts: tuple[str, ...]
    at: list[int]


@dataclass(frozen=True, slots=True)
class _Shown:
    conversation: str
    responses: tuple[str, ...]
    cut: bool


def _group_of(row: Row, seed: int) -> _Group:
    """Order a prompt's responses by their ids and the seed alone, whatever the order in the row."""
    ids, texts = row["response_ids"] or [], row["responses"] or []
    if not ids or None in ids or len(set(ids)) < len(ids) or len(ids) > _MOST_RESPONSES:
        least = f"expected 1 to {_MOST_RESPONSES:,} ids, all distinct and none null"
        raise RowError("aspects.bad_group", f"{len(ids)} response ids, {len(set(ids))} of them distinct; {least}")
    if len(texts) != len(ids) or not all((text or "").strip() for text in texts):
        raise RowError("aspects.bad_group", f"{len(ids)} response ids, {len(texts)} responses, or one without text")
    order = sorted(zip(ids, texts, strict=True), key=lambda r: (derive_seed(seed, r[0]), r[0]))
    places = {response_id: place for place, (response_id, _) in enumerate(order, start=1)}
    return _Group(tuple(text for _, text in order), [places[response_id] for response_id in ids])


def _mean(counts: Counter[int | None]) -> Json:
    given = [(n, c) for n, c in counts.items() if n is not None]
    total = sum(c for _, c in given)
    return sum(n * c for n, c in given) / total if total else None
