"""Turn two log-probabilities of a response into a reward: strong minus weak, with the authors' normalisations.

Paper: CDR / Dr.SoW, arXiv:2411.02481. `sum` is the paper's pipeline, `per_strong_token` the reward_hub library,
`per_own_token` with the two guards and the squashing is FinLab; these rank differently. `per_byte` is for models
with different tokenisers. This stage does not know the models, only the columns and what the recipe says of their
makers; the arithmetic is in `ratios`, the figures about length in `length_drift`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.api import (
    Maker,
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    columns,
)
from stages.annotation.ratio_report import ratio_tables
from stages.annotation.ratios import FloatArray, density_ratio, implausible, repeats_a_window, squash

Normalize = Literal["sum", "per_own_token", "per_strong_token", "per_byte"]
BoolArray = NDArray[np.bool_]

REPETITION_REWARD = -2.0
"""What FinLab gives a text that repeats itself; below any mean per token or byte worth having."""

_MESSAGES = {
    "density.nonfinite": "a log-probability, a token count or the difference is null, NaN or infinite; expected "
    "finite numbers",
    "density.empty": "normalize '{normalize}' has no token or byte to divide by",
    "density.tokenizers": "'{above}' and '{below}' were scored with different tokenizers, whose means per token do not "
    "compare; use normalize: sum or per_byte without guard_low_likelihood",
    "density.end_token": "the end-of-turn token is in one of '{above}' and '{below}' only; set include_eos alike",
}


class DensityRatioConfig(StageConfig):
    """Options of `density_ratio`."""

    numerator: str = Field("strong_logprob", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    denominator: str = Field("weak_logprob", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    normalize: Normalize = "sum"
    """`sum` rewards length where the weak model is worse at every token; see the report. Models with different
    tokenizers take `sum` or `per_byte`."""
    column: str = Field("reward", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    guard_low_likelihood: bool = False
    """Where both models find a text implausible, the reward is the strong model's own log-probability, normalised
    alike."""
    guard_repetition: bool = False
    """Where a run of 15 words occurs twice, the reward is `repetition_reward`."""
    repetition_reward: float | None = Field(None, allow_inf_nan=False)
    """None is -2 as in FinLab, which suits means; sums need a figure of their own, in nats."""
    sigmoid_temperature: float | None = Field(None, gt=0)
    """FinLab uses 0.03; None leaves the reward as it is."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.numerator == self.denominator:
            raise ValueError(f"numerator and denominator are both '{self.numerator}'; the ratio would be 0 everywhere")
        if self.column in (self.numerator, self.denominator):
            raise ValueError(f"column '{self.column}' would take the place of the figures it is made of; name another")
        if self.guard_repetition and self.normalize == "sum" and self.repetition_reward is None:
            raise ValueError(
                "guard_repetition puts -2 among the rewards, which is no low figure among sums; give "
                "repetition_reward in nats, or normalize per token or byte"
            )
        if self.repetition_reward is not None and not self.guard_repetition:
            raise ValueError("repetition_reward says what guard_repetition gives; set guard_repetition: true")
        return self

    @property
    def needs_one_tokenizer(self) -> bool:
        """Return whether means per token of the two models are compared."""
        return self.normalize in ("per_own_token", "per_strong_token") or self.guard_low_likelihood


