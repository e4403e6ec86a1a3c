"""Turn the verdicts on one response into the share of rules it keeps, and that share into the paper's reward.

Source: AutoRule, arXiv:2506.15651, and its code: r = (1/K) sum of s_i, rescaled to (r - 0.75) * 10 in training. There a
rule that does not apply counts as kept and a reply that cannot be read as broken; here both leave the denominator
unless asked otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stages.rules.verdict_replies import NOT_APPLICABLE

OnNotApplicable = Literal["exclude", "satisfied"]
OnUnparsable = Literal["exclude", "as_no"]
_OFFSET, _SCALE = 0.75, 10


@dataclass(frozen=True, slots=True)
class RuleScore:
    """What the verdicts on one response come to.

    Attributes:
        fraction: share of rules kept, in [0, 1]; None if no rule counts.
        judged: how many rules count, the denominator.
        not_applicable: how many verdicts say that a rule does not apply.
        unparsable: how many verdicts could not be read.
    """

    fraction: float | None
    judged: int
    not_applicable: int
    unparsable: int

    @property
    def reward(self) -> float | None:
        """Return the paper's reward, None if there is no fraction."""
        return None if self.fraction is None else rescaled(self.fraction)


def rescaled(fraction: float) -> float:
    """Return (fraction - 0.75) * 10: from -7.5 (no rule kept) to 2.5 (all)."""
    return (fraction - _OFFSET) * _SCALE


def rule_score(
    verdicts: Sequence[int | None],
    not_applicable: OnNotApplicable,
    unparsable: OnUnparsable,
    p_yes: Sequence[float | None] | None = None,
) -> RuleScore:
    """Return the score of one response.

    Args:
        verdicts: one per rule: 1, 0, -1 for not applicable, None for unreadable.
        not_applicable: leave such rules out, or count them as kept.
        unparsable: leave such rules out, or count them as broken.
        p_yes: where given, the probability of yes in place of 1 or 0 for each rule that has one.
    """
    kept: list[float] = []
    for i, verdict in enumerate(verdicts):
        if verdict is None:
            kept += [0.0] if unparsable == "as_no" else []
        elif verdict == NOT_APPLICABLE:
            kept += [1.0] if not_applicable == "satisfied" else []
        else:
            soft = p_yes[i] if p_yes is not None else None
            kept.append(float(verdict) if soft is None else soft)
    return RuleScore(
        fraction=sum(kept) / len(kept) if kept else None,
        judged=len(kept),
        not_applicable=sum(v == NOT_APPLICABLE for v in verdicts),
        unparsable=sum(v is None for v in verdicts),
    )
