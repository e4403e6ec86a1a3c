"""What is found out about the n responses of a prompt: gather comparisons into a matrix, and state it in columns.

Full: all ordered pairs are compared, and every statistic follows from the matrix. Knock-out: a tournament compares few,
and only the best, the worst and the bracket are known. Knows comparisons; does not know who makes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.api import Row, columns
from stages.preference.comparing import Candidate, Comparer, Comparison, Unknown
from stages.preference.nash import nash_mixture, nash_value
from stages.preference.preference_matrix import (
    FloatArray,
    greatest,
    intransitive_share,
    opponents,
    position_flips,
    symmetrise,
    win_rates,
)
from stages.preference.tournament import Outcome, bracket_order, knock_out
from stages.replies.together import all_of

_MATCH = columns(round=int, bracket=str, winner_id=str, loser_id=str, probability=float)
RATED = columns(
    preference_matrix=list[list[float]],
    win_rates=list[float],
    compared=list[int],
    raw_verdicts=list[str],
    position_flips=int,
    comparisons=int,
    unreadable=int,
    intransitive_triples=float,
    nash_mixture=list[float],
    nash_value=float,
    best_id=str,
    worst_id=str,
    bracket=pa.list_(pa.struct(list(_MATCH))),
)


class Comparisons:
    """The comparisons made of a prompt's responses, each order asked at most once.

    Responses that are equal but for white space are never compared: either beats the other with 0.5.
    """

    def __init__(self, candidates: Sequence[Candidate], comparer: Comparer) -> None:
        """Start with nothing known."""
        self._candidates, self._comparer = candidates, comparer
        self._folded = [" ".join(c.text.split()) for c in candidates]
        self._found: dict[tuple[int, int], Comparison | Unknown] = {}

    async def ask_all(self) -> None:
        """Compare all ordered pairs."""
        n = len(self._candidates)
        await all_of(self._ask(i, j) for i, j in itertools.permutations(range(n), 2))

    async def share(self, one: int, other: int) -> float | None:
        """Compare two responses in both orders; return P(the one is better), None unless both orders are known."""
        await all_of([self._ask(one, other), self._ask(other, one)])
        value = float(symmetrise(self.ordered())[one, other])
        return None if math.isnan(value) else value

    async def _ask(self, first: int, second: int) -> None:
        if self._folded[first] != self._folded[second]:
            self._found[first, second] = await self._comparer.compare(self._candidates[first], self._candidates[second])

    def ordered(self) -> FloatArray:
        """Return P(i is better | i shown first), shape (n, n); NaN where not known."""
        n = len(self._candidates)
        out = np.full((n, n), np.nan)
        for i, j in itertools.permutations(range(n), 2):
            found = self._found.get((i, j))
            if self._folded[i] == self._folded[j]:
                out[i, j] = 0.5
            elif isinstance(found, Comparison):
                out[i, j] = found.share
        return out

    def columns(self) -> Row:
        """Return what the comparisons themselves say.

        `raw_verdicts` goes row by row through the ordered pairs (i, j), i shown first, without the diagonal.
        """
        n = len(self._candidates)
        pairs = list(itertools.permutations(range(n), 2))
        known = {pair: found for pair, found in self._found.items() if isinstance(found, Comparison)}
        return {
            "raw_verdicts": [known[pair].raw if pair in known else None for pair in pairs],
            "position_flips": position_flips(self.ordered()),
            "comparisons": sum(1 for i, j in pairs if i < j and (i, j) in known and (j, i) in known),
            "unreadable": len(self._found) - len(known),
        }

    def complaint(self) -> str:
        """Say how many orders have no verdict, and why the first of them has none."""
        unknown = {pair: found for pair, found in self._found.items() if isinstance(found, Unknown)}
        (first, second), found = min(unknown.items(), key=lambda item: item[0])
        one, other = self._candidates[first].id, self._candidates[second].id
        return f"{len(unknown)} orders have no usable verdict, such as '{one}' before '{other}': {found.reason}"


def no_comparisons() -> Row:
    """Return the same columns where nobody was asked, as with a matrix from scores."""
    return {"raw_verdicts": [], "position_flips": 0, "comparisons": 0, "unreadable": 0}


def full_columns(matrix: FloatArray, candidates: Sequence[Candidate], self_comparison: bool) -> Row:
    """Return what follows from a matrix of which all or most is known; see `RatePreferences`."""
    rates, ids = win_rates(matrix, self_comparison), [c.id for c in candidates]
    mixture, value = (None, None) if np.isnan(matrix).any() else _nash(matrix, ids)
    return {
        "preference_matrix": nulls(matrix),
        "win_rates": nulls(rates),
        "compared": opponents(matrix).tolist(),
        "intransitive_triples": intransitive_share(matrix),
        "nash_mixture": mixture,
        "nash_value": value,
        "best_id": ids[greatest(rates, ids)],
        "worst_id": ids[greatest(-rates, ids)],
        "bracket": None,
    }


def _nash(matrix: FloatArray, ids: Sequence[str]) -> tuple[list[float], float]:
    """Solve the game with the responses in the order of their ids, so that their places change no bit of the result."""
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    sorted_matrix, mixture = matrix[np.ix_(order, order)], np.empty(len(ids))
    mixture[order] = nash_mixture(sorted_matrix)
    return mixture.tolist(), nash_value(sorted_matrix, mixture[order])


def too_little_known(matrix: FloatArray) -> bool:
    """Return whether some response lacks more than half of its comparisons."""
    known = opponents(matrix)
    return bool((2 * known < len(matrix) - 1).any())


async def play(comparisons: Comparisons, candidates: Sequence[Candidate], seed: int, losers_bracket: bool) -> Outcome:
    """Play a tournament between the responses; raises `Undecided`."""
    order = bracket_order([c.id for c in candidates], seed)
    return await knock_out(order, comparisons.share, losers_bracket)


def knockout_columns(outcome: Outcome, comparisons: Comparisons, candidates: Sequence[Candidate]) -> Row:
    """Return what a tournament tells: means over opponents that differ would not compare, so they stay null."""
    matrix = symmetrise(comparisons.ordered())
    return {
        "preference_matrix": nulls(matrix),
        "win_rates": None,
        "compared": opponents(matrix).tolist(),
        "intransitive_triples": None,
        "nash_mixture": None,
        "nash_value": None,
        "best_id": candidates[outcome.best].id,
        "worst_id": candidates[outcome.worst].id,
        "bracket": [
            {
                "round": m.round,
                "bracket": m.bracket,
                "winner_id": candidates[m.winner].id,
                "loser_id": candidates[m.loser].id,
                "probability": m.share,
            }
            for m in outcome.matches
        ],
    }


def nulls(values: FloatArray) -> Any:
    """Return an array as nested lists with None for NaN."""
    if values.ndim == 2:
        return [nulls(row) for row in values]
    return [None if math.isnan(v) else v for v in values.tolist()]
