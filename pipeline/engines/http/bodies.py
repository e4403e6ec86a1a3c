"""Builds request bodies for the two generating routes; knows neither transport nor replies.

`temperature` and `top_p` are always sent, because some servers (vLLM) otherwise take them from the model's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.types import GenRequest, Json

RESERVED: Final = frozenset(
    {
        "model",
        "messages",
        "prompt",
        "n",
        "best_of",
        "seed",
        "stream",
        "stream_options",
        "stop",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "top_logprobs",
        "prompt_logprobs",
        "echo",
        "response_format",
    }
)
"""Body fields that the engine sets itself; `extra_body` must not name them."""


class Bodies:
    """Bodies of one engine.

    Args:
        model: the server's name of the model.
        extra_body: fields added to every body.
        max_tokens_field: what the chat route calls its limit.
        send_seed: False for servers that refuse a seed.
        logprobs: False for servers that give no log-probabilities of samples.
    """

    def __init__(
        self, model: str, extra_body: Mapping[str, Json], max_tokens_field: str, send_seed: bool, logprobs: bool
    ) -> None:
        self._static: dict[str, Json] = {"model": model, **extra_body}
        self._max_tokens_field, self._send_seed, self._logprobs = max_tokens_field, send_seed, logprobs

    def build(self, request: GenRequest, n: int, seed: int | None) -> dict[str, Json]:
        """Return the body that asks for `n` samples of a request, drawn from `seed`."""
        body = dict(self._static)
        if request.messages is not None:
            body["messages"] = request.messages
            body[self._max_tokens_field] = request.max_tokens
        else:
            body["prompt"] = request.prompt
            body["max_tokens"] = request.max_tokens
        body["temperature"] = request.temperature
        body["top_p"] = request.top_p
        if n > 1:
            body["n"] = n
        if seed is not None and self._send_seed:
            body["seed"] = seed & 0x7FFF_FFFF  # servers refuse more than 64, some more than 32 bits
        if request.stop:
            body["stop"] = request.stop
        if self.wants_logprobs(request):
            body["logprobs"] = True if request.messages is not None else 0
        if request.json_schema is not None:
            schema = {"name": "output", "schema": dict(request.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def wants_logprobs(self, request: GenRequest) -> bool:
        """Return whether log-probabilities are asked of the server."""
        return request.logprobs and self._logprobs
