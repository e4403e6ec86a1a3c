"""Draw skill combinations and query types, from hashes of a seed so that no library version changes a plan.

Paper: Instruct-SkillMix, arXiv:2408.14774. `release_sets` repeats the released script's sampler, which uses numpy's
legacy generator. Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np

from pipeline.api import derive_seed


def unrepeated_sets(skills: int, k: int, n: int, seed: int) -> list[tuple[int, ...]]:
    """Draw n different k-sets of the numbers below `skills`, each set equally likely, order within a set random.

    Raises:
        ValueError: if there are fewer than n such sets.
    """
    possible = comb(skills, k)
    if n > possible:
        raise ValueError(
            f"{n:,} rows of {k} skills asked for, but {skills:,} distinct skills give only {possible:,} different sets"
        )
    if 2 * n > possible:
        every = sorted(combinations(range(skills), k), key=lambda s: derive_seed(seed, "set", *s))
        return [_shuffled(s, derive_seed(seed, "order", *s)) for s in every[:n]]
    drawn: dict[frozenset[int], tuple[int, ...]] = {}
    draw = 0
    while len(drawn) < n:
        members = _distinct_numbers(skills, k, derive_seed(seed, "draw", draw))
        drawn.setdefault(frozenset(members), members)
        draw += 1
    return list(drawn.values())


def release_sets(skills: int, k: int, n: int, seed: int) -> list[tuple[int, ...]]:
    """Draw as the released script does: shuffle the whole list in place, take the first k; sets may repeat."""
    generator = np.random.RandomState(seed % 2**32)
    order = list(range(skills))
    out: list[tuple[int, ...]] = []
    for _ in range(n):
        generator.shuffle(order)
        out.append(tuple(order[:k]))
    return out


def balanced_types(types: int, n: int, seed: int) -> list[int]:
    """Give n rows one of `types` query types each, so that any two counts differ by at most one."""
    extra = _shuffled(range(types), derive_seed(seed, "extra"))[: n % types]
    dealt = [t for t in range(types) for _ in range(n // types)] + list(extra)
    return list(_shuffled(dealt, derive_seed(seed, "deal")))


def iid_types(types: int, n: int, seed: int) -> list[int]:
    """Give n rows a query type each, independently and uniformly, as the released data show."""
    return [derive_seed(seed, "type", i) % types for i in range(n)]


def _distinct_numbers(below: int, k: int, seed: int) -> tuple[int, ...]:
    found: dict[int, None] = {}
    draw = 0
    while len(found) < k:
        found[derive_seed(seed, draw) % below] = None
        draw += 1
    return tuple(found)


def _shuffled(values: Sequence[int], seed: int) -> tuple[int, ...]:
    keys = sorted(range(len(values)), key=lambda i: derive_seed(seed, "shuffle", i))
    return tuple(values[i] for i in keys)
