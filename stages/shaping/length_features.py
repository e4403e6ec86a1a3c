"""How long a response is beside the others of its prompt, and how closely scores follow that.

Source: the feature of LC-AlpacaEval, arXiv:2404.04475, centred within the prompt so that prompts that ask for much do
not count as length. Plain functions on flat arrays; `prompts` numbers the prompt of each row from 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


def sums(values: Array, prompts: IntArray) -> Array:
    """Return the sum of each prompt's values, shape (prompts,)."""
    out: Array = np.asarray(np.bincount(prompts, values), dtype=np.float64)
    return out


def centred(values: Array, prompts: IntArray) -> Array:
    """Return values minus the mean of their prompt."""
    means = sums(values, prompts) / np.maximum(np.bincount(prompts), 1)
    out: Array = values - means[prompts]
    return out


def winsorized(lengths: Array, share: float) -> Array:
    """Pull the shortest and the longest `share` of all lengths in to the quantiles there; 0 leaves them."""
    if not share or not len(lengths):
        return lengths
    low, high = np.quantile(lengths, [share, 1 - share])
    return np.clip(lengths, low, high)


def squashed(lengths: Array, prompts: IntArray) -> Array:
    """Return tanh(dl / s), centred within the prompt; dl is the length minus the prompt's mean, s its deviation.

    Args:
        lengths: shape (n,).
        prompts: shape (n,).

    Returns:
        Shape (n,); exactly 0 for all responses of a prompt that are equally long.
    """
    longer = centred(lengths, prompts)
    longer[np.abs(longer) < 1e-9 * (1 + np.abs(lengths))] = 0.0
    spread = math.sqrt(float((longer**2).sum()) / max(len(longer) - 1, 1))
    return centred(np.tanh(longer / spread), prompts) if spread > 0 else np.zeros(len(lengths))


def ranked(lengths: Array, prompts: IntArray) -> Array:
    """Return the rank of the length within the prompt, from -1 (shortest) to 1 (longest); 0 for a single response."""
    counts = np.bincount(prompts)[prompts]
    return np.where(counts > 1, 2 * (ranks(lengths, prompts) - 1) / np.maximum(counts - 1, 1) - 1, 0.0)


def ranks(values: Array, prompts: IntArray) -> Array:
    """Return ranks within the prompt from 1, equal values sharing the mean of theirs; shape (n,)."""
    order = np.lexsort((values, prompts))
    prompt, value = prompts[order], values[order]
    new_prompt = np.append(True, prompt[1:] != prompt[:-1])[: len(order)]
    new_value = new_prompt | np.append(True, value[1:] != value[:-1])[: len(order)]
    place = np.arange(len(order))
    first, last = place[new_value], np.append(place[new_value][1:], len(order)) - 1
    start = place[new_prompt][np.cumsum(new_prompt) - 1]
    out = np.empty(len(order))
    out[order] = ((first + last) / 2)[np.cumsum(new_value) - 1] - start + 1
    return out


def mean_spearman(ones: Array, others: Array, prompts: IntArray) -> float:
    """Return the mean over prompts of the rank correlation within it; prompts where either is constant count nowhere.

    Returns:
        In [-1, 1]; NaN if no prompt counts.
    """
    if not len(prompts):
        return math.nan
    one, other = (centred(ranks(v, prompts), prompts) for v in (ones, others))
    spread = sums(one**2, prompts) * sums(other**2, prompts)
    counted = spread > 1e-12
    if not counted.any():
        return math.nan
    return float((sums(one * other, prompts)[counted] / np.sqrt(spread[counted])).mean())


def longest_wins(scores: Array, lengths: Array, prompts: IntArray) -> float:
    """Return the share of prompts whose best response is the longest one, a tie at the best score sharing the credit.

    Prompts whose scores or lengths are all equal count nowhere.

    Returns:
        In [0, 1]; NaN if no prompt counts.
    """
    if not len(prompts):
        return math.nan
    best, longest = (values == _highest(values, prompts)[prompts] for values in (scores, lengths))
    size = np.bincount(prompts)
    counted = (np.bincount(prompts[best], minlength=len(size)) < size) & (
        np.bincount(prompts[longest], minlength=len(size)) < size
    )
    if not counted.any():
        return math.nan
    credit = np.bincount(prompts[best & longest], minlength=len(size)) / np.bincount(prompts[best], minlength=len(size))
    return float(credit[counted].mean())


def _highest(values: Array, prompts: IntArray) -> Array:
    out = np.full(int(prompts.max()) + 1, -np.inf)
    np.maximum.at(out, prompts, values)
    return out
