"""Take the part that follows length out of scores, or out of outcomes of pairs, before pairs are selected.

Source: the regression of LC-AlpacaEval (arXiv:2404.04475), used on annotation: `scores` fits, within prompts,

    score = a_prompt + gamma * f(length) + residual        and gives        score - gamma * f(length)

with f = tanh(dl / s) or the rank; `pairs` fits P(A wins), gives sigmoid(logit(P) - gamma * tanh((len A - len B) / s)).
Both keep what the row has of its own. LC-AlpacaEval's prediction, which drops it, is a figure of a whole system and is
never used as a label. The stage does not know whether length is good for the task: `except_categories` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.api import (
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    columns,
)
from stages.shaping.length_debiasing import Controlled, Guards, Observed, control
from stages.shaping.length_features import Array, IntArray, centred, ranked, squashed, winsorized
from stages.shaping.length_report import length_tables
from stages.shaping.length_slope import linear_fit, logistic_fit, outcome_at_equal_length

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_OF_SCORES, _OF_PAIRS = ("function", "loss"), ("clip", "theta", "position_column")
BoolArray = np.ndarray[tuple[int], np.dtype[np.bool_]]


class ControlLengthConfig(StageConfig):
    """Options of `control_length`."""

    mode: Literal["scores", "pairs"] = "scores"
    """`scores` takes response rows with a score, `pairs` takes pair rows with the probability that A wins."""
    column: ColumnName = "reward"
    """The score; for pairs the probability that A wins, 0 to 1."""
    length_column: ColumnName | None = None
    """Integer column with the length of a response, say tokens (for pairs with `_a`, `_b`); else characters count."""
    function: Literal["tanh", "rank"] = "tanh"
    """Of scores: how length enters."""
    loss: Literal["huber", "squared"] = "huber"
    """Of scores: `huber` lets responses far off the line count less."""
    ridge: float = Field(1.0, gt=0)
    """Pulls the slope to 0; as much as one response at f = 1 would."""
    folds: int = Field(5, ge=2)
    """Each prompt is corrected by the slope of the other folds."""
    resamples: int = Field(1000, ge=100)
    """Of the bootstrap by prompt."""
    winsorize: float = Field(0.01, ge=0, lt=0.5)
    """Share of lengths at either end that are pulled in."""
    min_prompts: int = Field(20, ge=2)
    """With fewer prompts whose responses differ in length nothing is corrected."""
    min_rank_correlation: float = Field(0.3, ge=-1, le=1)
    """Where corrected and raw values order all rows less alike than this (Spearman; scores less the mean of their
    prompt), nothing is corrected."""
    category_column: ColumnName | None = None
    except_categories: tuple[str, ...] = ()
    """Values of `category_column` where length belongs to the task: their rows stay as they are and tell nothing."""
    clip: float = Field(0.05, gt=0, lt=0.5)
    """Of pairs: how near 0 and 1 an outcome may come before its logit is taken."""
    theta: bool = False
    """Of pairs: a term for side A, where A is always one system and B another; else relabelling would matter."""
    position_column: ColumnName | None = None
    """Of pairs: column that is true where A was shown first, for a term of its own."""

    @model_validator(mode="after")
    def _options_fit(self) -> ControlLengthConfig:
        if (self.category_column is None) != (not self.except_categories):
            raise ValueError("'category_column' and 'except_categories' go together; give both or neither")
        others = _OF_PAIRS if self.mode == "scores" else _OF_SCORES
        stray = [n for n in others if getattr(self, n) != type(self).model_fields[n].default]
        if stray:
            raise ValueError(f"'{stray[0]}' has no meaning with mode '{self.mode}'; leave it out")
        return self


class ControlLength(TableStage):
    """Adds the value without length, and why; the raw one stays.

    With `c` for the column: `c_length_debiased`; `c_length_effect`, what was subtracted (for pairs on the logit scale);
    `c_length_status`; `c_length_gamma`, `c_length_gamma_low` and `c_length_gamma_high`, the slope over all rows with
    its 95 % interval, the same in every row. Status: `debiased`; `excepted` by category; `too_few_prompts`,
    `not_distinguishable` (the interval of gamma holds 0) or `order_lost` (`min_rank_correlation`): the value is copied.

    Reject codes:
        length.no_score: the score is null, NaN or infinite.
        length.no_text: a response, or its length, is null, or the length is negative.
        length.no_prompt: prompt_id is null.
        length.not_a_probability: for pairs, the value lies outside 0 to 1.
    """

    name: ClassVar[str] = "control_length"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ControlLengthConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    max_rows: ClassVar[int] = 2_000_000

    config: ControlLengthConfig

    def __init__(self, config: ControlLengthConfig) -> None:
        """Read and add the columns that the config names."""
        super().__init__(config)
        sides = ("",) if config.mode == "scores" else ("_a", "_b")
        self._texts = [f"response{s}" for s in sides]
        self._counted = [f"{config.length_column}{s}" for s in sides] if config.length_column else []
        named: dict[str, Any] = {"prompt_id": str, **dict.fromkeys(self._texts, str), config.column: float}
        named |= dict.fromkeys(self._counted, int)
        if config.category_column:
            named[config.category_column] = str
        if config.position_column:
            named[config.position_column] = bool
        self.inputs = columns(**named)
        made: dict[str, Any] = {"debiased": float, "effect": float, "status": str}
        made |= {"gamma": float, "gamma_low": float, "gamma_high": float}
        self.outputs = columns(**{f"{config.column}_length_{name}": kind for name, kind in made.items()})

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Fit over the whole data set and correct every row."""
        rejects, usable = self._unusable(table)
        if rejects:
            table = table.filter(pa.array(usable))
        if not table.num_rows:
            return TableResult(self._with_columns(table, _nothing(), np.array([])), rejects)
        values = _floats(table.column(self.config.column))
        observed, apply = self._observed(table, values, ctx)
        config = self.config
        guards = Guards(config.ridge, config.resamples, config.min_prompts, config.min_rank_correlation)
        found = control(observed, guards, self._fit, apply, ctx.seed("gamma"))
        return TableResult(self._with_columns(table, found, apply(values, found.effect)), rejects)

    def _fit(self, values: Array, features: Array) -> Any:
        config = self.config
        if config.mode == "pairs":
            return logistic_fit(values, features, config.ridge)
        return linear_fit(values, features[:, 0], config.ridge, config.loss == "huber")

    def _observed(self, table: pa.Table, values: Array, ctx: StageContext) -> tuple[Observed, Any]:
        config = self.config
        prompts, folds = _prompts(table.column("prompt_id"), config.folds, ctx)
        excepted = self._excepted(table)
        kept = np.flatnonzero(~excepted)
        sizes = np.concatenate([size[kept] for size in self._lengths(table)])
        lengths = np.split(winsorized(sizes, config.winsorize), len(self._texts))
        feature = np.zeros(table.num_rows)
        if config.mode == "scores":
            make = squashed if config.function == "tanh" else ranked
            feature[kept] = make(lengths[0], prompts[kept])
            observed = Observed(_centred_where(values, prompts, kept), feature[:, None], prompts, folds, excepted)
            return observed, lambda raw, effect: raw - effect
        longer = lengths[0] - lengths[1]
        spread = float(np.sqrt(np.mean(longer**2))) if len(longer) else 0.0
        feature[kept] = np.tanh(longer / spread) if spread > 0 else 0.0
        features = np.column_stack([feature, *self._further_features(table)])
        observed = Observed(values, features, prompts, folds, excepted)
        return observed, lambda raw, effect: outcome_at_equal_length(raw, effect, config.clip)

    def _further_features(self, table: pa.Table) -> list[Array]:
        out = [np.ones(table.num_rows)] if self.config.theta else []
        if self.config.position_column:
            first = table.column(self.config.position_column).cast(pa.int8())
            out.append(_floats(pc.fill_null(pc.subtract(pc.multiply(first, 2), 1), 0)))
        return out

    def _excepted(self, table: pa.Table) -> BoolArray:
        if not self.config.category_column:
            return np.zeros(table.num_rows, dtype=bool)
        hits = pc.is_in(table.column(self.config.category_column), pa.array(self.config.except_categories, pa.string()))
        excepted: BoolArray = hits.to_numpy()
        return excepted

    def _lengths(self, table: pa.Table) -> list[Array]:
        if self._counted:
            return [_floats(table.column(name)) for name in self._counted]
        return [_floats(pc.utf8_length(table.column(name))) for name in self._texts]

    def _unusable(self, table: pa.Table) -> tuple[list[Reject], BoolArray]:
        values = _floats(table.column(self.config.column))
        bad = [("length.no_prompt", table.column("prompt_id").is_null().to_numpy(), "prompt_id is null")]
        bad.append(("length.no_score", ~np.isfinite(values), f"'{self.config.column}' is null, NaN or infinite"))
        if self.config.mode == "pairs":
            outside = np.isfinite(values) & ((values < 0) | (values > 1))
            bad.append(("length.not_a_probability", outside, f"'{self.config.column}' lies outside 0 to 1"))
        for name in self._texts:
            bad.append(("length.no_text", table.column(name).is_null().to_numpy(), f"'{name}' is null"))
        for name in self._counted:
            sizes = _floats(table.column(name))
            bad.append(("length.no_text", ~(np.isfinite(sizes) & (sizes >= 0)), f"'{name}' is null or negative"))
        rejects, usable = [], np.ones(table.num_rows, dtype=bool)
        for code, where, text in bad:
            rejects += [
                Reject({"id": i}, code, text) for i in table.column("id").filter(pa.array(where & usable)).to_pylist()
            ]
            usable &= ~where
        return rejects, usable

    def _with_columns(self, table: pa.Table, found: Controlled, debiased: Array) -> pa.Table:
        slope = [None if np.isnan(v) else float(v) for v in (found.gamma, *found.interval)]
        arrays = [
            pa.array(debiased, pa.float64()),
            pa.array(found.effect, pa.float64()),
            pa.array(found.status.tolist(), pa.string()),
            *(pa.array([v] * table.num_rows, pa.float64()) for v in slope),
        ]
        for field, array in zip(self.outputs, arrays, strict=True):
            at = table.schema.get_field_index(field.name)
            table = table.append_column(field, array) if at < 0 else table.set_column(at, field, array)
        return table

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say the slope, what was left alone, and how far scores follow length before and after."""
        return length_tables(books, self.config.column, self._texts, self._counted)


def _nothing() -> Controlled:
    return Controlled(np.array([]), np.array([], dtype=np.str_), np.nan, (np.nan, np.nan))


def _floats(column: pa.ChunkedArray) -> Array:
    values: Array = column.cast(pa.float64()).to_numpy()
    return values


def _centred_where(values: Array, prompts: IntArray, kept: IntArray) -> Array:
    """Centre within the prompt over the rows that tell; the others stay."""
    out = values.copy()
    out[kept] = centred(values[kept], prompts[kept])
    return out


def _prompts(ids: pa.ChunkedArray, folds: int, ctx: StageContext) -> tuple[IntArray, IntArray]:
    """Number the prompts in the order of their ids, and draw a fold for each by its id alone."""
    encoded = ids.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    numbers = np.empty(len(names), dtype=np.int64)
    numbers[order] = np.arange(len(names))
    draws = np.array([ctx.seed(names[k]) % folds for k in order], dtype=np.int64)
    return numbers[encoded.indices.to_numpy()], draws
