"""Give a share of rows a deliberately poor response: too brief, or long and useless.

Paper: Instruct-SkillMix, arXiv:2408.14774, the ablation in which 20 % of the rows get such answers ("shirkers", section
A2 of the method notes). There the first 200 of 1,000 rows are taken; here rows are drawn by seed and id. With
`mode: add` it is a source of rejected answers. Only a new text is written: scores and log-probabilities that other
stages made of the old one stay where they are, so it belongs before every stage that scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    MESSAGES,
    Factor,
    Json,
    Message,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    Yield,
    columns,
    messages_of,
    quote,
)
from stages.replies.asking import Answer, Asking, Unusable, ask

_TAKEN, _KIND, _QUOTE, _FIRST_ATTEMPT = range(4)
_SEEDS = 2**63


class DegradeResponsesConfig(StageConfig):
    """Options of `degrade_responses`."""

    kind: Literal["brevity", "junk", "mixed"] = "mixed"
    """`brevity`: about one paragraph. `junk`: long, vague, unhelpful. `mixed`: either, by chance for each row."""
    share: float = Field(0.2, ge=0, le=1)
    """Chance of each row to be taken; the paper's ablation is 0.2."""
    mode: Literal["replace", "add"] = "replace"
    """`replace` the response, or `add` a second row with the same `prompt_id` beside the untouched one."""
    brevity_words: int = Field(120, ge=10)
    """Words at most of a brief response; a longer one is asked for again."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(1024, ge=1)
    attempts: int = Field(3, ge=1, le=1000)
    """Requests at most for one response, each with its own seed."""


class DegradeResponses(RowStage):
    """Flags every row: `degraded`, `degradation` (brevity, junk or null), `original_response` (null where untouched).

    The prompt stays as it is. Rows without `prompt_id` get their own id as such. A degraded row says who wrote it in
    `policy_model`; the policy's log-probability and token count do not apply to it and are null.

    Reject codes (the row; with `mode: add` only the row that would have been added):
        degrade.unparsable: every attempt gave an empty reply or text that no file can hold.
        degrade.too_long: the last attempt at a brief response was longer than `brevity_words`.
        degrade.unchanged: the last attempt was the response that was there before.
        degrade.truncated: the last attempt was cut off at `max_tokens`.
        degrade.refusal: the last attempt was stopped by a content filter.
    """

    name: ClassVar[str] = "degrade_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = DegradeResponsesConfig
    fan_out: ClassVar[bool] = True

    inputs = columns(prompt=MESSAGES, response=str)
    outputs = columns(
        prompt_id=str,
        response=str,
        finish_reason=str,
        response_tokens=int,
        policy_logprob=float,
        policy_scored_by=str,
        policy_model=str,
        degraded=bool,
        degradation=str,
        original_response=str,
    )
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    prompt_names: Sequence[str] = ("brevity.v1", "junk.v1")

    config: DegradeResponsesConfig

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return a request for the share of rows that are taken."""
        return {"generator": (Factor("share", self.config.share),)}

    def yields(self) -> Yield:
        """Return one row for one, or a second one for those taken."""
        return Yield((Factor("1 + share", 1 + self.config.share),) if self.config.mode == "add" else ())

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Keep the row, or ask for a poor response to its prompt."""
        kept = self._kept(row)
        if ctx.seed(row["id"], _TAKEN) >= self.config.share * _SEEDS:
            return [kept]
        kind = self.config.kind
        if kind == "mixed":
            kind = "junk" if ctx.seed(row["id"], _KIND) % 2 else "brevity"
        made: Row | Reject
        try:
            answer = await self._ask(row, kind, ctx)
            made = {
                **kept,
                "response": answer.parsed,
                "finish_reason": "stop",
                "response_tokens": None,
                "policy_logprob": None,
                "policy_scored_by": None,
                "policy_model": ctx.engine("generator").model,
                "degraded": True,
                "degradation": kind,
                "original_response": row["response"],
            }
        except RowError as e:
            made = Reject({**row, "degradation": kind}, e.code, e.message)
        return [kept, made] if self.config.mode == "add" else [made]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many rows were degraded in which way, and how long their responses are."""
        lengths: dict[str, list[int]] = {}
        for batch in books.rows(["degradation", "response"]):
            for kind, text in zip(batch["degradation"].to_pylist(), batch["response"].to_pylist(), strict=True):
                lengths.setdefault(kind or "untouched", []).append(len((text or "").split()))
        refused = Counter(r.row.get("degradation") or "untouched" for r in books.rejected())
        rows: list[tuple[Json, ...]] = []
        for kind in sorted(lengths.keys() | refused.keys()):
            words = lengths.get(kind, [])
            share = len(words) / books.rows_out if books.rows_out else None
            rows.append((kind, len(words), share, median(words) if words else None, refused[kind]))
        if not rows:
            return ()
        headings = ("response", "rows", "share", "words, median", "rejects")
        return (ReportTable(f"Degraded responses (chance {self.config.share:g})", headings, tuple(rows)),)

    def _kept(self, row: Row) -> Row:
        untouched = {name: row.get(name) for name in self.outputs.names}
        untouched |= {"prompt_id": row.get("prompt_id") or row["id"], "degraded": False}
        return {**row, **untouched, "degradation": None, "original_response": None}

    async def _ask(self, row: Row, kind: str, ctx: StageContext) -> Answer[str]:
        config = self.config
        text = _conversation(messages_of(row["prompt"]))
        quoted = quote("CONVERSATION", text, ctx.seed(row["id"], _QUOTE)).text
        if kind == "brevity":
            asked = ctx.prompt("brevity.v1").render(conversation=quoted, words=config.brevity_words)
        else:
            asked = ctx.prompt("junk.v1").render(conversation=quoted)
        how = Asking(ctx.engine("generator"), config.temperature, config.max_tokens, config.attempts, "degrade")
        parse = _parser(row["response"] or "", config.brevity_words if kind == "brevity" else None)
        return await ask(how, asked, lambda k: ctx.seed(row["id"], _FIRST_ATTEMPT + k), parse)


def _conversation(messages: tuple[Message, ...]) -> str:
    """Return a single message as it is, several with their roles before them."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{m['role'].upper()}: {m['content']}" for m in messages)


def _parser(before: str, most_words: int | None) -> Callable[[str], str]:
    def parse(reply: str) -> str:
        text, words = reply.strip(), len(reply.split())
        if text == before.strip():
            raise Unusable("the reply is the response that was there before", "unchanged")
        if most_words is not None and words > most_words:
            raise Unusable(f"the reply has {words} words, expected at most {most_words}", "too_long")
        return text

    return parse
