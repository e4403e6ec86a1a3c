"""Sort prompts into chat, reasoning and safety, so that criteria and exemplars can fit them.

Paper: CDR / Dr.SoW, arXiv:2411.02481 (the router of its customised part: a large model, greedy; what it does not name
is chat). The wording is ours. Only the last user turn is shown. A reply that names no domain falls back to chat, as in
the paper's code, and the row says so. The stage does not know what the domain is used for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from pipeline.api import (
    CHAT,
    CHOICE,
    JSON_SCHEMA,
    MESSAGES,
    BoundEngine,
    GenRequest,
    Message,
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
from stages.annotation.domains import DOMAIN_SCHEMA, DOMAINS, Domain, parse_domain
from stages.replies.asking import Unusable
from stages.replies.transcripts import show_text

FALLBACK: Domain = "chat"
_QUOTING = 1 << 30
"""Draw of the quotation's seed, apart from those of the attempts."""
_OF_THE_PROMPT = frozenset({"engine.filtered", "engine.context_exceeded"})
"""Refusals that a prompt brings on itself; an outage is none, and decides no domain."""


class RouteDomainsConfig(StageConfig):
    """Options of `route_domains`."""

    max_question_characters: int = Field(4000, ge=100)
    """A longer turn is shown up to a paragraph or sentence, and flagged `domain_cut`."""
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(32, ge=1)
    attempts: int = Field(1, ge=1, le=1000)
    """Requests at most for one prompt; more than one makes sense with a temperature above 0."""


@dataclass(frozen=True, slots=True)
class _Routed:
    """What the router said last, and the domain that it named; None where it named none."""

    domain: Domain | None
    raw: str | None


class RouteDomains(RowStage):
    """Adds `domain` (chat, reasoning or safety) and what stands behind it; takes rows of prompts or of responses.

    `router_raw` is the router's last reply (null where it gave none that can be stored), `domain_fallback` whether it
    named no domain so that chat was taken, `domain_cut` whether it saw a part of the turn only. An engine that is out
    of reach leaves a reject that a later start tries again, never a fallback.

    Reject codes:
        route.no_user_turn: the prompt does not end with a user turn.
    """

    name: ClassVar[str] = "route_domains"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = RouteDomainsConfig

    inputs = columns(prompt=MESSAGES)
    outputs = columns(domain=str, router_raw=str, domain_fallback=bool, domain_cut=bool)
    engine_roles: Mapping[str, str] = {"router": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"router": (CHOICE, JSON_SCHEMA)}
    prompt_names: Sequence[str] = ("route.v1",)

    config: RouteDomainsConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the domain of one prompt."""
        last = messages_of(row["prompt"])[-1]
        if last["role"] != "user":
            raise RowError("route.no_user_turn", f"the last turn has role '{last['role']}'; expected 'user'")
        owner = row.get("prompt_id") or row["id"]  # candidates of one prompt put equal requests
        seed = ctx.seed(owner, _QUOTING)
        shown = show_text("QUESTION", last["content"], seed, self.config.max_question_characters)
        found = await self._route(shown.text, owner, ctx)
        added = {
            "domain": found.domain or FALLBACK,
            "router_raw": found.raw,
            "domain_fallback": found.domain is None,
            "domain_cut": shown.cut,
        }
        return [{**row, **added}]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many rows each domain got, and how many of them by fallback."""
        found: Counter[tuple[str, bool]] = Counter()
        for batch in books.rows(["domain", "domain_fallback"]):
            found.update(zip(*(batch.column(n).to_pylist() for n in ("domain", "domain_fallback")), strict=True))
        rows = [(str(name), found[name, False] + found[name, True], found[name, True]) for name in DOMAINS]
        rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
        shares = ((*row, round(row[2] / row[1], 4) if row[1] else None) for row in rows)
        note = "By fallback: the router named no domain."
        return (ReportTable("Domains", ("domain", "rows", "by fallback", "share"), tuple(shares), note),)

    async def _route(self, quoted: str, owner: str, ctx: StageContext) -> _Routed:
        router = ctx.engine("router")
        form = "json" if not router.offers(CHOICE) and router.offers(JSON_SCHEMA) else "word"
        messages = ctx.prompt("route.v1").render(question=quoted, form=form)
        raw = None
        for attempt in range(self.config.attempts):
            try:
                result = await router.generate(self._request(router, messages, ctx.seed(owner, attempt), form))
            except RowError as e:
                if e.code in _OF_THE_PROMPT:
                    return _Routed(None, raw)
                raise
            raw = result.text if _storable(result.text) else None
            if result.finish_reason == "stop" and raw is not None:
                try:
                    return _Routed(parse_domain(raw), raw)
                except Unusable:
                    continue
        return _Routed(None, raw)

    def _request(self, router: BoundEngine, messages: tuple[Message, ...], seed: int, form: str) -> GenRequest:
        return GenRequest(
            messages=messages,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            seed=seed,
            choices=DOMAINS if router.offers(CHOICE) else (),
            json_schema=DOMAIN_SCHEMA if form == "json" else None,
        )


def _storable(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)
