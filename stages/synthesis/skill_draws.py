"""Draw skill combinations and the other axes of a plan: pure, numbers in, numbers out.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 2. `release_sets` repeats the released script's sampler, which uses
numpy's legacy generator; everything else draws from `counter_random`. Knows no names and no rows.
"""

from __future__ import annotations

from itertools import chain, combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from stages.synthesis.counter_random import numbers_below, shuffled, words

Numbers = NDArray[np.int64]


def unrepeated_sets(skills: int, k: int, n: int, seed: int) -> Numbers:
    """Draw n different k-sets of the numbers below `skills`, each set equally likely, order within a set random.

    Returns:
        Shape (n, k).

    Raises:
        ValueError: if there are fewer than n such sets.
    """
    possible = comb(skills, k)
    if n > possible:
        raise ValueError(
            f"{n:,} rows of {k} skills asked for, but {skills:,} distinct skills give only {possible:,} different sets"
        )
    if 2 * n > possible:
        return _some_of_all(skills, k, n, seed)
    drawn = _ordered_sets(skills, k, seed, 0, n + n // 8)
    while len(first := _first_of_each_set(drawn, skills)) < n:
        missing = n - len(first)
        drawn = np.concatenate([drawn, _ordered_sets(skills, k, seed, len(drawn), missing + missing // 8 + 16)])
    return drawn[first[:n]]


def release_sets(skills: int, k: int, n: int, seed: int) -> Numbers:
    """Draw as the released script does: shuffle the whole list in place, take the first k; sets may repeat.

    Slow by nature: each row shuffles all skills.
    """
    generator = np.random.RandomState(seed % 2**32)
    order = np.arange(skills)
    out = np.empty((n, k), np.int64)
    for row in out:
        generator.shuffle(order)
        row[:] = order[:k]
    return out


def balanced(kinds: int, n: int, seed: int, axis: str) -> Numbers:
    """Give n rows one of `kinds` each, so that any two counts differ by at most one."""
    extra = shuffled(np.arange(kinds), seed, f"{axis} extra")[: n % kinds]
    dealt = np.concatenate([np.repeat(np.arange(kinds), n // kinds), extra])
    return shuffled(dealt, seed, f"{axis} deal")


def iid(kinds: int, n: int, seed: int, axis: str) -> Numbers:
    """Give n rows one of `kinds` each, independently and uniformly, as the released data show."""
    return numbers_below(kinds, words(seed, axis, 0, n))


def _ordered_sets(skills: int, k: int, seed: int, start: int, count: int) -> Numbers:
    """Return draws `start` to `start + count - 1`, each k different numbers in random order, all equally likely.

    The j-th number is drawn among the `skills - j` that are left: counting up from it past those already taken.
    """
    drawn = words(seed, "set", start * k, count * k).reshape(count, k)
    out = np.empty((count, k), np.int64)
    for j in range(k):
        number = numbers_below(skills - j, drawn[:, j])
        for taken in np.sort(out[:, :j], axis=1).T:
            number += number >= taken
        out[:, j] = number
    return out


def _first_of_each_set(drawn: Numbers, skills: int) -> Numbers:
    """Return the positions at which a set comes up for the first time, ascending."""
    members = np.sort(drawn, axis=1)
    if skills ** members.shape[1] < 2**63:
        place = np.array([skills**j for j in range(members.shape[1])], np.int64)
        first = np.unique(members @ place, return_index=True)[1]
    else:
        first = np.unique(members, axis=0, return_index=True)[1]
    return np.sort(first).astype(np.int64)


def _some_of_all(skills: int, k: int, n: int, seed: int) -> Numbers:
    """Write all sets down and take n of them; for plans that use more than half of all sets."""
    possible = comb(skills, k)
    flat = np.fromiter(chain.from_iterable(combinations(range(skills), k)), np.int64, possible * k)
    taken = shuffled(np.arange(possible), seed, "some of all")[:n]
    within = np.argsort(words(seed, "order within", 0, n * k).reshape(n, k), axis=1, kind="stable")
    return np.take_along_axis(flat.reshape(possible, k)[taken], within, axis=1)
