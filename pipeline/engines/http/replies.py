"""Reads the replies of the generating routes, strictly: what is not as the protocol says is a bad reply.

Raises `Transient` of kind `bad_reply` for anything malformed and `RowError` `score.nonfinite` for a log-probability
that is no number. Knows no transport.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.engines.retry import Transient
from pipeline.errors import RowError
from pipeline.types import FinishReason, Json, Sample

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
PLACEHOLDER = -9999.0
"""What OpenAI gives instead of the log-probability of a very unlikely token."""

Samples = tuple[dict[int, Sample], int | None]
"""Samples by index, and the number of prompt tokens if the server says it."""


def document(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a reply; raises `Transient` if there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise bad(f"the reply of {len(body):,} bytes is not a JSON object", body)
    return value


def bad(reason: str, body: bytes = b"") -> Transient:
    """Return the failure of a reply that is not what was asked for."""
    return Transient("bad_reply", reason, raw=body[:4096])


def read_samples(body: bytes, n: int, chat: bool, logprobs: bool) -> Samples:
    """Read the choices of a reply.

    Fewer than `n` choices, or one index twice (the first counts), are left to the caller: at least one is returned.

    Args:
        body: of a reply with status 200.
        n: samples asked for.
        chat: True for the chat route, False for the completions route.
        logprobs: True if log-probabilities were asked for.
    """
    value = document(body)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise bad("the reply has no choices", body)
    raw_usage = value.get("usage")
    usage: Mapping[str, Any] = raw_usage if isinstance(raw_usage, dict) else {}
    completion_tokens = _count(usage.get("completion_tokens")) if n == 1 else None
    samples: dict[int, Sample] = {}
    for choice in choices:
        index = choice.get("index") if isinstance(choice, dict) else None
        if type(index) is not int or not 0 <= index < n:
            raise bad(f"a choice has index {index!r:.20}; expected 0 to {n - 1}", body)
        if index not in samples:
            samples[index] = _sample(choice, chat, logprobs, completion_tokens, body)
    return samples, _count(usage.get("prompt_tokens"))


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _sample(choice: Mapping[str, Any], chat: bool, logprobs: bool, tokens: int | None, body: bytes) -> Sample:
    finish = _FINISH.get(str(choice.get("finish_reason")))
    if finish is None:
        raise bad(f"a choice has finish_reason {choice.get('finish_reason')!r:.40}", body)
    if chat:
        text, finish = _chat_text(choice.get("message"), finish, body)
    elif isinstance(choice.get("text"), str):
        text = choice["text"]
    else:
        raise bad("a choice has no text", body)
    logprob = None
    if logprobs and finish != "content_filter":
        values = _token_logprobs(choice.get("logprobs"), chat, body)
        logprob, tokens = total(values), len(values)
    return Sample(clean(text), finish, tokens, logprob)


def _chat_text(message: object, finish: FinishReason, body: bytes) -> tuple[str, FinishReason]:
    if isinstance(message, dict):
        content = message.get("content")
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            return (content if isinstance(content, str) else "") or refusal, "content_filter"
        if isinstance(content, str):
            return content, finish
        if content is None and _may_be_empty(message, finish):
            return "", finish
    raise bad("a choice has no message content", body)


def _may_be_empty(message: Mapping[str, Any], finish: FinishReason) -> bool:
    """Return True where null content is an outcome: filtered, or all tokens went into reasoning."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return finish == "content_filter" or (finish == "length" and isinstance(reasoning, str))


def _token_logprobs(value: object, chat: bool, body: bytes) -> list[object]:
    found = value.get("content" if chat else "token_logprobs") if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise bad("log-probabilities are missing; set 'logprobs: false' if the server has none", body)
    return [item.get("logprob") if isinstance(item, dict) else None for item in found] if chat else found


def total(values: Sequence[object]) -> float:
    """Return the sum of log-probabilities in nats.

    Raises:
        RowError: `score.nonfinite` if one is missing, not a finite number, or a server's placeholder.
    """
    for position, value in enumerate(values):
        if type(value) not in (float, int) or not math.isfinite(value) or value <= PLACEHOLDER:  # type: ignore[arg-type, operator]
            raise RowError("score.nonfinite", f"log-probability {position + 1} of {len(values)} is {value!r:.20}")
    return math.fsum(values)  # type: ignore[arg-type]


def clean(text: str) -> str:
    """Return text that can be written as UTF-8: lone surrogates become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def json_list(value: Json, name: str, body: bytes) -> list[Any]:
    """Return a list out of a reply, or raise."""
    if not isinstance(value, list):
        raise bad(f"the reply has no list '{name}'", body)
    return value
