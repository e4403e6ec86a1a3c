"""How soon the order of a prompt's responses settles as more samples of the judge are averaged.

PUGC, arXiv:2506.04463, figure 3, shows a judge's agreement with GPT-4-Turbo for 1, 3, 5 and 8 samples. Without such a
judge this compares the mean of the first k samples with the mean of all: consistency, not accuracy, and for k near all
close to 1 by itself, since the k are among them. Means are compared exactly, as fractions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the means of the first `samples` samples say, compared with the means of all.

    Attributes:
        samples: k, from 1.
        valid: share of the k-th samples that could be read.
        pairs: pairs of responses to one prompt.
        same: of them, those with the same outcome (better, worse, tied).
        ordered: pairs that all samples put in an order.
        same_ordered: of them, those in the same order; a tie, or a response without a score yet, is a miss.
        tied: pairs that the k samples leave tied.
        prompts: prompts with two responses or more.
        same_best: of them, those with the same best response, or the same tied ones; without any score yet, a miss.
    """

    samples: int
    valid: float
    pairs: int
    same: int
    ordered: int
    same_ordered: int
    tied: int
    prompts: int
    same_best: int


def agreement_by_samples(
    prompt_ids: Sequence[str | None], scores: Sequence[Sequence[int | None]], samples: int
) -> list[Agreement]:
    """Return one `Agreement` for each number of samples, from 1 to all.

    Args:
        prompt_ids: of each response; one without is compared with none.
        scores: the samples of each response, `samples` each, None where a reply could not be read.
        samples: how many samples each response has, from 1.
    """
    table = np.array([[s or 0 for s in row] for row in scores], np.int64).reshape(-1, samples)
    valid = table > 0
    sums, counts = table.cumsum(axis=1), valid.cumsum(axis=1)
    rows_of: dict[str, list[int]] = defaultdict(list)
    for at, prompt_id in enumerate(prompt_ids):
        if prompt_id is not None:
            rows_of[prompt_id].append(at)
    groups = [np.array(rows) for rows in rows_of.values() if len(rows) > 1]
    final = [_signs(sums[g, -1], counts[g, -1]) for g in groups]
    return [_at(k, valid, sums, counts, groups, final) for k in range(samples)]


def _at(
    k: int, valid: npt.NDArray[np.bool_], sums: Ints, counts: Ints, groups: Sequence[Ints], final: Sequence[Ints]
) -> Agreement:
    total = np.zeros(6, np.int64)
    for rows, by_all in zip(groups, final, strict=True):
        signs = _signs(sums[rows, k], counts[rows, k])
        unscored = counts[rows, k] == 0
        upper = np.triu_indices(len(rows), 1)
        now, then = signs[upper], by_all[upper]
        known = ~(unscored[upper[0]] | unscored[upper[1]])
        same = (now == then) & known
        total += (
            len(then),
            same.sum(),
            (then != 0).sum(),
            (same & (then != 0)).sum(),
            ((now == 0) & known).sum(),
            not unscored.all() and (_best(signs) == _best(by_all)).all(),
        )
    pairs, same_all, ordered, same_ordered, tied, best = total.tolist()
    share = float(valid[:, k].mean()) if len(valid) else 0.0
    return Agreement(k + 1, share, pairs, same_all, ordered, same_ordered, tied, len(groups), best)


def _signs(sums: Ints, counts: Ints) -> Ints:
    """Return, for each two responses, 1 if the mean of the first is higher, -1 if lower, 0 if equal; no score is 0."""
    gap = sums[:, None] * counts[None, :] - sums[None, :] * counts[:, None]
    signs = np.sign(gap)
    scored = counts > 0
    return np.where(scored[:, None] == scored[None, :], signs, np.where(scored[:, None], 1, -1))


def _best(signs: Ints) -> npt.NDArray[np.bool_]:
    return np.asarray((signs >= 0).all(axis=1))
