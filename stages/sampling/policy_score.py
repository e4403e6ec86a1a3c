"""When the policy's own log-probability of a response can stand for a second pass over it.

`sample_responses` marks a row with `mark`; `score_logprobs` makes the same mark from the row as it finds it and from
its own engine, and takes the figure if they are equal. So the rows alone decide, and a resumed run decides alike. The
mark covers the engine's identity, the prompt and the response: a stage between the two that rewrites either, or a
file whose columns happen to have these names, makes it differ. It does not know how the log-probability was made;
`Sample.scorable` is the engine's word that scoring would give the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pipeline.api import BoundEngine, Message, Row, digest_of


class PolicyScore(NamedTuple):
    """Sum of log-probabilities (nats, temperature 1) and the number of tokens it runs over, end token included."""

    logprob: float
    tokens: int


def mark(engine: BoundEngine, messages: tuple[Message, ...], response: str) -> str:
    """Return what ties a log-probability to the engine that gave it and the texts it belongs to; 64 hex digits."""
    return digest_of([engine.identity_digest, [[m["role"], m["content"]] for m in messages], response])


def policy_score(row: Row, engine: BoundEngine, messages: tuple[Message, ...]) -> PolicyScore | None:
    """Return the policy's own figure if `engine` would give it for this row; None if it must be asked.

    Columns that are absent, null or of another type mean that it must be asked.
    """
    logprob, tokens, marked = (row.get(c) for c in ("policy_logprob", "response_tokens", "policy_scored_by"))
    if not isinstance(logprob, float) or not math.isfinite(logprob) or not isinstance(tokens, int):
        return None
    if marked is None or marked != mark(engine, messages, row["response"]):
        return None
    return PolicyScore(logprob, tokens)
