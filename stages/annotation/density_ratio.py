"""Turn two log-probabilities of a response into a reward: strong minus weak, with the authors' normalisations.

Paper: CDR / Dr.SoW, arXiv:2411.02481. `sum` is the paper's pipeline, `per_strong_token` the reward_hub library,
`per_own_token` with the two guards and the squashing is FinLab; these rank differently. `per_byte` is for models
with different tokenisers. This stage does not know the models, only the columns.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.api import Reject, StageConfig, StageContext, TableResult, TableStage, columns

FloatArray = NDArray[np.float64]
Normalize = Literal["sum", "per_own_token", "per_strong_token", "per_byte"]

LOW_LIKELIHOOD = -1.1
"""Mean log-probability (nats per token) under which the strong model finds a text implausible (FinLab)."""
REPETITION_REWARD = -2.0
REPEATED_WORDS = 15


def density_ratio(strong: FloatArray, weak: FloatArray, strong_size: FloatArray, weak_size: FloatArray) -> FloatArray:
    """Return strong / strong_size - weak / weak_size.

    Args:
        strong: shape (n,), sum of log-probabilities under the strong model, nats.
        weak: shape (n,), the same under the weak model.
        strong_size: shape (n,), positive: 1 for the plain sum, else tokens or bytes.
        weak_size: shape (n,), positive. Equal to `strong_size` for all variants but `per_own_token`.

    Returns:
        Shape (n,). Swapping the models negates it where each model keeps its own size.
    """
    return strong / strong_size - weak / weak_size


def guard_low_likelihood(
    reward: FloatArray, mean_strong: FloatArray, mean_weak: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Replace the reward by the strong model's mean where both models find the text implausible.

    Where mean_strong < -1.1 and mean_weak < mean_strong, the difference says nothing and is open to reward hacking.

    Returns:
        The guarded reward and where the guard acted, both of shape (n,).
    """
    hit = (mean_strong < LOW_LIKELIHOOD) & (mean_weak < mean_strong)
    return np.where(hit, mean_strong, reward), hit


def repeats_a_window(text: str, words: int = REPEATED_WORDS) -> bool:
    """Return whether some run of `words` words, split at white space, occurs twice (overlap counts)."""
    split = text.split()
    windows = [tuple(split[i : i + words]) for i in range(len(split) - words + 1)]
    return len(set(windows)) < len(windows)


def squash(reward: FloatArray, temperature: float) -> FloatArray:
    """Return sigmoid(reward / temperature); it saturates to 0 or 1 in floating point, which makes ties."""
    z = reward / temperature
    small = np.exp(-np.abs(z))
    squashed: FloatArray = np.where(z >= 0, 1.0, small) / (1.0 + small)
    return squashed


class DensityRatioConfig(StageConfig):
    """Options of `density_ratio`."""

    numerator: str = Field("strong_logprob", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    denominator: str = Field("weak_logprob", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    normalize: Normalize = "sum"
    column: str = Field("reward", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    guard_low_likelihood: bool = False
    guard_repetition: bool = False
    sigmoid_temperature: float | None = Field(None, gt=0)
    """FinLab uses 0.03; None leaves the reward as it is."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.numerator == self.denominator:
            raise ValueError(f"numerator and denominator are both '{self.numerator}'; the ratio would be 0 everywhere")
        if (self.guard_low_likelihood or self.guard_repetition) and self.normalize != "per_own_token":
            raise ValueError(
                f"the guards put means per token among rewards; they need normalize: per_own_token, "
                f"got '{self.normalize}'"
            )
        return self


class DensityRatio(TableStage):
    """Adds the reward, which guard set it (`none`, `low_likelihood`, `repetition`) and the normalisation.

    Reject codes:
        density.nonfinite: a log-probability or a token count is null, NaN or infinite.
        density.empty: nothing to divide by: no token was scored, or the response has no bytes.
    """

    name: ClassVar[str] = "density_ratio"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = DensityRatioConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"

    config: DensityRatioConfig

    def __init__(self, config: DensityRatioConfig) -> None:
        """Read only the columns that the normalisation and the guards need."""
        super().__init__(config)
        needed: dict[str, Any] = {config.numerator: float, config.denominator: float}
        if config.normalize in ("per_own_token", "per_strong_token"):
            needed[f"{config.numerator}_tokens"] = int
        if config.normalize == "per_own_token":
            needed[f"{config.denominator}_tokens"] = int
        if config.normalize == "per_byte" or config.guard_repetition:
            needed["response"] = str
        self.inputs = columns(**needed)
        at = config.column
        self.outputs = columns(**{at: float, f"{at}_guard": str, f"{at}_normalize": str})

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Compute the reward of every row that has finite inputs."""
        strong, weak = _floats(table, self.config.numerator), _floats(table, self.config.denominator)
        strong_size, weak_size = self._sizes(table)
        finite = np.isfinite(strong) & np.isfinite(weak) & np.isfinite(strong_size) & np.isfinite(weak_size)
        nonempty = (strong_size > 0) & (weak_size > 0)
        ok = finite & nonempty
        kept = table.filter(pa.array(ok))
        reward, guard = self._reward(kept, strong[ok], weak[ok], strong_size[ok], weak_size[ok])
        at = self.config.column
        for column, values in (
            (at, reward),
            (f"{at}_guard", guard),
            (f"{at}_normalize", pa.repeat(self.config.normalize, kept.num_rows)),
        ):
            kept = _with(kept, column, values)
        return TableResult(
            kept,
            self._rejects(
                table,
                ~finite,
                "density.nonfinite",
                "a log-probability or token count is null, NaN or infinite; expected finite numbers",
            )
            + self._rejects(
                table,
                finite & ~nonempty,
                "density.empty",
                f"normalize '{self.config.normalize}' has no token or byte to divide by",
            ),
        )

    def _sizes(self, table: pa.Table) -> tuple[FloatArray, FloatArray]:
        ones = np.ones(table.num_rows)
        match self.config.normalize:
            case "sum":
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

    def _reward(
        self, table: pa.Table, strong: FloatArray, weak: FloatArray, strong_size: FloatArray, weak_size: FloatArray
    ) -> tuple[pa.Array, pa.Array]:
        reward = density_ratio(strong, weak, strong_size, weak_size)
        guard = np.full(len(reward), "none", dtype=object)
        if self.config.guard_repetition:
            hit = np.array([repeats_a_window(text or "") for text in table.column("response").to_pylist()], dtype=bool)
            reward, guard = np.where(hit, REPETITION_REWARD, reward), np.where(hit, "repetition", guard)
        if self.config.guard_low_likelihood:
            reward, hit = guard_low_likelihood(reward, strong / strong_size, weak / weak_size)
            guard = np.where(hit, "low_likelihood", guard)
        if self.config.sigmoid_temperature is not None:
            reward = squash(reward, self.config.sigmoid_temperature)
        return pa.array(reward, pa.float64()), pa.array(guard, pa.string())

    @staticmethod
    def _rejects(table: pa.Table, where: NDArray[np.bool_], code: str, message: str) -> list[Reject]:
        return [Reject(row, code, message) for row in table.filter(pa.array(where)).to_pylist()]


def _floats(table: pa.Table, column: str) -> FloatArray:
    """Return a column as float64 with NaN for null."""
    values: FloatArray = table.column(column).cast(pa.float64()).to_numpy()
    return values


def _with(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(column)
    field = pa.field(column, values.type)
    return table.append_column(field, values) if at < 0 else table.set_column(at, field, values)
