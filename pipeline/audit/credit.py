"""Whether an annotator picked a right response: credit of one item, with ties, from scores and labels.

Source: the rule of RewardBench 2 (Malik et al., arXiv:2506.01937, its published scorer): where one response is right
and m responses share the highest score, the right one among them, the credit is 1/m; for two responses a tie is worth a
half. Where several responses are right (its subset Ties), every right one must score above every wrong one. The further
terms that its leaderboard adds for that subset, about margins between right answers, are not computed here.
"""

from __future__ import annotations

from collections.abc import Sequence


def credit(labels: Sequence[float], scores: Sequence[float]) -> float:
    """Return the credit of one item, in [0, 1].

    Args:
        labels: one for each response, not all equal; the highest label is right.
        scores: one for each response, finite, higher is better.

    Raises:
        ValueError: if the labels are all equal: nobody can be right.
    """
    best = max(labels)
    right = [s for label, s in zip(labels, scores, strict=True) if label == best]
    wrong = [s for label, s in zip(labels, scores, strict=True) if label != best]
    if not wrong:
        raise ValueError("all labels are equal; an item without a better response is no test of an annotator")
    if len(right) > 1:
        return float(min(right) > max(wrong))
    top = max(scores)
    return 1.0 / sum(s == top for s in scores) if right[0] == top else 0.0


def shares_the_top(scores: Sequence[float]) -> bool:
    """Return whether several responses have the highest score."""
    top = max(scores)
    return sum(s == top for s in scores) > 1


def margin(labels: Sequence[float], scores: Sequence[float]) -> float:
    """Return the lowest score of a right response minus the highest of a wrong one; positive where it is right."""
    best = max(labels)
    right = min(s for label, s in zip(labels, scores, strict=True) if label == best)
    return right - max(s for label, s in zip(labels, scores, strict=True) if label != best)
