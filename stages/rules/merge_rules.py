"""Let a model merge the rules of all pairs: those that ask the same become one.

Paper: AutoRule, arXiv:2506.15651, third extraction stage (code HuoDx/AutoRule, `merger.py`): one call with all rules.
Departures: rules that outgrow one call are merged in batches, level by level; every merged rule must cite the rules
that it stands for, and one that cites none is a reject; a rule that none cites stays as it is; a batch whose reply
cannot be read stays as it was, and is a reject. The wording is ours. The stage does not know whether a rule is good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    Factor,
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
    quote,
)
from stages.replies.asking import Asking, ask
from stages.replies.together import all_of
from stages.rules.collect_rules import COLLECTED
from stages.rules.rule_merging import Entry, Invented, applied, batches, joined
from stages.rules.rule_replies import MERGED_SCHEMA, Cited, parse_merged, parse_merged_lines
from stages.rules.rule_texts import folded, rule_id_of

_ATTEMPTS = 1000
"""Most attempts for one batch; each batch draws its seeds from a range of that many."""
_QUOTING = 1 << 40
_AREA = "rules."


class MergeRulesConfig(StageConfig):
    """Options of `merge_rules`."""

    max_rules_per_call: int = Field(150, ge=2, le=9999)
    """Rules of one request at most; more are merged in batches, and the results again."""
    max_characters: int = Field(40_000, ge=100)
    """Characters of the rules of one request at most, for the context of the model."""
    format: Literal["auto", "json", "lines"] = "auto"
    """`json`, `lines` (a numbered list, for small models), or JSON where the engine can hold output to a schema."""
    temperature: float = Field(0.6, ge=0)
    """The paper's."""
    max_tokens: int = Field(16_384, ge=1)
    attempts: int = Field(3, ge=1, le=_ATTEMPTS)
    """Requests at most for one batch, each with its own seed."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What became of one batch: its rules, what was refused, and why its reply could not be read."""

    entries: list[Entry]
    refused: list[Invented]
    unread: RowError | None = None


