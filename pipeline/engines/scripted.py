"""An engine that answers from a script: for tests and for dry runs of a recipe without a model.

Replies are a pure function of the request. Its identity says `scripted`, so its rows can never be taken for a
model's. Its tokens are the words of a text and one end token; log-probabilities are a fixed function of model and
words, good for arithmetic only, and the same whether a text is sampled or scored. Its embedding of a text counts the
words, each at a place that its hash says: texts of the same words are close, and nothing else is meant by it. Its
reward is the mean of the words' log-probabilities; as a classifier it gives the sigmoid of the reward, and for two
candidates that of the difference.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections import deque
from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.canonical import digest_of
from pipeline.engines.base import Engine
from pipeline.errors import RowError
from pipeline.types import (
    CHAT,
    CLASSIFY,
    EMBED,
    JSON_SCHEMA,
    REWARD,
    SCORE_TOKENS,
    EngineConfig,
    ExecutionOnly,
    GenRequest,
    GenResult,
    Json,
    PoolRequest,
    PoolResult,
    Sample,
    ScoreRequest,
    ScoreResult,
)

ReplyFunction = Callable[[GenRequest, int], str]
"""Text of sample `draw` of a request; may raise `RowError` or `EngineError`."""

_WORD = re.compile(r"\S+")

_DIMENSIONS = 64

_CALLS_KEPT = 2_000
"""How many of the last calls an engine remembers, for tests to look at."""


class ScriptRule(BaseModel):
    """If the last turn matches `when` (a regular expression), reply with one of `replies`, chosen by the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: str
    replies: tuple[str, ...] = Field(min_length=1)

    @field_validator("when")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as e:
            raise ValueError(f"'when' is no regular expression: {e}") from None
        return value


class ScriptedConfig(EngineConfig):
    """Options of the scripted engine."""

    model: str = "scripted"
    revision: str | None = None
    rules: tuple[ScriptRule, ...] = ()
    """Tried in order; `{seed}` and `{prompt}` in a reply are replaced once, literally."""
    default: str = "Reply {seed} to: {prompt}"
    context_chars: int = 1_000_000
    latency_ms: Annotated[float, ExecutionOnly()] = 0.0


