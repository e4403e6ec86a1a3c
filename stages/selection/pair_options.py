"""The options of `select_pairs`, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.api import MESSAGES, StageConfig, columns
from stages.sources.records import ColumnType

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Rule = Literal["best_worst", "best_random", "mu_minus_2sigma", "margin", "model_ladder"]

PAIR_COLUMNS = columns(
    id=str,
    prompt_id=str,
    prompt=MESSAGES,
    chosen=str,
    rejected=str,
    chosen_id=str,
    rejected_id=str,
    score_chosen=float,
    score_rejected=float,
    margin=float,
    tied=int,
    candidates=int,
    candidate_ids=list[str],
    rule=str,
)


class LengthLimit(StageConfig):
    """How far the lengths of chosen and rejected may lie apart."""

    max_difference: float | None = Field(None, ge=0)
    """Longer minus shorter, in characters or in the unit of `column`."""
    max_ratio: float | None = Field(None, ge=1)
    """Longer over shorter."""


class LengthLimits(LengthLimit):
    """The limit of all pairs, and those of single domains in its place."""

    column: ColumnName | None = None
    """Integer column with a response's length, `response_tokens` say; else characters count."""
    domain_column: ColumnName | None = None
    domains: Mapping[str, LengthLimit] = {}
    """Limits by value of `domain_column`; `{}` sets a domain free."""

    @model_validator(mode="after")
    def _limits_fit(self) -> LengthLimits:
        if (self.domain_column is None) != (not self.domains):
            raise ValueError("'domain_column' and 'domains' go together; give both or neither")
        if self.max_difference is None and self.max_ratio is None and not self.domains:
            raise ValueError("'length' limits nothing; give 'max_difference', 'max_ratio' or 'domains'")
        return self


class SelectPairsConfig(StageConfig):
    """Options of `select_pairs`."""

    score: ColumnName | None = "reward"
    """Higher is better; null for `model_ladder` without scores."""
    rule: Rule = "best_worst"
    min_margin: float = Field(0.0, ge=0)
    """Least difference of scores; 0 asks for any difference, equal scores are never a pair."""
    max_pairs_per_prompt: int = Field(1, ge=1)
    """For rule `margin`: keep that many, widest margin first."""
    ties: Literal["drop", "first", "random"] = "first"
    """What to do when several candidates share the best score and others score lower."""
    tie_break_by: ColumnName | None = None
    """Another score: of candidates tied for chosen the highest goes first, for rejected the lowest; then `ties`."""
    ladder: tuple[str, ...] = ()
    """For `model_ladder`: values of `source_column`, strongest first."""
    source_column: ColumnName = "source_model"
    policy_mix: Literal["any", "on_on", "one_side"] = "any"
    """`on_on`: both responses from the policy that is trained; `one_side`: exactly one of them."""
    on_policy_column: ColumnName = "on_policy"
    length: LengthLimits | None = None
    """Limits on how far the lengths of a pair's responses may lie apart."""
    min_candidates: int = Field(2, ge=2)
    allow_truncated_chosen: bool = False
    drop_truncated: bool = False
    """Keep cut-off responses out of the rejected side too."""
    carry: Mapping[ColumnName, ColumnType] = {}
    """Columns of candidates to keep, with their types: `turn` becomes `chosen_turn` and `rejected_turn`."""
    prompt_columns: Mapping[ColumnName, ColumnType] = {}
    """Columns that all candidates of a prompt share, with their types; kept under their names, from the chosen one."""

    @property
    def carried(self) -> Mapping[str, ColumnType]:
        """Return the columns kept of both candidates: `carry`, and the length that the limits are about."""
        counted: dict[str, ColumnType] = {self.length.column: "int"} if self.length and self.length.column else {}
        return {**counted, **self.carry}

    @model_validator(mode="after")
    def _rule_fits(self) -> SelectPairsConfig:
        if (self.rule == "model_ladder") != bool(self.ladder):
            raise ValueError("rule 'model_ladder' and 'ladder' go together; give both or neither")
        if self.ladder and (len(self.ladder) < 2 or len(set(self.ladder)) < len(self.ladder)):
            raise ValueError("'ladder' needs two models or more, each once, strongest first")
        if self.score is None and self.rule != "model_ladder":
            raise ValueError(f"rule '{self.rule}' needs a 'score'; only 'model_ladder' does without")
        if self.score is None and self.min_margin:
            raise ValueError("'min_margin' needs a 'score'; leave it out")
        if self.tie_break_by and (self.rule == "margin" or self.tie_break_by == self.score):
            raise ValueError("'tie_break_by' names another column than 'score', and rule 'margin' has no ties to break")
        return self

    @model_validator(mode="after")
    def _columns_fit(self) -> SelectPairsConfig:
        unlike = sorted(n for n in self.carried if self.prompt_columns.get(n, self.carried[n]) != self.carried[n])
        if unlike:
            raise ValueError(f"'carry' and 'prompt_columns' give '{unlike[0]}' different types; name one")
        made = [f"{side}_{name}" for name in self.carried for side in ("chosen", "rejected")]
        taken = set(PAIR_COLUMNS.names)
        for option, names in (("carry", made), ("prompt_columns", list(self.prompt_columns))):
            twice = sorted(taken.intersection(names))
            if twice:
                raise ValueError(f"'{option}' would make column '{twice[0]}', which a pair already has; leave it out")
            taken |= set(names)
        return self
