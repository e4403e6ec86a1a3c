"""Log-probabilities of a given response through the completions route.

Sums only what the server says of the response's own tokens: nothing is averaged or imputed, and a reply whose
positions cannot be told apart with certainty gives a `RowError` (`specs/methods_annotation.md`, B3). Temperature 1 is
always requested. On vLLM, run the server with prefix caching off (`specs/engines.md`, section 4).

Reject codes: `score.nonfinite`, `score.boundary`, `score.control_text`, and `engine.bad_response` from the retry loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pipeline.engines.http.replies import bad, document, json_list, total
from pipeline.engines.http.scoring_config import ScoringConfig
from pipeline.engines.http.tokenization import Ids, Spans
from pipeline.engines.retry import Transient
from pipeline.errors import RowError
from pipeline.types import Json, Message, ScoreRequest

Score = tuple[float, int, int]
"""Sum in nats, tokens scored, tokens before them."""

_CHATML_START, _CHATML_END = "<|im_start|>", "<|im_end|>"


class Completions(Protocol):
    """Posts one body to the completions route and reads the reply with `parse`."""

    async def __call__(self, body: dict[str, Json], parse: Any) -> Score:
        """Return what `parse` made of the reply."""


class IdScorer:
    """Sends token ids, so that the span of the response is known and no second BOS can appear."""

    def __init__(
        self, config: ScoringConfig, spans: Spans, static: Mapping[str, Json], completions: Completions
    ) -> None:
        self._config, self._spans, self._static, self._completions = config, spans, static, completions

    async def score(self, request: ScoreRequest) -> Score:
        """Score one request."""
        prompt, response = await self._spans.of(request)
        if not prompt:
            raise RowError("score.boundary", "the prompt has no token; a text's first token has no log-probability")
        if not response:
            return 0.0, 0, len(prompt)
        ids = prompt + response
        body = {**self._static, "prompt": ids, "temperature": 1.0}
        if self._config.method == "echo":
            most = self._config.echo_max_tokens
            body |= {"echo": True, "logprobs": 0, "max_tokens": most}
            return await self._completions(body, lambda raw: _from_echo(raw, len(prompt), len(ids), most))
        body |= {"prompt_logprobs": 0, "max_tokens": 1}
        return await self._completions(body, lambda raw: _from_prompt_logprobs(raw, len(prompt), ids))


class TextScorer:
    """Sends text made from a built-in template; for servers without a route that tokenises."""

    def __init__(self, config: ScoringConfig, static: Mapping[str, Json], completions: Completions) -> None:
        self._config, self._static, self._completions = config, static, completions

    async def score(self, request: ScoreRequest) -> Score:
        """Score one request."""
        prompt, response = self._texts(request)
        if not prompt:
            raise RowError("score.boundary", "the prompt is empty; a text's first token has no log-probability")
        body = {
            **self._static,
            "prompt": prompt + response,
            "temperature": 1.0,
            "echo": True,
            "logprobs": 0,
            "max_tokens": self._config.echo_max_tokens,
        }
        return await self._completions(body, lambda raw: _from_offsets(raw, prompt, response))

    def _texts(self, request: ScoreRequest) -> tuple[str, str]:
        """Return the text before the response, and the text that is scored."""
        chatml = self._config.template == "chatml"
        end = _CHATML_END if chatml and request.include_eos else ""
        if request.messages is None:
            return request.prompt or "", request.response + end
        if chatml:
            _refuse_control_text([m["content"] for m in request.messages] + [request.response])
            return _chatml(request.messages), request.response + end
        return _transcript(request.messages), f" {request.response}" if request.response else ""


def _refuse_control_text(texts: Sequence[str]) -> None:
    """A server reads ChatML's marks wherever they stand in a text, so a row that holds one cannot be scored as text."""
    for text in texts:
        if _CHATML_START in text or _CHATML_END in text:
            raise RowError(
                "score.control_text",
                f"the text holds '{_CHATML_START}' or '{_CHATML_END}', which the "
                "server would take for the end of a turn; use 'tokenizer: server' or a local tokenizer",
            )


def _chatml(messages: Sequence[Message]) -> str:
    turns = "".join(f"{_CHATML_START}{m['role']}\n{m['content']}{_CHATML_END}\n" for m in messages)
    return turns + f"{_CHATML_START}assistant\n"


def _transcript(messages: Sequence[Message]) -> str:
    """Write named turns, up to the colon: common tokenizers begin a token at the space after it."""
    return "".join(f"{m['role'].capitalize()}: {m['content']}\n\n" for m in messages) + "Assistant:"


def _choice(body: bytes) -> dict[str, Any]:
    choices = document(body).get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise bad("the reply has not exactly one choice", body)
    return choices[0]


def _echoed(body: bytes) -> dict[str, Any]:
    logprobs = _choice(body).get("logprobs")
    if not isinstance(logprobs, dict):
        raise bad("the echo has no log-probabilities", body)
    return logprobs


def _from_echo(body: bytes, start: int, end: int, generated: int) -> Score:
    values = json_list(_echoed(body).get("token_logprobs"), "token_logprobs", body)
    if not end <= len(values) <= end + generated:
        raise _length(len(values), end, body)
    return total(values[start:end]), end - start, start


def _from_prompt_logprobs(body: bytes, start: int, ids: Ids) -> Score:
    choice = _choice(body)
    positions = json_list(choice.get("prompt_logprobs"), "prompt_logprobs", body)
    if len(positions) != len(ids):
        raise _length(len(positions), len(ids), body)
    values = []
    for token, position in zip(ids[start:], positions[start:], strict=True):
        entry = position.get(str(token)) if isinstance(position, dict) else None
        if not isinstance(entry, dict):
            raise bad(f"a position of prompt_logprobs lacks its own token {token}", body)
        values.append(entry.get("logprob"))
    return total(values), len(values), start


def _length(found: int, sent: int, body: bytes) -> Transient:
    return bad(f"log-probabilities for {found} tokens, {sent} were sent", body)


def _from_offsets(body: bytes, prompt: str, response: str) -> Score:
    echoed = _echoed(body)
    tokens, values, offsets = (json_list(echoed.get(k), k, body) for k in ("tokens", "token_logprobs", "text_offset"))
    if not len(tokens) == len(values) == len(offsets):
        raise bad(f"{len(tokens)} tokens, {len(values)} log-probabilities, {len(offsets)} offsets", body)
    if not all(isinstance(t, str) for t in tokens):
        raise bad("a token of the echo is no text", body)
    start = _index(offsets, len(prompt))
    end = _index([*offsets, len(prompt) + len(response)], len(prompt) + len(response))
    if start is None or end is None or "".join(tokens[start:end]) != response:
        raise RowError(
            "score.boundary",
            "no token begins exactly where the response begins and ends; use "
            "'tokenizer: server' or a local tokenizer for this model",
        )
    return total(values[start:end]), end - start, start


def _index(offsets: Sequence[object], offset: int) -> int | None:
    return next((i for i, o in enumerate(offsets) if o == offset), None)
