"""The five outcomes of a pairwise judgment, and the arithmetic on them.

Source: WildBench, arXiv:2406.04770 (WB-Reward: A++, A+, A=B, B+, B++ and the length margin K), read in its
evaluation code. The combination of both orders is ours, after FastChat (arXiv:2306.05685), which counts a disagreement
between the orders as a tie. Pure; knows no judge.
"""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES = ("A++", "A+", "A=B", "B+", "B++")
"""From much better to much worse, seen from the first of the two."""
TIE = "A=B"
_LEAD = dict(zip(OUTCOMES, (2, 1, 0, -1, -2), strict=True))
_OF_LEAD = {lead: outcome for outcome, lead in _LEAD.items()}


def mirrored(outcome: str) -> str:
    """Return the outcome with the names of the two swapped: A+ becomes B+."""
    return _OF_LEAD[-_LEAD[outcome]]


def winner(outcome: str) -> str:
    """Return `a`, `b` or `tie`."""
    lead = _LEAD[outcome]
    return "a" if lead > 0 else "b" if lead < 0 else "tie"


def preference(outcome: str) -> float:
    """Return P(a better) as the outcome puts it: 1, 0.75, 0.5, 0.25 or 0."""
    return (_LEAD[outcome] + 2) / 4


@dataclass(frozen=True, slots=True)
class Combined:
    """What both orders together say; `mean` keeps what the outcome rounds away.

    Attributes:
        outcome: one of the five.
        preference: P(a better), in [0, 1]; 0.5 whenever the outcome is a tie.
        mean: the mean of both orders' P(a better), also where they disagree.
        consistent: whether both name the same winner, or both a tie.
    """

    outcome: str
    preference: float
    mean: float
    consistent: bool


def combined(forward: str, backward: str) -> Combined:
    """Return the verdict of both orders, each an outcome already un-mapped to a and b.

    The same winner in both: the lesser of the two leads, so that "much better" needs both orders. Different winners, or
    a winner in one order and a tie in the other: a tie, not consistent. `preference` is the mean over both orders where
    they agree, and 0.5 for every tie: a judge that always takes the first, now by much and now by little, has a mean
    that follows its whims.
    """
    mean = (preference(forward) + preference(backward)) / 2
    if winner(forward) != winner(backward):
        return Combined(TIE, 0.5, mean, False)
    return Combined(min(forward, backward, key=lambda o: abs(_LEAD[o])), mean, mean, True)


def length_ruled(outcome: str, length_a: int, length_b: int, margin: int | None) -> str:
    """Return the outcome after WildBench's length rule.

    A slight win becomes a tie if the winner is longer than the loser by strictly more than `margin` characters; a win
    by much never changes. None or a negative margin leaves all as it is.
    """
    if margin is None or margin < 0 or abs(_LEAD[outcome]) != 1:
        return outcome
    excess = length_a - length_b if outcome == "A+" else length_b - length_a
    return TIE if excess > margin else outcome


def outcome_of_empty(empty_a: bool, empty_b: bool) -> str | None:
    """Return what holds without a judge if a text is empty: both, a tie; one, much better for the other; else None."""
    if empty_a and empty_b:
        return TIE
    return "B++" if empty_a else "A++" if empty_b else None
