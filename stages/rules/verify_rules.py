"""Score responses by rules: a verifier says of each rule whether the response keeps it.

Paper: AutoRule, arXiv:2506.15651 (verifier and rule reward; code HuoDx/AutoRule). Departures by default: a verdict may
be "not applicable", and a reply that says nothing is asked again and then null, where the release counts the one as
kept and the other as broken; the conversation stands before the rule; a response need not keep a rule "concisely"; and
a long conversation is shortened, never the request cut, which in the release cost long responses their verdicts.
`layout: release` with the options that it asks for is the released measurement. Whether the rules say what people
prefer is for `validate_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    CHOICE,
    JSON_SCHEMA,
    MESSAGES,
    SCORE_TOKENS,
    ExecutionOnly,
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
)
from stages.replies.together import all_of
from stages.replies.transcripts import show_conversation, show_text
from stages.rules.rule_questions import ATTEMPTS, Layout, Manner, RuleQuestions, Verdict
from stages.rules.rule_scores import OnNotApplicable, OnUnparsable, rule_score
from stages.rules.rule_sets import Rule, load_rules, rules_digest
from stages.rules.rules_report import verdict_tables
from stages.rules.verdict_replies import VERDICTS

_QUOTING = 1 << 40
"""Draw of the quotations' seed, apart from those of the attempts."""


