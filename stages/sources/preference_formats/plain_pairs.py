"""Our own plain format: `prompt`, `response_a`, `response_b`, `label` ("a", "b", "tie" or null).

`id` and `subset` are optional. The order of the two responses means nothing. `prompt` is text or a list of messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stages.sources.preference_formats.comparison import (
    BETTER,
    EVEN,
    WORSE,
    Comparison,
    bad_label,
    joined_id,
    prompt_of,
    response_of,
    text_or_none,
)

REQUIRED = ("prompt", "response_a", "response_b", "label")
OPTIONAL = ("id", "subset")

_LABELS: Mapping[str, tuple[float, float]] = {"a": (BETTER, WORSE), "b": (WORSE, BETTER), "tie": (EVEN, EVEN)}


def read(record: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one record.

    Raises:
        RowError: with a `source.*` or `preferences.*` code.
    """
    label = record.get("label")
    if label not in (None, "", *_LABELS):
        raise bad_label("label", label, "a, b, tie or null")
    return Comparison(
        own_id=joined_id(record.get("id")),
        prompts=(prompt_of(record, "prompt"),) * 2,
        responses=(
            response_of(record.get("response_a"), "response_a"),
            response_of(record.get("response_b"), "response_b"),
        ),
        labels=_LABELS[label] if label else (None, None),
        subset=text_or_none(record, "subset"),
    )
