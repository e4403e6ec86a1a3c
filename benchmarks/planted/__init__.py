"""Texts with known faults, for measuring and mending filters: our own. `held_out` is not for mending.

A planted item says what a right filter must find in it and what must not be found. Nothing here knows how a filter
works; `benchmarks/filter_accuracy.py` runs the real stages over it. Equal seeds give equal sets.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple


class Planted(NamedTuple):
    """One text of the set.

    Attributes:
        id: unique in its pool, with the kind of text in it.
        text: the text.
        faults: what is planted in it, such as `email`; empty for a text that is in order.
        finish_reason: for responses; `stop` or `length`.
    """

    id: str
    text: str
    faults: frozenset[str] = frozenset()
    finish_reason: str = "stop"


def numbered(kind: str, texts: Sequence[str], *faults: str, finish_reason: str = "stop") -> list[Planted]:
    """Return texts of one kind as items."""
    return [Planted(f"{kind}-{i:03d}", t, frozenset(faults), finish_reason) for i, t in enumerate(texts)]


def filled(rng: random.Random, forms: Sequence[str], count: int, **slots: Sequence[str]) -> list[str]:
    """Return `count` different texts: forms in turn, `{slot}` filled by chance.

    Raises:
        ValueError: if the forms and slots do not give as many.
    """
    out: dict[str, None] = {}
    for attempt in range(count * 50):
        if len(out) == count:
            break
        form = forms[attempt % len(forms)]
        out[form.format(**{name: rng.choice(values) for name, values in slots.items()})] = None
    if len(out) < count:
        raise ValueError(f"only {len(out)} of {count} different texts; add forms or fillers")
    return list(out)
