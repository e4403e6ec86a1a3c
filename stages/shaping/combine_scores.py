"""Make one score of several: rank each annotator's scores within the prompt, and take the weighted mean.

Source: annotators whose faults differ complement each other (Olmo 3, arXiv:2512.13961, table 32; F 3 of our annotation
notes); the form is ours. Ranks make scores of any scale comparable, and lose how far apart they were. The stage does
not know which annotator is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.api import Reject, StageConfig, StageContext, TableResult, TableStage, columns
from stages.preference.list_columns import ColumnName, one_array
from stages.selection.pairing import Groups, group_rows
from stages.shaping.rank_scores import EQUAL, FloatArray, agreement, combine, ranks
from stages.shaping.row_columns import floats, nullable, valid, with_column


class CombineScoresConfig(StageConfig):
    """Options of `combine_scores`."""

    scores: Mapping[ColumnName, float] = {}
    """Score columns with their weights, at least two; a negative weight means that lower is better."""
    column: ColumnName = "combined_score"
    """Where the combination goes, from 0 (lowest by all) to 1; `<score>_rank` and `<column>_agreement` beside it."""
    missing: Literal["reject", "skip"] = "reject"
    """A response that lacks a score is set aside before anything is ranked, or is ranked by the others it has."""
    min_agreement: float = Field(0.0, ge=0, le=1)
    """Set a prompt aside if less of the weight orders its best and worst response as the combination does."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if len(self.scores) < 2:
            raise ValueError("'scores' names fewer than two columns; name two or more, each with its weight")
        bad = [name for name, weight in self.scores.items() if weight == 0 or not np.isfinite(weight)]
        if bad:
            raise ValueError(f"the weight of '{bad[0]}' is {self.scores[bad[0]]}; give another, or leave it out")
        made = [self.column, f"{self.column}_agreement", *(f"{name}_rank" for name in self.scores)]
        there = ("id", "prompt_id", "prompt", "response", *self.scores)
        if len({*made, *there}) < len(made) + len(there):
            raise ValueError(f"'{self.column}' or a '..._rank' is the name of another column; choose another 'column'")
        return self


class CombineScores(TableStage):
    """Adds `<column>` in [0, 1], `<column>_agreement` (share of weight, one value per prompt) and each `<score>_rank`.

    The agreement is null where the combination finds all responses of a prompt equal. Responses of a prompt may lie
    anywhere in a shard, but must lie in one.

    Reject codes:
        combine.no_prompt: prompt_id is null.
        combine.missing: a score is null, NaN or infinite; with `missing: skip` only where no score can be ranked.
        combine.too_few: the prompt has only one response, and nothing to rank it against.
        combine.disagreement: less than `min_agreement` of the weight agrees (all responses of the prompt), or the
            combination finds them equal while an agreement is asked for.
    """

    name: ClassVar[str] = "combine_scores"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = CombineScoresConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"

    config: CombineScoresConfig

    def __init__(self, config: CombineScoresConfig) -> None:
        """Read the scores."""
        super().__init__(config)
        needed: dict[str, Any] = {"prompt_id": str, **dict.fromkeys(config.scores, float)}
        at = config.column
        made: dict[str, Any] = {at: float, f"{at}_agreement": float}
        made |= {f"{name}_rank": float for name in config.scores}
        self.inputs, self.outputs = columns(**needed), columns(**made)

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Combine the scores of each prompt's responses."""
        scores = np.stack([floats(table, name) for name in self.config.scores], axis=1)
        codes = np.full(table.num_rows, "", dtype=object)
        prompt_ids = one_array(table.column("prompt_id"))
        codes[~valid(table, "prompt_id")] = "combine.no_prompt"
        finite = np.isfinite(scores)
        usable = finite.all(axis=1) if self.config.missing == "reject" else finite.any(axis=1)
        codes[(codes == "") & ~usable] = "combine.missing"
        rows = np.flatnonzero(codes == "")
        found = self._combine(group_rows(prompt_ids.take(pa.array(rows)), rows), scores, codes)
        kept = pa.array(codes == "")
        out = table.filter(kept)
        for at, name in enumerate(self.outputs.names):
            out = with_column(out, name, nullable(found[:, at]).filter(kept))
        ids = one_array(table.column("id"))
        rejects = [
            Reject({"id": ids[int(i)].as_py()}, codes[i], self._message(codes[i], scores[i]))
            for i in np.flatnonzero(codes)
        ]
        return TableResult(out, rejects)

    def _combine(self, groups: Groups, scores: FloatArray, codes: NDArray[np.object_]) -> FloatArray:
        """Return the output columns, shape (rows of the table, 2 + scores), NaN where there is nothing."""
        weights = np.array(list(self.config.scores.values()), dtype=np.float64)
        found = np.full((len(scores), 2 + len(weights)), np.nan)
        for start, count in zip(groups.starts, groups.counts, strict=True):
            rows = groups.rows[start : start + count]
            if count < 2:
                codes[rows] = "combine.too_few"
                continue
            ranked = np.stack([ranks(column) for column in scores[rows].T], axis=1)
            combined = combine(ranked, weights)
            codes[rows[np.isnan(combined)]] = "combine.missing"
            agreed = agreement(ranked, weights, combined)
            if self.config.min_agreement > (0.0 if agreed is None else agreed) + EQUAL:
                codes[rows[np.isfinite(combined)]] = "combine.disagreement"
            found[rows, 0], found[rows, 1], found[rows, 2:] = combined, np.nan if agreed is None else agreed, ranked
        return found

    def _message(self, code: str, scores: FloatArray) -> str:
        if code == "combine.missing":
            lacking = [n for n, v in zip(self.config.scores, scores, strict=True) if not np.isfinite(v)]
            return f"no finite score, or none to rank against, in {', '.join(lacking) or 'any column'}"
        return {
            "combine.no_prompt": "prompt_id is null",
            "combine.too_few": "the only response of its prompt with usable scores",
            "combine.disagreement": f"less than {self.config.min_agreement:.6g} of the weight agrees on best and worst",
        }[code]
