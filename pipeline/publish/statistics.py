"""Figures about the published pairs, gathered in one pass: 40 bytes a pair and 16 a prompt, texts are not kept.

Scores and margins in the scorer's own unit, lengths in characters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.publish.pairs import texts_of
from pipeline.store.idset import IdSet
from pipeline.types import Json

_SCORES = ("score_chosen", "score_rejected", "margin")
_LENGTHS = ("chosen", "rejected")
_QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


class PairStatistics:
    """Gathers figures batch by batch."""

    def __init__(self) -> None:
        """Start empty."""
        self._values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*_SCORES, *_LENGTHS)}
        self._prompt_ids = IdSet()
        self._pairs = 0
        self.sample: dict[str, Json] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take published pairs; the very first one is kept as the sample."""
        if self.sample is None:
            self.sample = batch.slice(0, 1).to_pylist()[0]
        self._pairs += batch.num_rows
        self._prompt_ids.add(batch.column("prompt_id").to_pylist())
        for name in _SCORES:
            if name in batch.schema.names:
                self._values[name].append(batch.column(name).to_numpy(zero_copy_only=False))
        for name in _LENGTHS:
            self._values[name].append(pc.utf8_length(texts_of(batch.column(name))).to_numpy().astype(np.float64))

    @property
    def prompts(self) -> int:
        """Return how many prompts there are."""
        return len(self._prompt_ids)

    def summary(self) -> Mapping[str, Json]:
        """Return the figures as JSON values.

        `scores` maps a column to its quantiles and mean; `lengths` likewise, with `difference` for chosen minus
        rejected; `longer_chosen`, `longer_rejected` and `same_length` are shares of the pairs.
        """
        chosen, rejected = (np.concatenate(self._values[name]) for name in _LENGTHS)
        scores = {name: np.concatenate(self._values[name]) for name in _SCORES if self._values[name]}
        return {
            "pairs": self._pairs,
            "prompts": self.prompts,
            "scores": {name: _quantiles(values) for name, values in scores.items()},
            "lengths": {
                name: _quantiles(values)
                for name, values in (("chosen", chosen), ("rejected", rejected), ("difference", chosen - rejected))
            },
            "longer_chosen": float(np.mean(chosen > rejected)),
            "longer_rejected": float(np.mean(chosen < rejected)),
            "same_length": float(np.mean(chosen == rejected)),
        }


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    out = {name: float(np.quantile(values, at)) for name, at in _QUANTILES.items()}
    return {**out, "mean": float(np.mean(values))}
