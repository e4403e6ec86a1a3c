"""Log-probabilities of responses under vLLM, the shared prefix read from the cache and the response never.

Facts (engines.md, section 4; measured): with the prefix cache read, a score is right only if at least the prompt's last
token was computed, so the cached part must end before it; blocks left by an earlier pass or by sampling reach into the
response and give garbage. Hence a salt of this pass's own, each pair scored once, and a guard on every output: what it
refuses is computed again with the cache unread. One value for each response token, at temperature 1, natural logarithm.

Two paths give the same numbers: `ids` (only the response's rows, one array; newer runner, checked at start against the
other) and `flat` (all positions, flat lists).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import uuid
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pipeline.errors import RowError

Ids = tuple[int, ...]
Ask = Callable[[Ids, Any, str | None], Awaitable[Any]]
"""Gives token ids, sampling parameters and a cache salt to the engine; returns its final output."""

_REMEMBERED = 200_000
_MOST_LOGPROB = 1e-2
"""A log-probability above this is garbage from the cache; rounding may lift a certain token a little above 0."""
_AGREE = 0.05


class Scorer:
    """Scores (prompt, response) pairs of one pass.

    Attributes:
        path: how log-probabilities are asked for.
        counts: pairs scored, answered from an equal pair, and computed again without the cache.
    """

    def __init__(self, ask: Ask, cached: bool) -> None:
        """Take the engine; `cached` says whether its prefix cache is on."""
        self._ask, self._cached = ask, cached
        self._salt = f"score-{uuid.uuid4().hex}"
        self._running: dict[bytes, asyncio.Future[float]] = {}
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self.path: Literal["ids", "flat"] = "flat"
        self.counts = {"scored": 0, "taken_from_equal": 0, "scored_again": 0}

    async def choose_path(self, probe: Ids) -> None:
        """Use the path by ids if this version and runner have it and it agrees with the other on a probe."""
        cut = len(probe) // 2
        prompt, response = probe[:cut], probe[cut:]
        flat, _ = await self._values("flat", prompt, response, read_cache=False)
        try:
            by_ids, _ = await self._values("ids", prompt, response, read_cache=False)
        except (RowError, TypeError, AttributeError):  # this version or runner does not have it
            return
        if len(by_ids) == len(flat) and all(abs(a - b) <= _AGREE for a, b in zip(by_ids, flat, strict=True)):
            self.path = "ids"

    async def score(self, prompt: Ids, response: Ids) -> float:
        """Return the sum over the response's tokens, in nats; 0 for an empty response.

        Raises:
            RowError: `score.nonfinite`.
        """
        if not response:
            return 0.0
        key = _key(prompt, response)
        if key in self._known:
            self.counts["taken_from_equal"] += 1
            return self._known[key]
        while (running := self._running.get(key)) is not None:
            await asyncio.wait({running})
            if not running.cancelled():  # else whoever asked first was aborted: ask in its place
                self.counts["taken_from_equal"] += 1
                return running.result()
        return await self._first(key, prompt, response)

    async def _first(self, key: bytes, prompt: Ids, response: Ids) -> float:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._running[key] = future
        try:
            total = await self._computed(prompt, response)
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:
            future.set_exception(error)
            future.exception()  # marks it as seen: there may be nobody else waiting
            raise
        finally:
            del self._running[key]
        future.set_result(total)
        self._known[key] = total
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return total

    async def _computed(self, prompt: Ids, response: Ids) -> float:
        values, cached = await self._values(self.path, prompt, response, read_cache=self._cached)
        self.counts["scored"] += 1
        if self._cached and (cached >= len(prompt) or not _sound(values, response)):
            self.counts["scored_again"] += 1
            values, cached = await self._values(self.path, prompt, response, read_cache=False)
        if not _sound(values, response):
            raise RowError(
                "score.nonfinite",
                f"{len(values)} log-probabilities between {min(values, default=math.nan)} and "
                f"{max(values, default=math.nan)} for {len(response)} response tokens; expected one for each, finite "
                "and at most 0",
            )
        return math.fsum(values)

    async def _values(self, path: str, prompt: Ids, response: Ids, *, read_cache: bool) -> tuple[list[float], int]:
        """Return the response's log-probabilities and the number of tokens read from the cache."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        how: dict[str, Any] = {"prompt_logprobs": 0, "flat_logprobs": True}
        if path == "ids":
            how = {"prompt_logprob_token_ids": [[t] for t in response], "prompt_logprob_start": len(prompt) - 1}
        params = SamplingParams(
            max_tokens=1,
            temperature=0,
            detokenize=False,
            skip_reading_prefix_cache=not read_cache,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **how,
        )
        output = await self._ask(prompt + response, params, self._salt)
        if path == "ids":
            rows = output.prompt_token_id_logprobs
            values = [float(v) for v in rows[-len(response) :, 0]]
        else:
            values = [float(v) for v in output.prompt_logprobs.logprobs[-len(response) :]]
        return values, int(output.num_cached_tokens or 0)


def _sound(values: list[float], response: Ids) -> bool:
    return len(values) == len(response) and all(math.isfinite(v) and v <= _MOST_LOGPROB for v in values)


def _key(prompt: Ids, response: Ids) -> bytes:
    digest = hashlib.blake2b(len(prompt).to_bytes(8, "big"), digest_size=16)
    digest.update(array("q", prompt).tobytes())
    digest.update(array("q", response).tobytes())
    return digest.digest()
