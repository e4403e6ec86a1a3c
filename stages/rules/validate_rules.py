"""Check rules against labelled responses and say which ones are worth keeping.

A step of our own: AutoRule (arXiv:2506.15651) uses its merged list as it is. Work on rubrics since then says that
choosing rules by how they fit known preferences raises a judge's accuracy (PReMISE, arXiv:2605.30803; Auto-Rubric,
arXiv:2510.17314). Use pairs that the rules were not drawn from. The stage asks nothing: it reads the verdicts of
`verify_rules`, so its bounds can be changed without a request. It does not know what a rule says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from pipeline.api import (
    Factor,
    Reject,
    ReportTable,
    Row,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
    lineage_id,
)
from stages.rules.rule_agreement import (
    UNREADABLE,
    Agreement,
    Degrees,
    Pairs,
    agreements,
    applicability,
    correlation,
    degrees,
    labelled_pairs,
)
from stages.rules.rule_scores import OnNotApplicable
from stages.rules.rule_sets import Rule
from stages.rules.verdict_replies import VERDICTS

_EXAMPLES = 20


class ValidateRulesConfig(StageConfig):
    """Options of `validate_rules`."""

    soft: bool = False
    """Compare the probabilities of yes that the rows have, as `verify_rules` does with `soft`; else yes and no. A
    verifier that says yes to nearly everything tells responses apart in this way only."""
    min_agreement: float = Field(0.5, ge=0, le=1)
    min_lower_bound: float = Field(0.5, ge=0, le=1)
    """Least lower end of the 95 % Wilson interval of the agreement, prompts as trials; 0.5 asks that chance be ruled
    out."""
    min_compared: int = Field(10, ge=1)
    """Least number of pairs that the rule tells apart."""
    min_coverage: float = Field(0.05, ge=0, le=1)
    """Least share of pairs that the rule tells apart."""
    min_applicability: float = Field(0.0, ge=0, le=1)
    """Least share of responses to which the rule applies; 0 keeps rules for rare tasks."""
    max_opposition: float = Field(0.5, gt=0, le=1)
    """Two rules contradict each other if the correlation of their verdicts is at most minus this."""
    min_together: int = Field(10, ge=2)
    """Least number of responses on which both rules count, for a contradiction."""
    drop_contradicting: bool = True
    """Of two rules that contradict each other keep the one with the higher lower bound only."""
    not_applicable: OnNotApplicable = "exclude"
    """`satisfied` counts a rule that does not apply as kept, as the paper does."""


class ValidateRules(TableStage):
    """Makes one row of each rule, kept or not; as a rule set such rows stand for the kept ones.

    `pairs` counts labelled pairs (responses of one prompt whose labels differ), `pairs_compared` those that the rule
    tells apart, `prompts_compared` the prompts that have one. `agreement` is null if there is none. `contradicts` names
    rules whose verdicts are opposed. `reason` says why a rule is not kept, null if it is: `compared`, `coverage`,
    `applicability`, `agreement`, `lower_bound`, `contradicts <rule id>`. `against` holds the ids of up to 20 preferred
    responses that keep the rule less than the other. The order is that of `rule_ids`. What a rule rests on is all rows,
    so none is cited.

    Reject codes:
        rules.bad_row: no prompt_id or label, or verdicts that are not on the rules of the first row.
    """

    name: ClassVar[str] = "validate_rules"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ValidateRulesConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "derived"
    max_rows: ClassVar[int] = 100_000
    lineage: ClassVar[tuple[str, ...]] = ()

    inputs = columns(
        id=str,
        prompt_id=str,
        label=float,
        rule_ids=list[str],
        rule_texts=list[str],
        verdicts=list[int],
        p_yes=list[float],
    )
    outputs = columns(
        id=str,
        rule_id=str,
        rule=str,
        kept=bool,
        reason=str,
        pairs=int,
        pairs_compared=int,
        prompts_compared=int,
        agreement=float,
        wilson_low=float,
        wilson_high=float,
        coverage=float,
        applicability=float,
        contradicts=list[str],
        against=list[str],
    )

    config: ValidateRulesConfig

    def yields(self) -> Yield:
        """One row for each rule, however many responses come in."""
        return Yield(total=Factor("K"))

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Compare verdicts with labels."""
        rows, rejects = _usable(table.select(self.inputs.names).to_pylist())
        made = self._judged(_rules_of(rows[0]), rows) if rows else []
        return TableResult(pa.Table.from_pylist(made, self.outputs), rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Show every rule with its figures."""
        names = ["rule", "kept", "reason", "pairs_compared", "agreement", "wilson_low", "coverage", "applicability"]
        rows = [r for batch in books.rows(names) for r in batch.to_pylist()]
        lines = tuple(tuple(r[n] if n != "kept" else ("no", "yes")[r[n]] for n in names) for r in rows)
        note = f"{sum(r['kept'] for r in rows)} of {len(rows)} rules kept. The lower bound counts prompts, not pairs."
        headings = ("rule", "kept", "reason", "pairs told apart", "agreement", "lower bound", "coverage", "applies")
        return [ReportTable("Rules against labels", headings, lines, note)]

    def _judged(self, rules: Sequence[Rule], rows: Sequence[Row]) -> list[Row]:
        verdicts = np.array([[UNREADABLE if v is None else v for v in r["verdicts"]] for r in rows], np.int8)
        p_yes = np.array([r["p_yes"] for r in rows], np.float64) if self.config.soft else None
        kept = degrees(verdicts, self.config.not_applicable, p_yes)
        pairs = labelled_pairs([r["prompt_id"] for r in rows], [r["label"] for r in rows])
        found = agreements(kept, pairs, [r["prompt_id"] for r in rows])
        applies = applicability(verdicts)
        opposed = correlation(kept, self.config.min_together) <= -self.config.max_opposition
        reasons = _reasons(found, applies, opposed, [r.rule_id for r in rules], self.config)
        return [
            {
                "id": lineage_id("rule", rule.rule_id),
                "rule_id": rule.rule_id,
                "rule": rule.text,
                "kept": reasons[k] is None,
                "reason": reasons[k],
                "pairs": len(pairs),
                **_figures(found[k]),
                "applicability": applies[k],
                "contradicts": [rules[j].rule_id for j in np.flatnonzero(opposed[k]).tolist()],
                "against": _against(kept[:, k], pairs, rows),
            }
            for k, rule in enumerate(rules)
        ]


def _rules_of(row: Row) -> tuple[Rule, ...]:
    return tuple(Rule(i, text) for i, text in zip(row["rule_ids"], row["rule_texts"], strict=True))


def _usable(rows: Sequence[Row]) -> tuple[list[Row], list[Reject]]:
    """Part rows that can be compared from those that cannot; the first usable one says which rules are meant."""
    usable: list[Row] = []
    rejects: list[Reject] = []
    for row in rows:
        problem = _problem(row, usable[0] if usable else row)
        if problem:
            rejects.append(Reject({"id": row["id"]}, "rules.bad_row", problem))
        else:
            usable.append(row)
    return usable, rejects


def _problem(row: Row, first: Row) -> str | None:
    if row["prompt_id"] is None or row["label"] is None or not math.isfinite(row["label"]):
        return "the prompt_id is null, or the label is null or not finite"
    lists = [row[name] for name in ("rule_ids", "rule_texts", "verdicts", "p_yes")]
    if set(lists[2] or ()) - {*VERDICTS, None}:
        return "a verdict is none of 1, 0, -1 (not applicable) and null"
    if not all(lists) or len({len(values) for values in lists}) > 1:
        return "'rule_ids', 'rule_texts', 'verdicts' and 'p_yes' do not have one entry for each rule"
    same = lists[:2] == [first["rule_ids"], first["rule_texts"]]
    return None if same else "the verdicts are on other rules than those of the first row; use one rule set"


def _figures(found: Agreement) -> Row:
    low, high = found.interval
    return {
        "pairs_compared": found.compared,
        "prompts_compared": found.prompts,
        "agreement": found.agreement,
        "wilson_low": low,
        "wilson_high": high,
        "coverage": found.coverage,
    }


def _reasons(
    found: Sequence[Agreement],
    applies: Sequence[float | None],
    opposed: NDArray[np.bool_],
    rule_ids: Sequence[str],
    config: ValidateRulesConfig,
) -> list[str | None]:
    """Return why each rule is not kept; of two that contradict each other the one with the lower bound goes."""
    reasons = [_shortcoming(a, share, config) for a, share in zip(found, applies, strict=True)]
    if not config.drop_contradicting:
        return reasons
    best_first = sorted((k for k, r in enumerate(reasons) if r is None), key=lambda k: -found[k].interval[0])
    kept: list[int] = []
    for k in best_first:
        better = next((j for j in kept if opposed[k, j]), None)
        if better is None:
            kept.append(k)
        else:
            reasons[k] = f"contradicts {rule_ids[better]}"
    return reasons


def _shortcoming(found: Agreement, applies: float | None, config: ValidateRulesConfig) -> str | None:
    """Return the first bound that a rule misses; a figure that does not exist misses its bound."""
    if found.compared < config.min_compared or found.agreement is None:
        return "compared"
    if found.coverage is None or found.coverage < config.min_coverage:
        return "coverage"
    if applies is None or applies < config.min_applicability:
        return "applicability"
    if found.agreement < config.min_agreement:
        return "agreement"
    return "lower_bound" if found.interval[0] < config.min_lower_bound else None


def _against(kept: Degrees, pairs: Pairs, rows: Sequence[Row]) -> list[str]:
    """Return ids of preferred responses that keep a rule less than the other one, each once, in order."""
    wrong = kept[pairs[:, 0]] < kept[pairs[:, 1]]
    return list(dict.fromkeys(rows[i]["id"] for i in pairs[wrong, 0].tolist()))[:_EXAMPLES]
