"""How far the verdicts on a rule agree with labels, and which rules contradict each other. Arrays in, numbers out.

Definition (ours, after AutoRule's "agreement", arXiv:2506.15651, for which it gives no formula): over labelled pairs of
which exactly one response keeps the rule, the share in which it is the preferred one. Coverage is the share of pairs
that the rule tells apart. The interval is Wilson's and takes pairs for independent; pairs that share a response are
not, so it is too narrow where prompts have many responses. Phi is the correlation of two rules' verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.api import wilson_interval
from stages.rules.verdict_replies import NO, YES

UNREADABLE = -2
"""Stands for a null among verdicts in an array."""
Verdicts = NDArray[np.int8]
"""Shape (responses, rules): 1 yes, 0 no, -1 not applicable, -2 unreadable."""
Pairs = NDArray[np.int64]
"""Shape (pairs, 2): the rows of the preferred and of the other response."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One rule against the labels.

    Attributes:
        compared: pairs of which exactly one response keeps the rule, both verdicts being yes or no.
        agreed: those of them in which the preferred one keeps it.
        coverage: compared over all pairs, None if there is no pair.
        applicability: share of responses with a verdict to which the rule applies, None if none has a verdict.
    """

    compared: int
    agreed: int
    coverage: float | None
    applicability: float | None

    @property
    def agreement(self) -> float | None:
        """Return agreed over compared, None if no pair is compared."""
        return self.agreed / self.compared if self.compared else None

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson interval of the agreement; (0, 1) if no pair is compared."""
        return wilson_interval(self.agreed, self.compared)


def labelled_pairs(prompt_ids: Sequence[str], labels: Sequence[float]) -> Pairs:
    """Return all pairs of responses of one prompt whose labels differ, the higher label first."""
    rows: dict[str, list[int]] = {}
    for i, prompt_id in enumerate(prompt_ids):
        rows.setdefault(prompt_id, []).append(i)
    pairs = [(i, j) for members in rows.values() for i in members for j in members if labels[i] > labels[j]]
    return np.array(pairs, np.int64).reshape(-1, 2)


def agreements(verdicts: Verdicts, pairs: Pairs) -> list[Agreement]:
    """Return one entry for each rule, in the order of columns."""
    preferred, other = verdicts[pairs[:, 0]], verdicts[pairs[:, 1]]
    agreed = ((preferred == YES) & (other == NO)).sum(axis=0)
    opposed = ((preferred == NO) & (other == YES)).sum(axis=0)
    read = (verdicts != UNREADABLE).sum(axis=0)
    applies = (verdicts >= NO).sum(axis=0)
    return [
        Agreement(
            compared=int(agreed[k] + opposed[k]),
            agreed=int(agreed[k]),
            coverage=float((agreed[k] + opposed[k]) / len(pairs)) if len(pairs) else None,
            applicability=float(applies[k] / read[k]) if read[k] else None,
        )
        for k in range(verdicts.shape[1])
    ]


def phi(verdicts: Verdicts, least: int) -> NDArray[np.float64]:
    """Return the phi coefficient of each two rules over the responses on which both say yes or no.

    Args:
        verdicts: of all responses.
        least: how many such responses there must be.

    Returns:
        Shape (rules, rules), in [-1, 1]; NaN where there are too few, or where a rule always says the same.
    """
    usable = (verdicts >= NO).astype(np.float64)
    yes = (verdicts == YES).astype(np.float64)
    n = usable.T @ usable
    both, one, other = yes.T @ yes, yes.T @ usable, usable.T @ yes
    spread = one * (n - one) * other * (n - other)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: NDArray[np.float64] = (n * both - one * other) / np.sqrt(spread)
    out[(n < least) | (spread == 0)] = np.nan
    return out
