"""Choose a chosen and a rejected response for each prompt.

Rules: `best_worst` (SimPO's on-policy recipe), `best_random` (CDR, arXiv:2411.02481, after UltraFeedback-binarized,
but with a seeded draw), `margin` (all pairs far enough apart). Filters bear on the chosen side only, as in Olmo 3
(arXiv:2512.13961, 5.3.1): what may not be chosen may still be rejected. The stage does not know where the score comes
from, nor why a candidate may not be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.api import (
    MESSAGES,
    Factor,
    PrerequisiteError,
    Reject,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
    lineage_id,
)
from stages.selection.pairing import BoolArray, FloatArray, Groups, IntArray, group_rows
from stages.selection.rules import OK, Candidates, Choice, Options, best_against_one, by_margin
from stages.sources.records import ARROW_TYPES, ColumnType

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_MESSAGES = {
    "pairs.too_few": "{n} candidates with a finite score; expected at least {min_candidates}",
    "pairs.tie": "{n} candidates, none apart from a tie at the best score {best:.6g}",
    "pairs.margin": "the widest margin of {n} candidates is below min_margin {min_margin:.6g}",
    "pairs.identical": "{n} candidates; every one scored lower than the best has the same text",
    "pairs.all_truncated": "{n} candidates; those that were cut off (finish_reason 'length') leave no pair",
    "pairs.all_filtered": "{n} candidates; those that may not be chosen (may_be_chosen) leave no pair",
}
_PAIR_COLUMNS = columns(
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


class SelectPairsConfig(StageConfig):
    """Options of `select_pairs`."""

    score: ColumnName = "reward"
    rule: Literal["best_worst", "best_random", "margin"] = "best_worst"
    min_margin: float = Field(0.0, ge=0)
    """Least difference of scores; 0 asks for any difference, equal scores are never a pair."""
    max_pairs_per_prompt: int = Field(1, ge=1)
    """For rule `margin`: keep that many, widest margin first."""
    ties: Literal["drop", "first", "random"] = "first"
    """What to do when several candidates share the best score and others score lower."""
    min_candidates: int = Field(2, ge=2)
    allow_truncated_chosen: bool = False
    drop_truncated: bool = False
    """Keep cut-off responses out of the rejected side too."""
    carry: Mapping[ColumnName, ColumnType] = {}
    """Columns of candidates to keep, with their types: `turn` becomes `chosen_turn` and `rejected_turn`."""
    prompt_columns: Mapping[ColumnName, ColumnType] = {}
    """Columns that all candidates of a prompt share, with their types; kept under their names, from the chosen one."""

    @model_validator(mode="after")
    def _columns_fit(self) -> SelectPairsConfig:
        unlike = sorted(n for n in self.carry if self.prompt_columns.get(n, self.carry[n]) != self.carry[n])
        if unlike:
            raise ValueError(f"'carry' and 'prompt_columns' give '{unlike[0]}' different types; name one")
        made = [f"{side}_{name}" for name in self.carry for side in ("chosen", "rejected")]
        taken = set(_PAIR_COLUMNS.names)
        for option, names in (("carry", made), ("prompt_columns", list(self.prompt_columns))):
            twice = sorted(taken.intersection(names))
            if twice:
                raise ValueError(f"'{option}' would make column '{twice[0]}', which a pair already has; leave it out")
            taken |= set(names)
        return self


class SelectPairs(TableStage):
    """Makes one row per pair from the candidates of a prompt, wherever in the shard they lie.

    A column `finish_reason`, if there is one, tells which responses were cut off; a boolean column `may_be_chosen`
    tells which ones may only be rejected (false or null), as `filter_responses` writes it. `tied` counts the
    candidates that share the best score. Of several pairs of one prompt only the first names its candidates.

    Reject codes (each candidate of the prompt, but the first two):
        pairs.nonfinite: the candidate's score is null, NaN or infinite; the others of its prompt go on.
        pairs.incomplete: the candidate has no prompt_id or no response; the others go on.
        pairs.too_few: fewer than `min_candidates` candidates are left.
        pairs.tie: all scores are equal, or several are best and `ties` is `drop`.
        pairs.margin: no two candidates are `min_margin` apart.
        pairs.identical: only candidates with the text of the chosen one score lower.
        pairs.all_truncated: responses that were cut off leave no pair.
        pairs.all_filtered: there would be a pair if all responses were allowed by `may_be_chosen`.
    """

    name: ClassVar[str] = "select_pairs"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = SelectPairsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "groups"
    lineage: ClassVar[tuple[str, ...]] = ("candidate_ids",)

    outputs = _PAIR_COLUMNS

    config: SelectPairsConfig

    def __init__(self, config: SelectPairsConfig) -> None:
        """Read the score column and the further columns that the config names."""
        super().__init__(config)
        kept = {name: ARROW_TYPES[kind] for name, kind in {**config.carry, **config.prompt_columns}.items()}
        named: dict[str, Any] = {config.score: float, **kept}
        self.inputs = columns(**{"id": str, "prompt_id": str, "prompt": MESSAGES, "response": str, **named})
        carried = {f"{side}_{n}": kept[n] for n in config.carry for side in ("chosen", "rejected")}
        shared = {n: kept[n] for n in config.prompt_columns}
        self.outputs = pa.schema([*_PAIR_COLUMNS, *columns(**carried), *columns(**shared)])

    def yields(self) -> Yield:
        """Return a pair for each prompt at most, or as many as rule `margin` keeps."""
        return Yield(
            (Factor("pairs", self.config.max_pairs_per_prompt if self.config.rule == "margin" else 1),),
            per_prompt=True,
            at_most=True,
        )

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Group candidates by prompt and apply the rule."""
        loaded = _load(table, self.config.score)
        rejects = _row_rejects(table, loaded)
        if not len(loaded.groups.rows):
            return TableResult(self.outputs.empty_table(), rejects)
        candidates = Candidates(
            loaded.groups, loaded.scores, loaded.truncated, loaded.barred, loaded.texts, loaded.prompt_ids
        )
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
        choice = (by_margin if config.rule == "margin" else best_against_one)(candidates, options, ctx.seed)
        return TableResult(self._pairs(table, loaded, choice), rejects + self._prompt_rejects(table, loaded, choice))

    def _pairs(self, table: pa.Table, loaded: _Loaded, choice: Choice) -> pa.Table:
        groups = loaded.groups
        chosen, rejected = (pa.array(groups.rows[at]) for at in (choice.chosen, choice.rejected))
        ids = _one(table.column("id"))
        chosen_ids, rejected_ids = ids.take(chosen), ids.take(rejected)
        pair_ids = [
            lineage_id("pair", c, r) for c, r in zip(chosen_ids.to_pylist(), rejected_ids.to_pylist(), strict=True)
        ]
        high, low = loaded.scores[choice.chosen], loaded.scores[choice.rejected]
        responses = loaded.texts
        return pa.Table.from_arrays(
            [
                pa.array(pair_ids, pa.string()),
                _one(table.column("prompt_id")).take(chosen),
                _one(table.column("prompt")).take(chosen),
                responses.take(chosen),
                responses.take(rejected),
                chosen_ids,
                rejected_ids,
                pa.array(high),
                pa.array(low),
                pa.array(high - low),
                pa.array(choice.tied[choice.prompt]),
                pa.array(groups.counts[choice.prompt]),
                _candidate_ids(ids, groups, choice),
                pa.repeat(self.config.rule, len(chosen)),
                *(_one(table.column(n)).take(at) for n in self.config.carry for at in (chosen, rejected)),
                *(_one(table.column(n)).take(chosen) for n in self.config.prompt_columns),
            ],
            schema=self.outputs,
        )

    def _prompt_rejects(self, table: pa.Table, loaded: _Loaded, choice: Choice) -> list[Reject]:
        groups = loaded.groups
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
            )
            out.append(Reject(row, code, text))
        return out


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A table's columns as the rules want them; the first three arrays in grouped order, the others in table order."""

    groups: Groups
    scores: FloatArray
    truncated: BoolArray
    barred: BoolArray
    texts: pa.Array
    prompt_ids: pa.Array
    incomplete: BoolArray
    nonfinite: BoolArray


