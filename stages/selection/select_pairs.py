"""Choose a chosen and a rejected response for each prompt.

Rules: `best_worst` (SimPO's on-policy recipe), `best_random` (CDR, arXiv:2411.02481, after UltraFeedback-binarized,
but with a seeded draw), `mu_minus_2sigma` (arXiv:2502.16825), `margin` (all pairs far enough apart), `model_ladder`
(delta learning, arXiv:2507.06187: a stronger model's response over a weaker one's). Filters bear on the chosen side
only, as in Olmo 3 (arXiv:2512.13961, 5.3.1): what may not be chosen may still be rejected. The stage does not know
where the score comes from, nor why a candidate may not be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from pipeline.api import (
    MESSAGES,
    Factor,
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
    lineage_id,
)
from stages.selection.pair_candidates import Loaded, load_candidates, one_array
from stages.selection.pair_options import PAIR_COLUMNS, SelectPairsConfig
from stages.selection.pair_report import pair_tables
from stages.selection.pairing import FloatArray, Groups, IntArray
from stages.selection.rules import OK, Choice, Options, best_against_one, by_margin
from stages.sources.records import ARROW_TYPES

__all__ = ["SelectPairs", "SelectPairsConfig"]

_MESSAGES = {
    "pairs.too_few": "{n} candidates with a finite score; expected at least {min_candidates}",
    "pairs.tie": "{n} candidates, none apart from a tie at the best score {best:.6g}",
    "pairs.margin": "the widest margin of {n} candidates is below min_margin {min_margin:.6g}",
    "pairs.identical": "{n} candidates; every one scored lower than the best has the same text",
    "pairs.all_truncated": "{n} candidates; those that were cut off (finish_reason 'length') leave no pair",
    "pairs.all_filtered": "{n} candidates; those that may not be chosen (may_be_chosen) leave no pair",
    "pairs.one_rung": "{n} candidates; they come from fewer than two models of the ladder",
    "pairs.policy_mix": "{n} candidates; policy_mix '{policy_mix}' leaves no pair",
    "pairs.length": "{n} candidates; none that may be rejected is near enough in length to the chosen one",
}


class SelectPairs(TableStage):
    """Makes one row per pair from the candidates of a prompt, wherever in the shard they lie.

    The chosen one is found first, the best that may be chosen; then the rule looks for the rejected one among those
    that score lower (stand on a lower rung), are near enough in length and fit the mix of policies. Rule `margin`
    tries all pairs. A column `finish_reason`, if there is one, tells which responses were cut off; a boolean column
    `may_be_chosen` tells which ones may only be rejected (false or null), as `filter_responses` writes it. `tied`
    counts the candidates that share the best score. Of several pairs of one prompt only the first names its candidates.

    Reject codes (each candidate of the prompt, but the first two):
        pairs.nonfinite: the candidate's score is null, NaN or infinite; the others of its prompt go on.
        pairs.incomplete: the candidate has no prompt_id or no response; the others go on.
        pairs.too_few: fewer than `min_candidates` candidates are left.
        pairs.tie: all scores are equal, or several are best and `ties` is `drop`.
        pairs.margin: no two candidates are `min_margin` apart; by a ladder, the weaker model's response scores higher.
        pairs.identical: only candidates with the text of the chosen one score lower.
        pairs.all_truncated: responses that were cut off leave no pair.
        pairs.all_filtered: there would be a pair if all responses were allowed by `may_be_chosen`.
        pairs.one_rung: fewer than two models of the `ladder` answered.
        pairs.policy_mix: no pair has the sides that `policy_mix` asks for; null in `on_policy` counts as neither.
        pairs.length: no pair is within the limits of `length`; a length that is null is within none.
    """

    name: ClassVar[str] = "select_pairs"
    version: ClassVar[int] = 3
    config_type: ClassVar[type[StageConfig]] = SelectPairsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "groups"
    lineage: ClassVar[tuple[str, ...]] = ("candidate_ids",)

    outputs = PAIR_COLUMNS

    config: SelectPairsConfig

    def __init__(self, config: SelectPairsConfig) -> None:
        """Read the score column and the further columns that the config names."""
        super().__init__(config)
        kept = {name: ARROW_TYPES[kind] for name, kind in {**config.carried, **config.prompt_columns}.items()}
        named: dict[str, Any] = {n: float for n in (config.score, config.tie_break_by) if n}
        if config.ladder:
            named[config.source_column] = str
        if config.policy_mix != "any":
            named[config.on_policy_column] = bool
        if config.length and config.length.domain_column:
            named[config.length.domain_column] = str
        self.inputs = columns(**{"id": str, "prompt_id": str, "prompt": MESSAGES, "response": str, **named, **kept})
        carried = {f"{side}_{n}": kept[n] for n in config.carried for side in ("chosen", "rejected")}
        shared = {n: kept[n] for n in config.prompt_columns}
        self.outputs = pa.schema([*PAIR_COLUMNS, *columns(**carried), *columns(**shared)])

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Group candidates by prompt and apply the rule."""
        loaded = load_candidates(table, self.config)
        rejects = _row_rejects(table, loaded)
        if not len(loaded.candidates.groups.rows):
            return TableResult(self.outputs.empty_table(), rejects)
        config = self.config
        options = Options(
            config.rule,
            config.min_margin,
            config.max_pairs_per_prompt,
            config.ties,
            config.min_candidates,
            config.allow_truncated_chosen,
            config.drop_truncated,
        )
        choice = (by_margin if config.rule == "margin" else best_against_one)(loaded.candidates, options, ctx.seed)
        return TableResult(self._pairs(table, loaded, choice), rejects + self._prompt_rejects(table, loaded, choice))

    def yields(self) -> Yield:
        """Return a pair for each prompt at most, or as many as rule `margin` keeps."""
        return Yield(
            (Factor("pairs", self.config.max_pairs_per_prompt if self.config.rule == "margin" else 1),),
            per_prompt=True,
            at_most=True,
        )

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Show margins, and how much longer chosen responses are."""
        return pair_tables(books, self.config.length.column if self.config.length else None)

    def _pairs(self, table: pa.Table, loaded: Loaded, choice: Choice) -> pa.Table:
        candidates = loaded.candidates
        groups = candidates.groups
        chosen, rejected = (pa.array(groups.rows[at]) for at in (choice.chosen, choice.rejected))
        ids = one_array(table.column("id"))
        chosen_ids, rejected_ids = ids.take(chosen), ids.take(rejected)
        pair_ids = [
            lineage_id("pair", c, r) for c, r in zip(chosen_ids.to_pylist(), rejected_ids.to_pylist(), strict=True)
        ]
        high, low = candidates.scores[choice.chosen], candidates.scores[choice.rejected]
        return pa.Table.from_arrays(
            [
                pa.array(pair_ids, pa.string()),
                one_array(table.column("prompt_id")).take(chosen),
                one_array(table.column("prompt")).take(chosen),
                candidates.texts.take(chosen),
                candidates.texts.take(rejected),
                chosen_ids,
                rejected_ids,
                *(_scores(values, self.config.score) for values in (high, low, high - low)),
                pa.array(choice.tied[choice.prompt]),
                pa.array(groups.counts[choice.prompt]),
                _candidate_ids(ids, groups, choice),
                pa.repeat(self.config.rule, len(chosen)),
                *(one_array(table.column(n)).take(at) for n in self.config.carried for at in (chosen, rejected)),
                *(one_array(table.column(n)).take(chosen) for n in self.config.prompt_columns),
            ],
            schema=self.outputs,
        )

    def _prompt_rejects(self, table: pa.Table, loaded: Loaded, choice: Choice) -> list[Reject]:
        groups = loaded.candidates.groups
        lost = groups.spread(choice.codes != OK)
        if not lost.any():
            return []
        rows = table.take(pa.array(groups.rows[lost])).to_pylist()
        prompts = np.repeat(np.arange(len(groups.counts)), groups.counts)[lost]
        out: list[Reject] = []
        for row, g in zip(rows, prompts, strict=True):
            code = str(choice.codes[g])
            text = _MESSAGES[code].format(
                n=groups.counts[g],
                best=choice.best[g],
                min_margin=self.config.min_margin,
                min_candidates=self.config.min_candidates,
                policy_mix=self.config.policy_mix,
            )
            out.append(Reject(row, code, text))
        return out


def _scores(values: FloatArray, score: str | None) -> pa.Array:
    return pa.array(values) if score else pa.nulls(len(values), pa.float64())


def _row_rejects(table: pa.Table, loaded: Loaded) -> list[Reject]:
    out: list[Reject] = []
    for where, code, text in (
        (loaded.incomplete, "pairs.incomplete", "prompt_id or response is null"),
        (loaded.nonfinite, "pairs.nonfinite", "the score is null, NaN or infinite"),
    ):
        if where.any():
            out += [Reject(row, code, text) for row in table.filter(pa.array(where)).to_pylist()]
    return out


def _candidate_ids(ids: pa.Array, groups: Groups, choice: Choice) -> pa.Array:
    """List the ids of all candidates of a prompt at its first pair, and none at its further pairs."""
    first = np.ones(len(choice.prompt), dtype=bool)
    first[1:] = choice.prompt[1:] != choice.prompt[:-1]
    sizes: IntArray = np.where(first, groups.counts[choice.prompt], 0)
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    kept = groups.spread(choice.codes == OK)
    return pa.ListArray.from_arrays(pa.array(offsets), ids.take(pa.array(groups.rows[kept])))
