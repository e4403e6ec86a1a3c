"""Let a model draw rules out of the explanation of one preference.

Paper: AutoRule, arXiv:2506.15651, second extraction stage (code HuoDx/AutoRule, `extractor.py`): rule-like statements
that can be judged objectively, as a JSON array that may be empty. The release drops what it cannot parse; here it is
asked again and then rejected, and an entry that is no rule for other pairs (see `stages.rules.rule_texts`) stays in the
row as refused. The wording is ours. Whether a rule is true of people's preferences is for `validate_rules` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
)
from stages.replies.asking import Asking, ask
from stages.replies.transcripts import show_text
from stages.rules.rule_replies import RULES_SCHEMA, lines_after_the_list, parse_rule_lines, parse_rules
from stages.rules.rule_texts import folded, sift

Format = Literal["auto", "json", "lines"]
_QUOTING = 1 << 30


class ExtractRulesConfig(StageConfig):
    """Options of `extract_rules`."""

    source: Literal["explanation", "reasoning"] = "reasoning"
    """Which text of `interpret_preferences` is read: the paper argues for the reasoning trace, its code passes the
    explanation. Models that show no reasoning need `explanation`, or `fallback`."""
    fallback: bool = False
    """Read the explanation of a row that has no reasoning; without it such a row is rejected."""
    max_source_characters: int = Field(60_000, ge=100)
    """A longer text is cut after a paragraph or sentence, and flagged `rules_source_cut`."""
    format: Format = "auto"
    """`json`, `lines` (a numbered list, for small models), or JSON where the engine can hold output to a schema."""
    temperature: float = Field(0.6, ge=0)
    """The paper's."""
    max_tokens: int = Field(4096, ge=1)
    attempts: int = Field(2, ge=1, le=1000)
    """Requests at most for one row, each with its own seed."""


class ExtractRules(RowStage):
    """Adds `rules` (it may be empty), `rules_refused` with `rules_refused_for`, `rules_source`, `rules_source_cut`.

    `rules_refused` holds the entries that are no rules, as written (JSON if they are no text), and `rules_refused_for`
    why, entry by entry: `not_text`, `empty`, `too_long`, `control_token`, `names_a_response`, `copies_the_pair`, and
    `worked_example` for a rule that only repeats the example of the template for small models; `after_the_list` for the
    entries of a list that a reply begins after prose that follows its first.

    Reject codes:
        rules.no_reasoning: the row has no reasoning, and `fallback` is false.
        rules.empty_row: the text to read is null or white space, or `label` or `shown_first` is neither `a` nor `b`.
        rules.unparsable: the last reply was no list of rules.
        rules.truncated: the last reply was cut off at `max_tokens`.
        rules.refusal: the last reply was stopped by a content filter.
    """

    name: ClassVar[str] = "extract_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ExtractRulesConfig

    inputs = columns(
        prompt=MESSAGES,
        response_a=str,
        response_b=str,
        label=str,
        shown_first=str,
        explanation=str,
        reasoning=str,
    )
    outputs = columns(
        rules=list[str],
        rules_refused=list[str],
        rules_refused_for=list[str],
        rules_source=str,
        rules_source_cut=bool,
    )
    engine_roles: Mapping[str, str] = {"extractor": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"extractor": (JSON_SCHEMA,)}

    config: ExtractRulesConfig

    def __init__(self, config: ExtractRulesConfig) -> None:
        """Declare the templates that the format needs."""
        super().__init__(config)
        both = ("rules.v1", "rules_lines.v1")
        self.prompt_names = both if config.format == "auto" else both[:1] if config.format == "json" else both[1:]

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for the rules of one explanation."""
        config, engine = self.config, ctx.engine("extractor")
        source = self._source(row)
        held = engine.offers(JSON_SCHEMA)
        as_json = config.format == "json" or (config.format == "auto" and held)
        seed = ctx.seed(row["id"], _QUOTING)
        shown = show_text(source.upper(), row[source], seed, config.max_source_characters)
        messages = ctx.prompt("rules.v1" if as_json else "rules_lines.v1").render(
            explanation=shown.text,
            label=source.upper(),
            preferred="A" if row["label"] == row["shown_first"] else "B",
        )
        schema = RULES_SCHEMA if as_json and held else None
        how = Asking(engine, config.temperature, config.max_tokens, config.attempts, "rules", schema)
        parse = parse_rules if as_json else parse_rule_lines
        answer = await ask(how, messages, lambda k: ctx.seed(row["id"], k), parse)
        pair = [*(m["content"] for m in row["prompt"]), row["response_a"], row["response_b"]]
        examples = {
            folded(str(r)) for m in messages if m["role"] == "assistant" for r in parse_rule_lines(m["content"])
        }
        sifted = sift(answer.parsed, pair, examples)
        made = {"rules": list(sifted.rules), "rules_source": source, "rules_source_cut": shown.cut}
        late = [] if as_json else lines_after_the_list(answer.text)
        why = [*sifted.refused_for, *("after_the_list" for _ in late)]
        return [{**row, **made, "rules_refused": [*sifted.refused, *late], "rules_refused_for": why}]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how many rules came of how many pairs, and what was refused."""
        rules, without, refused = 0, 0, Counter[str]()
        for batch in books.rows(["rules", "rules_refused_for"]):
            for row in batch.to_pylist():
                rules += len(row["rules"])
                without += not row["rules"]
                refused.update(row["rules_refused_for"])
        counts = [("pairs read", books.rows_out), ("of them without a rule", without), ("rules", rules)]
        counts += [(f"refused: {why}", n) for why, n in sorted(refused.items())]
        return [ReportTable("Rules of single pairs", ("what", "number"), tuple(counts))]

    def _source(self, row: Row) -> str:
        source = self.config.source
        if source == "reasoning" and not (row["reasoning"] or "").strip():
            if not self.config.fallback:
                raise RowError(
                    "rules.no_reasoning",
                    "the row has no reasoning trace; take a model that writes one, or set source: explanation",
                )
            source = "explanation"
        if not (row[source] or "").strip():
            raise RowError("rules.empty_row", f"the {source} is null or white space")
        if {row["label"], row["shown_first"]} - {"a", "b"}:
            raise RowError("rules.empty_row", "'label' and 'shown_first' must be 'a' or 'b'")
        return source
