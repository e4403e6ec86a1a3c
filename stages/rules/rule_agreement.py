"""How far the verdicts on a rule agree with labels, and which rules contradict each other. Arrays in, numbers out.

Definition (ours, after AutoRule's "agreement", arXiv:2506.15651, for which it gives no formula): over labelled pairs
whose responses keep the rule to different degrees, the share in which the preferred one keeps it better. Degrees are 1
and 0, or probabilities of yes. Coverage is the share of pairs that the rule tells apart. The interval is Wilson's for
that share with prompts as trials, not pairs: the pairs of one prompt share responses and say much the same, so many of
them prove no more than one. It is the usual interval where every prompt has one pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.api import wilson_interval
from stages.rules.rule_scores import OnNotApplicable
from stages.rules.verdict_replies import NO, NOT_APPLICABLE

UNREADABLE = -2
"""Stands for a null among verdicts in an array."""
Verdicts = NDArray[np.int8]
"""Shape (responses, rules): 1 yes, 0 no, -1 not applicable, -2 unreadable."""
Degrees = NDArray[np.float64]
"""Shape (responses, rules): how far a response keeps a rule, in [0, 1]; NaN where the verdict does not count."""
Pairs = NDArray[np.int64]
"""Shape (pairs, 2): the rows of the preferred and of the other response."""

_TINY = 1e-9
"""A rule varies less than this only by rounding."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One rule against the labels.

    Attributes:
        compared: pairs whose responses keep the rule to different degrees.
        agreed: those of them in which the preferred one keeps it better.
        prompts: how many prompts have such a pair.
        coverage: compared over all pairs, None if there is no pair.
    """

    compared: int
    agreed: int
    prompts: int
    coverage: float | None

    @property
    def agreement(self) -> float | None:
        """Return agreed over compared, None if no pair is compared."""
        return self.agreed / self.compared if self.compared else None

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % Wilson interval of the agreement, prompts as trials; (0, 1) if no pair is compared."""
        return wilson_interval(self.agreed * self.prompts / max(self.compared, 1), self.prompts)


def labelled_pairs(prompt_ids: Sequence[str], labels: Sequence[float]) -> Pairs:
    """Return all pairs of responses of one prompt whose labels differ, the higher label first."""
    rows: dict[str, list[int]] = {}
    for i, prompt_id in enumerate(prompt_ids):
        rows.setdefault(prompt_id, []).append(i)
    pairs = [(i, j) for members in rows.values() for i in members for j in members if labels[i] > labels[j]]
    return np.array(pairs, np.int64).reshape(-1, 2)


def degrees(verdicts: Verdicts, not_applicable: OnNotApplicable, p_yes: Degrees | None = None) -> Degrees:
    """Return how far each response keeps each rule, as `rule_score` counts it.

    Args:
        verdicts: of all responses.
        not_applicable: whether a rule that does not apply leaves no degree, or counts as kept.
        p_yes: where given, probabilities in place of 1 and 0; NaN where there is none.
    """
    hard = verdicts.astype(np.float64)
    out: Degrees = hard if p_yes is None else np.where(np.isnan(p_yes), hard, p_yes)
    out = np.where(verdicts >= NO, out, np.nan)
    return np.where(verdicts == NOT_APPLICABLE, 1.0, out) if not_applicable == "satisfied" else out


def agreements(kept: Degrees, pairs: Pairs, prompt_ids: Sequence[str]) -> list[Agreement]:
    """Return one entry for each rule, in the order of columns.

    Args:
        kept: degrees of all responses.
        pairs: from `labelled_pairs`.
        prompt_ids: of all responses.
    """
    better, worse = kept[pairs[:, 0]] > kept[pairs[:, 1]], kept[pairs[:, 0]] < kept[pairs[:, 1]]
    _, prompt = np.unique(np.array(prompt_ids, object), return_inverse=True)
    apart = np.zeros((len(prompt_ids), kept.shape[1]), np.bool_)
    np.logical_or.at(apart, prompt[pairs[:, 0]], better | worse)
    n, counts = len(pairs), zip(better.sum(axis=0), worse.sum(axis=0), apart.sum(axis=0), strict=True)
    return [Agreement(int(a + o), int(a), int(p), float((a + o) / n) if n else None) for a, o, p in counts]


def applicability(verdicts: Verdicts) -> list[float | None]:
    """Return for each rule the share of responses with a verdict to which it applies, None if none has one."""
    read, applies = (verdicts != UNREADABLE).sum(axis=0).tolist(), (verdicts >= NO).sum(axis=0).tolist()
    return [a / r if r else None for a, r in zip(applies, read, strict=True)]


def correlation(kept: Degrees, least: int) -> NDArray[np.float64]:
    """Return Pearson's correlation of each two rules over the responses on which both count; phi where all is 1 or 0.

    Args:
        kept: degrees of all responses.
        least: how many such responses there must be.

    Returns:
        Shape (rules, rules), in [-1, 1]; NaN where there are too few, or where a rule always says the same.
    """
    usable = (~np.isnan(kept)).astype(np.float64)
    x = np.nan_to_num(kept)
    n, one, both, squares = usable.T @ usable, x.T @ usable, x.T @ x, (x * x).T @ usable
    varies = n * squares - one**2
    spread = np.where((varies > _TINY) & (varies.T > _TINY), varies * varies.T, np.nan)
    out: NDArray[np.float64] = (n * both - one * one.T) / np.sqrt(spread)
    out[n < least] = np.nan
    return out