class VerifyRulesConfig(StageConfig):
    """Options of `verify_rules`."""

    rules: str = Field(min_length=1)
    """File with the rules (.json, .jsonl, .parquet); a relative path is taken from the recipe's folder. Of rows that
    `validate_rules` wrote only those that it kept are used."""
    rule_set: str | None = None
    """Which list of a JSON file that holds several by name, such as `uf` of the published file."""
    layout: Layout = "conversation_first"
    """`conversation_first` lets an engine with a prefix cache read the conversation once for all rules. `release` is
    the paper's order, question and reading: yes or no, asked once, where only the exact `[[Yes]]` is a yes and every
    other reply a no, an empty one and one that was cut off too."""
    short: bool = False
    """Ask in few words, after worked examples: for small models. Capable ones judge better without."""
    free_reply: bool = False
    """Let the verifier write before its verdict, as reasoning models must. Without it an engine that can hold its reply
    to a few texts or to JSON is held to a verdict."""
    verdict_from: Literal["reply", "scoring"] = "reply"
    """`scoring` lets the engine score the three verdicts as replies, and takes the likeliest: three requests for each
    rule, for an engine that scores given texts and cannot choose among them. No reply is written."""
    soft: bool = False
    """Take the probability of yes in place of 1 or 0: from an engine that chooses among texts, or by scoring. Others
    give 1 or 0."""
    concise: bool = False
    """Ask whether the response keeps the rule and does so concisely, as the paper does. It rewards brevity."""
    not_applicable: OnNotApplicable = "exclude"
    """Rules that do not apply to a response leave its denominator, or count as kept, which is the paper's way and
    brings all scores closer together."""
    unparsable: OnUnparsable = "exclude"
    """Verdicts that could not be read leave the denominator, or count as no, which is the paper's way."""
    max_prompt_characters: int = Field(16_000, ge=100)
    """A longer prompt is shown without its oldest turns, and flagged `conversation_cut`."""
    max_response_characters: int = Field(16_000, ge=100)
    """A longer response is cut after a paragraph or sentence, and flagged `conversation_cut`."""
    temperature: float = Field(0.0, ge=0)
    retry_temperature: float = Field(0.7, ge=0)
    """For asking again after a reply without a verdict; a greedy reply would not change."""
    max_tokens: int = Field(512, ge=1)
    attempts: int = Field(2, ge=1, le=ATTEMPTS)
    """Requests at most for one rule, each with its own seed; `layout: release` makes one."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @model_validator(mode="after")
    def _release_is_whole(self) -> Self:
        if self.layout != "release":
            return self
        if self.not_applicable != "satisfied" or self.unparsable != "as_no":
            raise ValueError(
                "layout 'release' asks for yes or no and takes every other reply for no; set not_applicable: satisfied "
                "and unparsable: as_no, or layout: conversation_first"
            )
        if self.soft or self.short or self.verdict_from == "scoring":
            raise ValueError(
                "layout 'release' is asked in one way only; leave soft, short and verdict_from out, or set "
                "layout: conversation_first"
            )
        return self

    @model_validator(mode="after")
    def _a_free_reply_has_no_probability(self) -> Self:
        if self.free_reply and (self.soft or self.verdict_from == "scoring"):
            raise ValueError("a reply that may begin with anything has no probability; leave soft or free_reply out")
        return self


class VerifyRules(RowStage):
    """Adds one verdict per rule, what they come to, and all that is needed to compute it again.

    `rule_ids`, `rule_texts`, `verdicts` (1 yes, 0 no, -1 not applicable, null unreadable), `p_yes` (yes over yes and
    no, where the engine tells) and `raw` (the reply) have an entry for each rule. `rule_fraction` is the share of rules
    kept among `rules_judged`, null if none counts; `rule_reward` is (fraction - 0.75) * 10. `rules_not_applicable` and
    `rules_unparsable` count verdicts whatever the options do with them.

    Reject codes:
        rules.empty_row: the prompt or the response is null or white space.
        rules.unreadable: fewer than half of the verdicts could be read; all columns are kept with the reject.
    """

    name: ClassVar[str] = "verify_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = VerifyRulesConfig

    inputs = columns(prompt=MESSAGES, response=str)
    outputs = columns(
        rule_ids=list[str],
        rule_texts=list[str],
        verdicts=list[int],
        p_yes=list[float],
        raw=list[str],
        rule_fraction=float,
        rule_reward=float,
        rules_judged=int,
        rules_not_applicable=int,
        rules_unparsable=int,
        conversation_cut=bool,
    )
    engine_roles: Mapping[str, str] = {"verifier": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"verifier": (CHOICE, JSON_SCHEMA)}

    config: VerifyRulesConfig

    def __init__(self, config: VerifyRulesConfig) -> None:
        """Declare the template of the layout; the rules are read when they are needed."""
        super().__init__(config)
        asked = "verdict_short.v1" if config.short else "verdict.v1"
        self.prompt_names = ("release.v1",) if config.layout == "release" else (asked,)
        if config.verdict_from == "scoring":
            self.engine_roles, self.optional_capabilities = {"verifier": SCORE_TOKENS}, {}
        self._rules: tuple[Rule, ...] = ()

    def digest(self) -> Mapping[str, Json]:
        """Return name and hash of the file of rules, after it was read.

        Raises:
            PrerequisiteError: if it is missing, cannot be read, or holds no rule.
        """
        self._loaded()
        return {"rules": rules_digest(self._path)}

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """One request for each rule, or for each verdict on it."""
        each = (Factor("verdicts", len(VERDICTS)),) if self.config.verdict_from == "scoring" else ()
        return {"verifier": (Factor("K", len(self._loaded())), *each)}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask about each rule."""
        if not row["prompt"] or not (row["response"] or "").strip():
            raise RowError("rules.empty_row", "the prompt or the response is null or white space")
        config, seed = self.config, ctx.seed(row["id"], _QUOTING)
        conversation = show_conversation(row["prompt"], seed, config.max_prompt_characters)
        response = show_text("RESPONSE", row["response"], seed, config.max_response_characters)
        questions = RuleQuestions(ctx, row["id"], self._manner(), conversation.text, response.text)
        verdicts = await _verdicts(questions, self._loaded(), warm=config.layout == "conversation_first")
        scored = {**row, **self._columns(verdicts), "conversation_cut": conversation.cut or response.cut}
        unread = scored["rules_unparsable"]
        if 2 * unread > len(verdicts):
            message = f"{unread} of {len(verdicts)} verdicts could not be read; half of them at most may be missing"
            return [Reject(scored, "rules.unreadable", message)]
        return [scored]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how often each rule was kept, and how well the verifier kept to the form."""
        return verdict_tables(books)

    def _columns(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        values, p_yes = [v.value for v in verdicts], [v.p_yes for v in verdicts]
        config = self.config
        score = rule_score(values, config.not_applicable, config.unparsable, p_yes if config.soft else None)
        return {
            "rule_ids": [r.rule_id for r in self._loaded()],
            "rule_texts": [r.text for r in self._loaded()],
            "verdicts": values,
            "p_yes": p_yes,
            "raw": [v.raw for v in verdicts],
            "rule_fraction": score.fraction,
            "rule_reward": score.reward,
            "rules_judged": score.judged,
            "rules_not_applicable": score.not_applicable,
            "rules_unparsable": score.unparsable,
        }

    def _manner(self) -> Manner:
        names = (
            "layout",
            "short",
            "free_reply",
            "concise",
            "temperature",
            "retry_temperature",
            "max_tokens",
            "attempts",
        )
        return Manner(scored=self.config.verdict_from == "scoring", **{n: getattr(self.config, n) for n in names})

    @property
    def _path(self) -> Path:
        return Path(self.config.base_folder) / self.config.rules

    def _loaded(self) -> tuple[Rule, ...]:
        self._rules = self._rules or load_rules(self._path, self.config.rule_set)
        return self._rules


async def _verdicts(questions: RuleQuestions, rules: Sequence[Rule], *, warm: bool) -> list[Verdict]:
    """Ask about all rules at once; where they share a beginning about the first one alone, so that it is cached."""
    alone = 1 if warm else 0
    first = [await questions.verdict_on(rule, 0) for rule in rules[:alone]]
    return [*first, *await all_of([questions.verdict_on(r, i) for i, r in enumerate(rules) if i >= alone])]
