"""Turn a comparison into response rows (one for each response) or pair rows (one for each two with unlike labels).

Which response of a pair row is "a" is the file's order where that means nothing, else drawn by a seed from the pair's
id; `swapped` says that it is not the file's order. Pure; the seed is an option of the stage.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from pipeline.api import MESSAGES, RowError, columns, derive_seed
from stages.sources.preference_formats.comparison import Comparison

RESPONSE_ROW = columns(
    id=str,
    prompt_id=str,
    prompt=MESSAGES,
    response=str,
    label=float,
    subset=str,
    position=int,
    response_count=int,
)
PAIR_ROW = columns(
    id=str,
    prompt_id=str,
    prompt=MESSAGES,
    response_a=str,
    response_b=str,
    response_a_id=str,
    response_b_id=str,
    label=str,
    subset=str,
    swapped=bool,
)


def response_rows(comparison: Comparison, subset: str) -> list[dict[str, Any]]:
    """Return one row for each response; `position` counts from 0 in the file's order, of `response_count` in all."""
    told = comparison.id
    return [
        {
            "id": f"{told}-{position}",
            "prompt_id": told,
            "prompt": comparison.prompts[position],
            "response": comparison.responses[position],
            "label": comparison.labels[position],
            "subset": subset,
            "position": position,
            "response_count": len(comparison.responses),
        }
        for position in range(len(comparison.responses))
    ]


def pair_rows(comparison: Comparison, subset: str, seed: int) -> list[dict[str, Any]]:
    """Return the row of a comparison of two, or of more one for each two responses of which one is better.

    Raises:
        RowError: `preferences.unlike_prompts`.
    """
    if any(prompt != comparison.prompts[0] for prompt in comparison.prompts):
        raise RowError(
            "preferences.unlike_prompts",
            "the responses answer different conversations, and a pair has one prompt; take 'rows: responses', or "
            "leave such records out with 'subsets'",
        )
    labels, count = comparison.labels, len(comparison.responses)
    places = [(i, j) for i, j in combinations(range(count), 2) if count == 2 or labels[i] != labels[j]]
    return [_pair(comparison, place, subset, seed) for place in places]


def _pair(comparison: Comparison, place: tuple[int, int], subset: str, seed: int) -> dict[str, Any]:
    told = comparison.id
    pair_id = told if len(comparison.responses) == 2 else f"{told}-{place[0]}-{place[1]}"
    swapped = comparison.order_tells and bool(derive_seed(seed, "load_preferences", pair_id) & 1)
    a, b = reversed(place) if swapped else place
    return {
        "id": pair_id,
        "prompt_id": told,
        "prompt": comparison.prompts[0],
        "response_a": comparison.responses[a],
        "response_b": comparison.responses[b],
        "response_a_id": f"{told}-{a}",
        "response_b_id": f"{told}-{b}",
        "label": pair_label(comparison.labels[a], comparison.labels[b]),
        "subset": subset,
        "swapped": swapped,
    }


def pair_label(label_a: float | None, label_b: float | None) -> str | None:
    """Return "a", "b" or "tie" for two labels, None where one is not known."""
    if label_a is None or label_b is None:
        return None
    return "tie" if label_a == label_b else "a" if label_a > label_b else "b"
