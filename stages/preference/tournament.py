"""A knock-out tournament of responses: the winner with n - 1 comparisons in place of n (n - 1) / 2.

INPO, arXiv:2407.00617, labels its pairs with few calls of a preference oracle by a tournament; the paper's own bracket
could not be read, so this one is ours: a seeded order, neighbours meet, the last of an odd number goes through. The
losers' bracket lets those who lost in the first round play on, the loser of each comparison going through, and so
finds a response that lost every time, with n/2 - 1 comparisons more. Knows names and a way to compare two of them.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from stages.replies.together import all_of


@dataclass(frozen=True, slots=True)
class Match:
    """One comparison: who won it, and with what probability in [0.5, 1] the winner is better.

    Attributes:
        round: counted from 1, in either bracket.
        bracket: `winners` or `losers`.
        winner: number of the response that was better; of two equal ones the one that stood first in the bracket.
        loser: number of the other.
        share: P(winner is better).
    """

    round: int
    bracket: str
    winner: int
    loser: int
    share: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tournament ended: numbers of the best response and of the worst, and all comparisons in order.

    Without a losers' bracket the worst is who lost the final.
    """

    best: int
    worst: int
    matches: tuple[Match, ...]


class Undecided(ValueError):
    """A comparison gave no usable answer, so that the tournament cannot go on."""


Compare = Callable[[int, int], Awaitable[float | None]]
"""P(the one is better than the other), both orders asked; None where not known."""


def bracket_order(names: Sequence[str], seed: int) -> list[int]:
    """Return the numbers of responses in a seeded order that depends on their names only, not on their places."""
    order = sorted(range(len(names)), key=lambda i: names[i])
    random.Random(seed).shuffle(order)
    return order


async def knock_out(order: Sequence[int], compare: Compare, losers_bracket: bool) -> Outcome:
    """Play the tournament.

    Args:
        order: numbers of at least two responses, in the order of the bracket.
        compare: asks for two of them; those of one round are asked together.
        losers_bracket: whether the losers of the first round play for the last place.

    Raises:
        Undecided: if `compare` gives None.
    """
    matches: list[Match] = []
    standing, first_losers, round_number = list(order), [], 1
    while len(standing) > 1:
        played = await _round(standing, compare, round_number, "winners")
        if round_number == 1:
            first_losers = [m.loser for m in played]
        odd = standing[-1:] if len(standing) % 2 else []
        standing, round_number = [m.winner for m in played] + odd, round_number + 1
        matches += played
    worst = matches[-1].loser
    if losers_bracket:
        falling, round_number = first_losers, 2
        while len(falling) > 1:
            played = await _round(falling, compare, round_number, "losers")
            odd = falling[-1:] if len(falling) % 2 else []
            falling, round_number = [m.loser for m in played] + odd, round_number + 1
            matches += played
        worst = falling[0]
    return Outcome(standing[0], worst, tuple(matches))


async def _round(standing: Sequence[int], compare: Compare, number: int, bracket: str) -> list[Match]:
    pairs = list(zip(standing[::2], standing[1::2], strict=False))
    shares = await all_of(compare(one, other) for one, other in pairs)
    played: list[Match] = []
    for (one, other), share in zip(pairs, shares, strict=True):
        if share is None:
            raise Undecided(f"no usable verdict between responses {one} and {other}")
        winner, loser = (one, other) if share >= 0.5 else (other, one)
        played.append(Match(number, bracket, winner, loser, max(share, 1.0 - share)))
    return played
