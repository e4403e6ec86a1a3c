"""Ask a pair ranker, a model that reads a prompt with two responses, which of them is better.

Source: PairRM of LLM-Blender, arXiv:2306.02561 (llm-blender/PairRM-hf). The engine knows how its model wants the pair
(`pair_ranker` of kind `classifier`). A ranker has a preference for places: ask both orders, and take the mean of the
one and of one minus the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.api import BoundEngine, Message, PoolRequest, RowError


async def rank_pair(engine: BoundEngine, messages: Sequence[Message], first: str, second: str) -> float:
    """Return the probability that `first` is the better response to `messages`, as put in this order.

    Args:
        engine: bound to a role that needs the capability `classify`.
        messages: the prompt.
        first: the response that is shown first.
        second: the other one.

    Raises:
        RowError: `rank.unreadable` if the reply is not one probability; what the engine says (`pool.nonfinite`,
            `engine.context_exceeded`).
    """
    request = PoolRequest("classify", messages=tuple(messages), candidates=(first, second))
    values = (await engine.pool(request)).values
    if len(values) != 1 or not (math.isfinite(values[0]) and 0 <= values[0] <= 1):
        raise RowError("rank.unreadable", f"'{engine.model}' gave {list(values)[:4]}; expected one probability")
    return values[0]