class MergeRules(RowStage):
    """Makes one row of each merged rule: `rule_id`, `rule`, `support`, `merged_from`, `sources`, `levels`, `in_one`.

    `rule_id` is a hash of the text, `sources` the ids of the pairs behind it, `support` their number, `merged_from` the
    collected rules that it stands for (itself, if it was not merged). `levels` says how often batches were merged;
    `in_one` is false if no single request saw all rules that are left and was answered (merging several batches made
    them no fewer, or the reply could not be read): some may then say the same. Rules with more support come first.
    `rules` and `pair_ids` are null: they stay in the row before.

    Reject codes (one rule or batch, but the first):
        rules.none: there is no rule to merge (the whole row).
        rules.invented: a merged rule cites no rule that it was shown; its text is kept under `rule`.
        rules.unfit: a merged rule is none (it speaks of a response A, or repeats an example); what it cites stays.
        rules.unmerged: no reply for a batch could be read; its rules (under `merged_from`) stay as they are.
    """

    name: ClassVar[str] = "merge_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = MergeRulesConfig
    fan_out: ClassVar[bool] = True

    inputs = columns(rules=COLLECTED, pair_ids=list[str])
    outputs = columns(
        rule_id=str,
        rule=str,
        support=int,
        merged_from=list[str],
        sources=list[str],
        levels=int,
        in_one=bool,
        rules=COLLECTED,
        pair_ids=list[str],
    )
    engine_roles: Mapping[str, str] = {"merger": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"merger": (JSON_SCHEMA,)}

    config: MergeRulesConfig

    def __init__(self, config: MergeRulesConfig) -> None:
        """Declare the templates that the format needs."""
        super().__init__(config)
        both = ("merge.v1", "merge_lines.v1")
        self.prompt_names = both if config.format == "auto" else both[:1] if config.format == "json" else both[1:]

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """One request for each batch of each level."""
        return {"merger": (Factor("merge_batches"),)}

    def yields(self) -> Yield:
        """As many rows as rules are left."""
        return Yield((Factor("K"),), at_most=True)

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Merge level by level until one batch holds all, or merging makes them no fewer."""
        entries = joined(Entry(r["rule"], (r["rule"],), tuple(r["sources"])) for r in row["rules"] or ())
        if not entries:
            raise RowError("rules.none", "there is no rule to merge; look at what the stages before it refused")
        base = {**row, "rules": None, "pair_ids": None}
        out: list[Row | Reject] = []
        level, in_one = 0, len(entries) == 1
        while not in_one:
            parts = batches(entries, self.config.max_rules_per_call, self.config.max_characters)
            asked = [self._merged(row["id"], level, i, part, ctx) for i, part in enumerate(parts)]
            done = await all_of(asked)
            out += [reject for batch in done for reject in _rejects(base, batch)]
            before, entries = len(entries), joined(e for batch in done for e in batch.entries)
            level, in_one = level + 1, len(parts) == 1 and not done[0].unread
            if len(parts) == 1 or len(entries) >= before:
                break
        ordered = sorted(entries, key=lambda e: -len(e.sources))
        shared = {"levels": level, "in_one": in_one}
        return [*({**base, **_columns(e), **shared} for e in ordered), *out]

    async def _merged(self, row_id: str, level: int, number: int, part: Sequence[Entry], ctx: StageContext) -> _Batch:
        """Ask for one batch; a batch of one is as it should be."""
        if len(part) == 1:
            return _Batch(list(part), [])
        config, engine = self.config, ctx.engine("merger")
        held = engine.offers(JSON_SCHEMA)
        as_json = config.format == "json" or (config.format == "auto" and held)
        place = (level * 10_000 + number) * _ATTEMPTS
        listed = "\n".join(f"{i}. {e.rule}" for i, e in enumerate(part, 1))
        quoted = quote("RULES", listed, ctx.seed(row_id, _QUOTING + place))
        messages = ctx.prompt("merge.v1" if as_json else "merge_lines.v1").render(rules=quoted.text, n=len(part))
        schema = MERGED_SCHEMA if as_json and held else None
        how = Asking(engine, config.temperature, config.max_tokens, config.attempts, "rules", schema)

        def parse(reply: str) -> list[Cited]:
            return (parse_merged if as_json else parse_merged_lines)(reply, len(part))

        try:
            answer = await ask(how, messages, lambda k: ctx.seed(row_id, place + k), parse)
        except RowError as e:
            if not e.code.startswith(_AREA):  # the engine's own refusals concern the whole row
                raise
            return _Batch(list(part), [], e)
        return _Batch(*applied(part, answer.parsed, _worked_examples(messages)))

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how far rules were merged, and show them by support."""
        kept = [r for b in books.rows(["rule", "support", "merged_from", "in_one"]) for r in b.to_pylist()]
        kept.sort(key=lambda r: -r["support"])
        alone = sum(len(r["merged_from"]) == 1 for r in kept)
        counts = [("rules", len(kept)), ("of them as one pair's explanation gave them", alone)]
        counts += [(f"rejected: {code}", n) for code, n in sorted(books.rejects.items())]
        note = (
            "No one request saw all of these rules: some may say the same."
            if any(not r["in_one"] for r in kept)
            else None
        )
        listed = tuple((r["support"], len(r["merged_from"]), r["rule"]) for r in kept)
        return [
            ReportTable("Merged rules", ("what", "number"), tuple(counts), note),
            ReportTable("Rules by support", ("pairs", "rules merged", "rule"), listed),
        ]


def _worked_examples(messages: Sequence[Message]) -> set[str]:
    shown = [parse_merged_lines(m["content"], 0) for m in messages if m["role"] == "assistant"]
    return {folded(cited.rule) for reply in shown for cited in reply}


def _columns(entry: Entry) -> dict[str, Any]:
    return {
        "rule_id": rule_id_of(entry.rule),
        "rule": entry.rule,
        "support": len(entry.sources),
        "merged_from": list(entry.merged_from),
        "sources": list(entry.sources),
    }


def _rejects(base: Row, batch: _Batch) -> list[Reject]:
    """Return what a batch leaves to be accounted for: rules made up, and the batch itself if it was not merged."""
    out = []
    for refused in batch.refused:
        row = {**base, "rule": refused.rule}
        if refused.why == "cites_nothing":
            out.append(Reject(row, "rules.invented", "the merged rule cites no rule that it was shown"))
        else:
            out.append(Reject(row, "rules.unfit", f"the merged rule is none: {refused.why}"))
    if batch.unread:
        texts = [e.rule for e in batch.entries]
        message = f"{len(texts)} rules stay as they are: {batch.unread.message} ({batch.unread.code})"
        out.append(Reject({**base, "merged_from": texts}, "rules.unmerged", message))
    return out
