"""RewardBench (`prompt`, `chosen`, `rejected`, `subset`, `id`) and RewardBench 2 (lists of chosen and of rejected).

Sources: Lambert et al., "RewardBench", arXiv:2403.13787; Malik et al., "RewardBench 2", arXiv:2506.01937; the columns
are those of the data sets `allenai/reward-bench` and `allenai/reward-bench-2`. In the first, one response is right; in
the second, one of four, and in its subset Ties several are. `num_correct` must be the number of chosen responses where
it is given. Ids are counted within a subset, so both make the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.api import RowError
from stages.sources.preference_formats.comparison import (
    BETTER,
    WORSE,
    Comparison,
    joined_id,
    prompt_of,
    response_of,
    text_or_none,
)

REQUIRED = ("prompt", "chosen", "rejected")
OPTIONAL = ("id", "subset", "num_correct")


def read_one(record: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one record of RewardBench.

    Raises:
        RowError: with a `source.*` or `preferences.*` code.
    """
    return _comparison(record, (record.get("chosen"),), (record.get("rejected"),))


def read_lists(record: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one record of RewardBench 2.

    Raises:
        RowError: with a `source.*` or `preferences.*` code.
    """
    chosen, rejected, count = (record.get(c) for c in ("chosen", "rejected", "num_correct"))
    for name, value in (("chosen", chosen), ("rejected", rejected)):
        if not isinstance(value, list) or not value:
            raise RowError("preferences.bad_response", f"'{name}' is no list of responses, or an empty one")
    assert isinstance(chosen, list) and isinstance(rejected, list)
    if count is not None and count != len(chosen):
        raise RowError("preferences.bad_label", f"num_correct is {count}, but there are {len(chosen)} chosen responses")
    return _comparison(record, tuple(chosen), tuple(rejected))


def _comparison(record: Mapping[str, Any], chosen: tuple[Any, ...], rejected: tuple[Any, ...]) -> Comparison:
    responses = [*(response_of(c, "chosen") for c in chosen), *(response_of(r, "rejected") for r in rejected)]
    subset = text_or_none(record, "subset")
    return Comparison(
        own_id=joined_id(subset, record.get("id")),
        prompts=(prompt_of(record, "prompt"),) * len(responses),
        responses=tuple(responses),
        labels=(BETTER,) * len(chosen) + (WORSE,) * len(rejected),
        subset=subset,
        order_tells=True,
    )