def _load(table: pa.Table, score: str) -> _Loaded:
    scores: FloatArray = table.column(score).cast(pa.float64()).to_numpy()
    prompt_ids, texts = _one(table.column("prompt_id")), _one(table.column("response"))
    complete = pc.and_(prompt_ids.is_valid(), texts.is_valid()).to_numpy(zero_copy_only=False)
    finite = np.isfinite(scores)
    rows = np.flatnonzero(complete & finite)
    picked = prompt_ids if len(rows) == table.num_rows else prompt_ids.take(pa.array(rows))
    groups = group_rows(picked, rows)
    return _Loaded(
        groups,
        scores[groups.rows],
        _truncated(table)[groups.rows],
        _barred(table)[groups.rows],
        texts,
        prompt_ids,
        ~complete,
        complete & ~finite,
    )


def _truncated(table: pa.Table) -> BoolArray:
    if "finish_reason" not in table.schema.names:
        return np.zeros(table.num_rows, dtype=bool)
    hits: BoolArray = pc.fill_null(pc.equal(table.column("finish_reason"), "length"), False).to_numpy()
    return hits


def _barred(table: pa.Table) -> BoolArray:
    if "may_be_chosen" not in table.schema.names:
        return np.zeros(table.num_rows, dtype=bool)
    allowed = table.column("may_be_chosen")
    if not pa.types.is_boolean(allowed.type):
        raise PrerequisiteError(f"column 'may_be_chosen' holds {allowed.type}; expected true or false. Rename it")
    barred: BoolArray = pc.invert(pc.fill_null(allowed, False)).to_numpy()
    return barred


def _row_rejects(table: pa.Table, loaded: _Loaded) -> list[Reject]:
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


def _one(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, copied only if it has several chunks; a shard holds less than 2 GiB of text."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
