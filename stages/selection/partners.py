"""Which two candidates may form a pair, beyond their scores: how far their lengths lie apart, whose responses they are.

Sources: Olmo 3, arXiv:2512.13961, 5.3.1 (length difference by domain); Tulu 3, arXiv:2411.15124 (one response of the
policy, one of the pool). Knows arrays; positions are in grouped order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.selection.pairing import BoolArray, FloatArray, IntArray

Mix = Literal["any", "on_on", "one_side"]


@dataclass(frozen=True, slots=True)
class Partners:
    """What the limits need to know of each candidate.

    Attributes:
        mix: which sides must come from the policy that is trained.
        on_policy: 1 if the candidate does, 0 if not, -1 if that is not known.
        lengths: in any unit; NaN, which fits nothing, if not known; None if length does not matter.
        max_difference: of the candidate's domain; infinite if unlimited.
        max_ratio: longer over shorter, of its domain; infinite if unlimited.
    """

    mix: Mix
    on_policy: NDArray[np.int8]
    lengths: FloatArray | None
    max_difference: FloatArray
    max_ratio: FloatArray

    def choosable(self) -> BoolArray:
        """Return which candidates the mix lets be chosen with some partner."""
        out: BoolArray = self.on_policy >= {"any": -1, "one_side": 0, "on_on": 1}[self.mix]
        return out

    def mixed(self, chosen: IntArray, rejected: IntArray) -> BoolArray:
        """Return which pairs of positions the mix allows; shapes broadcast."""
        one, other = self.on_policy[chosen], self.on_policy[rejected]
        if self.mix == "any":
            return np.ones(np.broadcast(one, other).shape, dtype=bool)
        out: BoolArray = (one == 1) & (other == 1) if self.mix == "on_on" else (one >= 0) & (one + other == 1)
        return out

    def alike(self, chosen: IntArray, rejected: IntArray) -> BoolArray:
        """Return which pairs of positions lie within the limits of length; shapes broadcast."""
        if self.lengths is None:
            return np.ones(np.broadcast(chosen, rejected).shape, dtype=bool)
        one, other = self.lengths[chosen], self.lengths[rejected]
        longer, shorter = np.maximum(one, other), np.minimum(one, other)
        free = np.isinf(self.max_ratio[chosen])
        near = longer <= np.where(free, 1.0, self.max_ratio[chosen]) * shorter
        out: BoolArray = (longer - shorter <= self.max_difference[chosen]) & (free | near)
        return out