class ScriptedEngine(Engine):
    """Answers from rules, or from a Python function given by a test."""

    kind: ClassVar[str] = "scripted"
    config_type: ClassVar[type[EngineConfig]] = ScriptedConfig
    resident: ClassVar[bool] = False

    config: ScriptedConfig

    def __init__(self, config: ScriptedConfig, reply: ReplyFunction | None = None) -> None:
        """Take the rules of `config`, or `reply` in their place."""
        super().__init__(config)
        self._reply = reply
        self._rules = [(re.compile(rule.when, re.DOTALL), rule.replies) for rule in config.rules]
        self.generate_calls: deque[GenRequest] = deque(maxlen=_CALLS_KEPT)
        self.score_calls: deque[ScoreRequest] = deque(maxlen=_CALLS_KEPT)
        self.pool_calls: deque[PoolRequest] = deque(maxlen=_CALLS_KEPT)

    def capabilities(self) -> frozenset[str]:
        """Offer chat, scoring and all kinds of pooling."""
        return frozenset({CHAT, SCORE_TOKENS, JSON_SCHEMA, EMBED, CLASSIFY, REWARD})

    def check(self) -> None:
        """Need nothing."""

    def identity(self) -> dict[str, Json]:
        """Return kind and script."""
        fields = self.config.fingerprint_fields()
        rules = digest_of([fields["rules"], fields["default"], fields["context_chars"]])
        return {"kind": self.kind, "model": self.config.model, "revision": self.config.revision, "script": rules}

    @property
    def tokenizer_digest(self) -> str:
        """Return the same for all scripted engines: their tokens are the words of a text."""
        return digest_of([self.kind, _WORD.pattern])

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def generate(self, request: GenRequest) -> GenResult:
        """Reply to each draw from the script."""
        self.generate_calls.append(request)
        await self._wait()
        text = _last_turn(request)
        if len(text) > self.config.context_chars:
            raise RowError(
                "engine.context_exceeded", f"prompt of {len(text):,} characters, context {self.config.context_chars:,}"
            )
        reply = self._reply or self._from_rules
        samples = tuple(_sample(self.config.model, reply(request, draw), request) for draw in range(request.n))
        return GenResult(samples, prompt_tokens=len(text.split()), model=self.model)

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Return log-probabilities that are a fixed function of (model, response)."""
        self.score_calls.append(request)
        await self._wait()
        total, tokens = _logprob(self.config.model, request.response, request.include_eos)
        prompt = request.prompt if request.messages is None else request.messages[-1]["content"]
        return ScoreResult(total, tokens, len((prompt or "").split()), self.model)

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Return an embedding of `_DIMENSIONS` values of length 1, a reward, or a probability.

        They depend on model and words only; a reward on those of the last turn, or of the last text.
        """
        self.pool_calls.append(request)
        await self._wait()
        turns = [request.text] if request.messages is None else [m["content"] for m in request.messages]
        texts = [text or "" for text in (*turns, request.text_pair, *(request.candidates or ())) if text is not None]
        words = [w.casefold() for text in texts for w in text.split()]
        if request.task == EMBED:
            return PoolResult(_embedding(self.config.model, words), len(words), self.model)
        value = _reward(self.config.model, texts[-1])
        if request.candidates is not None:
            value = _reward(self.config.model, texts[-2]) - value
        if request.task == CLASSIFY:
            value = 1 / (1 + math.exp(-value))
        return PoolResult((value,), len(words), self.model)

    async def _wait(self) -> None:
        if self.config.latency_ms:
            await asyncio.sleep(self.config.latency_ms / 1000)

    def _from_rules(self, request: GenRequest, draw: int) -> str:
        text = _last_turn(request)
        seed = (request.seed or 0) + draw
        for pattern, replies in self._rules:
            if pattern.search(text):
                return _fill(replies[seed % len(replies)], text, seed)
        return _fill(self.config.default, text, seed)


def _fill(reply: str, prompt: str, seed: int) -> str:
    values = {"{seed}": str(seed), "{prompt}": prompt}
    return re.sub(r"\{seed\}|\{prompt\}", lambda m: values[m[0]], reply)


def _last_turn(request: GenRequest) -> str:
    return request.prompt if request.messages is None else request.messages[-1]["content"]  # type: ignore[return-value]


def _sample(model: str, text: str, request: GenRequest) -> Sample:
    """Cut a reply at `max_tokens` words; its end token needs room too."""
    words = list(_WORD.finditer(text))
    cut = len(words) >= request.max_tokens
    kept = text[: words[request.max_tokens - 1].end()] if cut else text
    total, tokens = _logprob(model, kept, not cut)
    scorable = request.logprobs and not cut
    return Sample(kept, "length" if cut else "stop", tokens, total if request.logprobs else None, scorable)


def _logprob(model: str, text: str, ended: bool) -> tuple[float, int]:
    """Return the sum of log-probabilities of a text's words, and of an end token if `ended`, and their number."""
    words = text.split()
    return sum(_word_logprob(model, w) for w in words) - (1.0 if ended else 0.0), len(words) + ended


def _word_logprob(model: str, word: str) -> float:
    raw = hashlib.blake2b(f"{model}\0{word}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return -4.0 * int.from_bytes(raw, "big") / 2**32


def _reward(model: str, text: str) -> float:
    total, words = _logprob(model, text, ended=False)
    return total / max(words, 1)


def _embedding(model: str, words: list[str]) -> tuple[float, ...]:
    counts = [0.0] * _DIMENSIONS
    for word in words:
        raw = hashlib.blake2b(f"{model}\0{word}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
        counts[int.from_bytes(raw, "big") % _DIMENSIONS] += 1.0
    length = sum(c * c for c in counts) ** 0.5 or 1.0
    return tuple(c / length for c in counts)
