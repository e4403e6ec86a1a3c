"""Turn a reward into a bounded or centred one: PAR, and the shapes that its paper compares.

Paper: PAR (preference as reward), arXiv:2502.18770, and its code (section 6 of our training notes). The stage takes
rewards of reference responses as it finds them: that they come from the reference policy and the same reward model is
the recipe's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.api import Reject, StageConfig, StageContext, TableResult, TableStage, columns
from stages.preference.list_columns import ColumnName, one_array
from stages.selection.pairing import group_rows
from stages.shaping.reward_shapes import (
    FloatArray,
    centered,
    clipped,
    log_sigmoid_centered,
    mean_std,
    minmax,
    par,
    penalised,
    tanh,
)
from stages.shaping.row_columns import floats, nullable, valid, with_column

Kind = Literal["par", "tanh", "centered", "lsc", "mean_std", "clipped", "minmax"]
BY_REFERENCE = ("par", "tanh", "centered", "lsc")
_OF_TABLE: Mapping[str, Callable[[FloatArray], FloatArray | None]] = {
    "mean_std": mean_std,
    "clipped": clipped,
    "minmax": minmax,
}
_LARGEST = 1e100
"""Squares and sums of what lies beyond are no numbers any more."""
_MESSAGES = {
    "shape.nonfinite": f"the reward is null, NaN or infinite, or of a size above {_LARGEST:g}",
    "shape.no_length": "the number of tokens is null",
    "shape.no_prompt": "prompt_id is null",
    "shape.no_reference": "the prompt has no reference with a finite reward, or too few for lsc, which needs two",
    "shape.no_spread": "all rewards are equal, so that min-max has nothing to divide by",
}


class ShapeRewardsConfig(StageConfig):
    """Options of `shape_rewards`."""

    kind: Kind = "par"
    reward: ColumnName = "reward"
    column: ColumnName = "shaped_reward"
    """Where the shaped reward goes; `reward` stays as it is."""
    slope: float = Field(1.0, gt=0)
    """Kind `par`: k of sigmoid(k (r - r_m))."""
    reference_rewards: ColumnName | None = None
    """List column of the row with rewards of reference responses to its prompt."""
    reference_flag: ColumnName | None = None
    """Boolean column that is true for rows that are references; they are kept, with a null in `column`."""
    max_references: int | None = Field(1, ge=1)
    """References used at most, the first ones with a finite reward; the paper found one to be enough. None for all."""
    over: Literal["prompt", "dataset"] = "dataset"
    """Kinds `mean_std`, `clipped`, `minmax`: whose rewards the mean, spread and bounds are of."""
    length_penalty: float = Field(0.0, ge=0)
    """Taken off the reward before shaping for each token beyond `length_free`; 0.01 in PAR's code."""
    length_free: int = Field(300, ge=0)
    length: ColumnName = "response_tokens"
    """Column with the number of tokens, for the penalty."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        twice = {*self.made_columns()}.intersection(("id", "prompt_id", "prompt", "response", *self.read_columns()))
        if twice:
            raise ValueError(f"column '{min(twice)}' would be written over; name another 'column', so that it stays")
        read = [self.reward, self.reference_rewards, self.reference_flag, self.length if self.length_penalty else None]
        if len({*read} - {None}) < len([n for n in read if n is not None]):
            raise ValueError("two of reward, references and length name the same column; name each its own")
        given = [n for n in (self.reference_rewards, self.reference_flag) if n is not None]
        if self.kind in BY_REFERENCE and len(given) != 1:
            raise ValueError(f"kind {self.kind} needs references; name reference_rewards or reference_flag, not both")
        if self.kind not in BY_REFERENCE and given:
            raise ValueError(f"kind {self.kind} uses no references; leave out '{given[0]}', or take kind par")
        if self.kind in BY_REFERENCE and self.over == "prompt":
            raise ValueError(f"kind {self.kind} measures against references; leave out 'over'")
        if self.kind == "lsc" and self.max_references == 1:
            raise ValueError("lsc takes the spread of the references; set max_references to 2 or more, or to null")
        if self.kind != "par" and self.slope != 1.0:
            raise ValueError("slope belongs to kind par; leave it out")
        return self

    def read_columns(self) -> Mapping[str, Any]:
        """Return the columns that the kind needs, with their types."""
        needed: dict[str, Any] = {self.reward: float}
        if self.length_penalty:
            needed[self.length] = int
        if self.reference_rewards:
            needed[self.reference_rewards] = list[float]
        if self.reference_flag:
            needed[self.reference_flag] = bool
        if self.reference_flag or self.over == "prompt":
            needed["prompt_id"] = str
        return needed

    def made_columns(self) -> Mapping[str, Any]:
        """Return the columns that are added, with their types."""
        at = self.column
        return {at: float, f"{at}_kind": str, f"{at}_references": int, f"{at}_penalised": float}


class ShapeRewards(TableStage):
    """Adds the shaped reward as `<column>`, and what it was made from.

    `<column>_kind`; `<column>_references`: how many references were used, null for kinds without; `<column>_penalised`:
    the reward after the length penalty, which is what was shaped. The stage sees all rows of the run at once, since
    the mean and the spread of a data set need that.

    Reject codes:
        shape.nonfinite: the reward is null, NaN or infinite, or of a size above 1e100.
        shape.no_length: a length penalty is set, and the number of tokens is null.
        shape.no_prompt: prompt_id is null, where responses of a prompt belong together.
        shape.no_reference: no reference of the prompt has a finite reward, or only one for kind `lsc`.
        shape.no_spread: kind `minmax`, and all rewards of the prompt (or data set) are equal.
    """

    name: ClassVar[str] = "shape_rewards"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ShapeRewardsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"

    config: ShapeRewardsConfig

    def __init__(self, config: ShapeRewardsConfig) -> None:
        """Read the columns that the kind needs."""
        super().__init__(config)
        self.inputs, self.outputs = columns(**config.read_columns()), columns(**config.made_columns())

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Shape every row that has what it takes."""
        codes = np.full(table.num_rows, "", dtype=object)
        rewards = self._penalised(table, codes)
        if "prompt_id" in self.inputs.names:
            _mark(codes, ~valid(table, "prompt_id"), "shape.no_prompt")
        if self.config.kind in BY_REFERENCE:
            shaped, used = self._by_reference(table, rewards, codes)
        else:
            shaped, used = self._over_rows(table, rewards, codes), np.full(table.num_rows, np.nan)
        kept = pa.array(codes == "")
        out = table.filter(kept)
        for name, values in zip(
            self.outputs.names,
            (
                nullable(shaped),
                pa.repeat(self.config.kind, table.num_rows),
                nullable(used).cast(pa.int64()),
                pa.array(rewards, pa.float64()),
            ),
            strict=True,
        ):
            out = with_column(out, name, values.filter(kept))
        ids = one_array(table.column("id"))
        rejects = [Reject({"id": ids[int(i)].as_py()}, codes[i], _MESSAGES[codes[i]]) for i in np.flatnonzero(codes)]
        return TableResult(out, rejects)

    def _penalised(self, table: pa.Table, codes: NDArray[np.object_]) -> FloatArray:
        config = self.config
        rewards = floats(table, config.reward)
        _mark(codes, ~_usable(rewards), "shape.nonfinite")
        if not config.length_penalty:
            return rewards
        tokens = floats(table, config.length)
        _mark(codes, np.isnan(tokens), "shape.no_length")
        return penalised(rewards, tokens, config.length_penalty, config.length_free)

    def _over_rows(self, table: pa.Table, rewards: FloatArray, codes: NDArray[np.object_]) -> FloatArray:
        shaped = np.full(len(rewards), np.nan)
        good = np.flatnonzero(codes == "")
        whole = [good] if len(good) else []
        for rows in whole if self.config.over == "dataset" else _by_prompt(table, good):
            values = _OF_TABLE[self.config.kind](rewards[rows])
            if values is None:
                codes[rows] = "shape.no_spread"
            else:
                shaped[rows] = values
        return shaped

    def _by_reference(
        self, table: pa.Table, rewards: FloatArray, codes: NDArray[np.object_]
    ) -> tuple[FloatArray, FloatArray]:
        shaped, used = np.full(len(rewards), np.nan), np.full(len(rewards), np.nan)
        least = 2 if self.config.kind == "lsc" else 1
        for rows, references in self._with_references(table, rewards, codes):
            if len(references) < least:
                codes[rows] = "shape.no_reference"
            else:
                shaped[rows], used[rows] = self._shape(rewards[rows], references), len(references)
        return shaped, used

    def _with_references(
        self, table: pa.Table, rewards: FloatArray, codes: NDArray[np.object_]
    ) -> Iterable[tuple[NDArray[np.int64], FloatArray]]:
        """Yield rows that share their references, and these; rows that are references themselves are in none."""
        good = np.flatnonzero(codes == "")
        if self.config.reference_rewards:
            lists = table.column(self.config.reference_rewards)
            for i in good:
                yield np.array([i]), self._first_usable(lists[int(i)].as_py() or [])
            return
        flags: NDArray[np.bool_] = table.column(str(self.config.reference_flag)).fill_null(False).to_numpy()
        for rows in _by_prompt(table, good):
            yield rows[~flags[rows]], self._first_usable(rewards[rows[flags[rows]]].tolist())

    def _first_usable(self, values: list[float | None]) -> FloatArray:
        known = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        return known[_usable(known)][: self.config.max_references]

    def _shape(self, rewards: FloatArray, references: FloatArray) -> FloatArray:
        match self.config.kind:
            case "par":
                return par(rewards, references, self.config.slope)
            case "tanh":
                return tanh(rewards, references)
            case "centered":
                return centered(rewards, references)
            case _:
                return log_sigmoid_centered(rewards, references)


def _usable(rewards: FloatArray) -> NDArray[np.bool_]:
    return np.asarray(np.abs(rewards) <= _LARGEST)  # false for NaN


def _by_prompt(table: pa.Table, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    groups = group_rows(one_array(table.column("prompt_id")).take(pa.array(rows)), rows)
    return [groups.rows[start : start + n] for start, n in zip(groups.starts, groups.counts, strict=True)]


def _mark(codes: NDArray[np.object_], where: NDArray[np.bool_], code: str) -> None:
    codes[where & (codes == "")] = code