class DensityRatio(TableStage):
    """Adds the reward, which guard set it (`none`, `low_likelihood`, `repetition`) and the normalisation.

    Swapping numerator and denominator negates every reward that no guard set; with `per_strong_token` only where both
    models count as many tokens, and before the sigmoid, which turns r into 1 - r.

    Reject codes:
        density.nonfinite: a log-probability or a token count is null, NaN or infinite, or the difference overflows.
        density.empty: nothing to divide by: no token was scored, or the response has no bytes.
        density.tokenizers: the two models have different tokenizers, and means per token are asked for.
        density.end_token: one model scored the end-of-turn token, the other did not.
    """

    name: ClassVar[str] = "density_ratio"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = DensityRatioConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"

    config: DensityRatioConfig

    def __init__(self, config: DensityRatioConfig) -> None:
        """Read only the columns that the normalisation and the guards need."""
        super().__init__(config)
        needed: dict[str, Any] = {config.numerator: float, config.denominator: float}
        if config.normalize in ("per_own_token", "per_strong_token") or config.guard_low_likelihood:
            needed[f"{config.numerator}_tokens"] = int
        if config.normalize == "per_own_token" or config.guard_low_likelihood:
            needed[f"{config.denominator}_tokens"] = int
        if config.normalize == "per_byte" or config.guard_repetition:
            needed["response"] = str
        self.inputs = columns(**needed)
        at = config.column
        self.outputs = columns(**{at: float, f"{at}_guard": str, f"{at}_normalize": str})

    def check_makers(self, makers: Mapping[str, Maker]) -> None:
        """Refuse scores over different spans, and means per token of models with different tokenizers.

        Raises:
            ValueError: with what to change.
        """
        above, below = makers.get(self.config.numerator), makers.get(self.config.denominator)
        if above is None or below is None:
            return
        ends = {m.options["include_eos"] for m in (above, below) if "include_eos" in m.options}
        if len(ends) > 1:
            raise ValueError(
                f"of stages '{above.stage_id}' and '{below.stage_id}' one scores the end-of-turn token and the other "
                "does not, so their difference says nothing; set include_eos alike"
            )
        known = [{d for d in m.tokenizers.values() if d is not None} for m in (above, below)]
        if self.config.needs_one_tokenizer and all(len(d) == 1 for d in known) and known[0] != known[1]:
            raise ValueError(
                f"the engines of stages '{above.stage_id}' and '{below.stage_id}' have different tokenizers, so their "
                "means per token do not compare; set normalize: sum or per_byte without guard_low_likelihood, or bind "
                "two models with one tokenizer"
            )

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Compute the reward of every row that has finite inputs over one span."""
        refused, faults = self._faults(table)
        rejects = [
            Reject(row, code, message)
            for where, code, message in faults
            for row in table.filter(pa.array(where)).to_pylist()
        ]
        kept = table.filter(pa.array(~refused))
        reward, guard = self._reward(kept)
        at = self.config.column
        for column, values in (
            (at, reward),
            (f"{at}_guard", guard),
            (f"{at}_normalize", pa.repeat(self.config.normalize, kept.num_rows)),
        ):
            kept = _with(kept, column, values)
        return TableResult(kept, rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return whether the reward follows length, and what the guards did."""
        config = self.config
        return ratio_tables(books, config.numerator, config.denominator, config.column, config.normalize)

    def _faults(self, table: pa.Table) -> tuple[BoolArray, list[tuple[BoolArray, str, str]]]:
        """Return which rows are refused, and where, by code and message; each row under its first fault only."""
        above, below = self.config.numerator, self.config.denominator
        tokenizers = _unlike(table, f"{above}_tokenizer", f"{below}_tokenizer")
        figures = [_floats(table, name) for name in (above, below)]
        with np.errstate(over="ignore", invalid="ignore"):
            figures.append(figures[0] - figures[1])
        needed = [n for n in (f"{above}_tokens", f"{below}_tokens") if n in self.inputs.names]
        counts = [*self._sizes(table), *(_floats(table, name) for name in needed)]
        where = {
            "density.nonfinite": ~np.logical_and.reduce([np.isfinite(f) for f in figures + counts]),
            "density.empty": np.logical_or.reduce([c <= 0 for c in counts]),
            "density.tokenizers": tokenizers & self.config.needs_one_tokenizer,
            "density.end_token": _unlike(table, f"{above}_eos", f"{below}_eos"),
        }
        refused, faults = np.zeros(table.num_rows, dtype=bool), []
        for code, hit in where.items():
            message = _MESSAGES[code].format(above=above, below=below, normalize=self.config.normalize)
            faults.append((hit & ~refused, code, message))
            refused = refused | hit
        return refused, faults

    def _sizes(self, table: pa.Table) -> tuple[FloatArray, FloatArray]:
        match self.config.normalize:
            case "sum":
                ones = np.ones(table.num_rows)
                return ones, ones
            case "per_byte":
                size = pc.fill_null(pc.binary_length(table.column("response")), 0).to_numpy().astype(np.float64)
                return size, size
            case "per_strong_token":
                size = _floats(table, f"{self.config.numerator}_tokens")
                return size, size
            case "per_own_token":
                return (
                    _floats(table, f"{self.config.numerator}_tokens"),
                    _floats(table, f"{self.config.denominator}_tokens"),
                )

    def _reward(self, table: pa.Table) -> tuple[pa.Array, pa.Array]:
        config = self.config
        strong, weak = _floats(table, config.numerator), _floats(table, config.denominator)
        strong_size, weak_size = self._sizes(table)
        reward = density_ratio(strong, weak, strong_size, weak_size)
        guard = np.full(len(reward), "none", dtype=object)
        if config.guard_repetition:
            instead = REPETITION_REWARD if config.repetition_reward is None else config.repetition_reward
            hit = np.array([repeats_a_window(text or "") for text in table.column("response").to_pylist()], dtype=bool)
            reward, guard = np.where(hit, instead, reward), np.where(hit, "repetition", guard)
        if config.guard_low_likelihood:
            own = (_floats(table, f"{name}_tokens") for name in (config.numerator, config.denominator))
            hit = implausible(strong / next(own), weak / next(own))
            reward, guard = np.where(hit, strong / strong_size, reward), np.where(hit, "low_likelihood", guard)
        if config.sigmoid_temperature is not None:
            reward = squash(reward, config.sigmoid_temperature)
        return pa.array(reward, pa.float64()), pa.array(guard, pa.string())


def _floats(table: pa.Table, column: str) -> FloatArray:
    """Return a column as float64 with NaN for null."""
    values: FloatArray = table.column(column).cast(pa.float64()).to_numpy()
    return values


def _unlike(table: pa.Table, one: str, other: str) -> BoolArray:
    """Return where two columns hold different values; False where either is null or not there."""
    if not {one, other} <= set(table.column_names):
        return np.zeros(table.num_rows, dtype=bool)
    unlike = pc.fill_null(pc.not_equal(table.column(one), table.column(other)), False)
    where: BoolArray = unlike.to_numpy().astype(bool)
    return where


def _with(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(column)
    field = pa.field(column, values.type)
    return table.append_column(field, values) if at < 0 else table.set_column(at, field, values)
