"""What the rows of a shard cost: requests, tokens read and made, counted from results, whoever asked for them.

Every process that works on a shard meets all its results, from the engine or from the journal, so that a kill in
between changes nothing: each distinct request counts once. An engine that does not say how many tokens it read leaves
its requests among `untold`; they are not taken for zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.types import GenResult, PoolResult, ScoreResult


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests and tokens; tokens that are scored count as read."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    untold: int = 0
    """Requests, of `requests`, whose tokens the engine did not tell."""

    def __add__(self, other: Usage) -> Usage:
        """Return the sum."""
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.new_tokens + other.new_tokens,
            self.untold + other.untold,
        )


def usage_of(result: GenResult | ScoreResult | PoolResult | None) -> Usage:
    """Return what one request cost; None stands for one that was refused, which read and made nothing that is told."""
    if isinstance(result, ScoreResult):
        return Usage(1, result.prompt_tokens + result.tokens)
    if isinstance(result, PoolResult):
        return Usage(1, result.tokens)
    if result is None:
        return Usage(1)
    made = [s.tokens for s in result.samples]
    if result.prompt_tokens is None or None in made:
        return Usage(1, untold=1)
    return Usage(1, result.prompt_tokens, sum(t for t in made if t is not None))


def total(parts: Iterable[Usage]) -> Usage:
    """Return the sum of many."""
    found = Usage()
    for part in parts:
        found += part
    return found
