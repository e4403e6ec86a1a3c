"""How far two annotators agree on which of two responses is better: share of same verdicts, and Cohen's kappa.

Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960),
37-46, over the verdicts first, second and tie. Which response stands first means nothing here, so each pair is counted
in both orders; that makes the chance of agreement the same whichever way a file lists its responses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def agreement(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the share of pairs with the same verdict, and kappa.

    Args:
        one: preference for the first response of each pair: above 0.5, 0.5 for a tie, below 0.5.
        other: the same of another annotator.

    Returns:
        Share in [0, 1] and kappa in [-1, 1]; NaN for no pairs, kappa NaN where both always tie.
    """
    if not one:
        return math.nan, math.nan
    pairs = list(zip(map(_side, one), map(_side, other), strict=True))
    same = sum(a == b for a, b in pairs) / len(pairs)
    tied_one, tied_other = (sum(pair[i] == 0 for pair in pairs) / len(pairs) for i in (0, 1))
    chance = (1 - tied_one) * (1 - tied_other) / 2 + tied_one * tied_other
    return same, (same - chance) / (1 - chance) if chance < 1 else math.nan


def _side(preference: float) -> int:
    return (preference > 0.5) - (preference < 0.5)
