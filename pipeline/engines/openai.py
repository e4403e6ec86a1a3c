"""The engine for OpenAI-compatible servers: OpenAI, vLLM, llama.cpp and others.

Chat goes to `{base}/chat/completions`, raw prompts to `{base}/completions`. Requests run on aiohttp, or on the official
client (`client: official`); failures are classified and retried in `engines/retry.py`. Log-probabilities of samples are
as the server reports them: vLLM by default gives the model's own values at temperature 1, other servers may give them
after temperature. Parameters that are not in `GenRequest` are the server's own: vLLM takes top_k, min_p and repetition
penalties from the model's folder unless `extra_body` sets them.

Reject codes: `engine.refused`, `engine.context_exceeded`, `engine.filtered`, `engine.exhausted`, `engine.bad_response`,
`score.nonfinite`, `score.boundary`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator

from pipeline.canonical import derive_seed
from pipeline.engines.base import Engine
from pipeline.engines.http.bodies import RESERVED, Bodies
from pipeline.engines.http.breaker import Breaker
from pipeline.engines.http.caller import Caller, Limits
from pipeline.engines.http.endpoint import Endpoint, check_url, is_loopback, resolve_endpoint
from pipeline.engines.http.replies import Samples, read_samples
from pipeline.engines.http.scoring import IdScorer, TextScorer
from pipeline.engines.http.scoring_config import ScoringConfig
from pipeline.engines.http.tokenization import LocalTokenizer, ServerTokenizer, Spans, load_tokenizer
from pipeline.engines.http.wire import Transport
from pipeline.engines.retry import RetryPolicy
from pipeline.engines.together import all_or_first_error
from pipeline.errors import EngineError, RowError, Stopped
from pipeline.types import (
    CHAT,
    JSON_SCHEMA,
    SCORE_TOKENS,
    EngineConfig,
    ExecutionOnly,
    GenRequest,
    GenResult,
    Json,
    Sample,
    ScoreRequest,
    ScoreResult,
)

_EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), ExecutionOnly()]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), ExecutionOnly()]
_Count = Annotated[int, Field(ge=1), ExecutionOnly()]


class OpenAIConfig(EngineConfig):
    """Options of the engine; times are in seconds.

    `revision` is what the user knows of the served weights; servers do not tell. `base_url` may name this machine only;
    any other address comes from the environment variable `base_url_env`, the key from `api_key_env`.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a refused URL may hold a password

    model: str = Field(min_length=1)
    revision: str | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Sent with every request; part of the identity."""
    samples_per_request: int | None = Field(default=None, ge=1)
    """None asks for all samples at once, 1 for one a request; changes the draws."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_seed: bool = True
    structured_output: bool = False
    """The server holds replies to a JSON schema (`response_format`)."""
    logprobs: bool = True
    """The server gives log-probabilities of samples; False leaves them out even where a stage asks."""
    scoring: ScoringConfig | None = None
    """How the server scores given text; None if it cannot."""

    base_url: Annotated[str | None, ExecutionOnly()] = None
    base_url_env: _EnvironmentName = "OPENAI_BASE_URL"
    api_key_env: _EnvironmentName = "OPENAI_API_KEY"
    client: Annotated[Literal["aiohttp", "official"], ExecutionOnly()] = "aiohttp"
    max_connections: _Count = 256
    connect_timeout_s: _Seconds = 10.0
    timeout_s: _Seconds = 600.0
    """For one attempt from the first byte sent to the last byte read."""
    deadline_s: _Seconds = 1800.0
    """For one request over all its attempts and waits."""
    max_attempts: _Count = 6
    max_retry_after_s: _Seconds = 120.0
    """A server that asks for a longer wait stops the run."""
    backoff_s: _Seconds = 1.0
    backoff_max_s: _Seconds = 60.0
    breaker_failures: _Count = 100
    breaker_window_s: _Seconds = 30.0
    """The run stops after `breaker_failures` failed attempts over this time without one success."""
    unreachable_s: _Seconds = 10.0
    """The run stops after this time of failed connections to a server that never answered."""
    max_reply_mb: Annotated[float, Field(gt=0), ExecutionOnly()] = 64.0

    @field_validator("base_url")
    @classmethod
    def _this_machine_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = check_url(value)
        if not is_loopback(url):
            raise ValueError(
                "a recipe may name only this machine (localhost, 127.0.0.1, [::1]); give any other "
                "address in the environment variable that base_url_env names"
            )
        return url

    @field_validator("extra_body")
    @classmethod
    def _sets_nothing_of_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(RESERVED & value.keys()):
            raise ValueError(f"extra_body must not set {', '.join(taken)}: the engine sets these itself")
        return value


class OpenAIEngine(Engine):
    """Asks an OpenAI-compatible server."""

    kind: ClassVar[str] = "openai"
    config_type: ClassVar[type[EngineConfig]] = OpenAIConfig
    resident: ClassVar[bool] = False

    config: OpenAIConfig

    def __init__(
        self, config: OpenAIConfig, rng: random.Random | None = None, endpoint: Endpoint | None = None
    ) -> None:
        """Keep the config.

        Args:
            config: the options.
            rng: draws the jitter of waits; no influence on results.
            endpoint: where requests go, for an engine that starts the server itself; None to take it from the options
                and the environment.
        """
        super().__init__(config)
        self._given_endpoint = endpoint
        self._rng = rng or random.Random()
        self._bodies = Bodies(
            config.model, config.extra_body, config.max_tokens_field, config.send_seed, config.logprobs
        )
        self._name = f"{config.model}@{config.revision}" if config.revision else config.model
        self._caller: Caller | None = None
        self._scorer: IdScorer | TextScorer | None = None
        self._closed = False
        self._chat_url = self._text_url = ""

    def capabilities(self) -> frozenset[str]:
        """Offer chat, and what the options declare of scoring and structured output."""
        scores = {SCORE_TOKENS} if self.config.scoring else set()
        return frozenset({CHAT} | scores | ({JSON_SCHEMA} if self.config.structured_output else set()))

    def check(self) -> None:
        """Raise `PrerequisiteError` for a refused URL, a missing key or a missing tokenizer; contacts nothing."""
        self._endpoint()
        if self.config.scoring is not None:
            self.config.scoring.check()

    def identity(self) -> dict[str, Json]:
        """Return model and everything sent that changes replies; endpoint, key and limits are not part of it."""
        fields = self.config.fingerprint_fields()
        scoring = None if self.config.scoring is None else self.config.scoring.identity()
        return {"kind": self.kind, "version": None, "api": "chat", **fields, "scoring": scoring}

    @property
    def tokenizer_digest(self) -> str | None:
        """Return that of the tokenizer folder that `scoring` names; servers do not tell theirs."""
        return None if self.config.scoring is None else self.config.scoring.tokenizer_digest

    @property
    def model(self) -> str:
        """Return `model@revision` as rows record it."""
        return self._name

    async def open(self) -> None:
        """Load a local tokenizer if one is named and make the session; sends nothing."""
        await self.close()
        config = self.config
        endpoint = self._endpoint()
        folder = config.scoring.folder if config.scoring else None
        local = None if folder is None else LocalTokenizer(await asyncio.to_thread(load_tokenizer, folder))
        transport = self._transport(endpoint)
        clock = asyncio.get_running_loop().time
        self._chat_url, self._text_url = f"{endpoint.base}/chat/completions", f"{endpoint.base}/completions"
        self._caller = caller = Caller(
            endpoint,
            transport,
            Limits(config.max_connections, config.timeout_s, config.deadline_s, config.max_retry_after_s),
            RetryPolicy(config.max_attempts, config.backoff_s, config.backoff_max_s, config.unreachable_s / 4),
            Breaker(config.breaker_failures, config.breaker_window_s, config.unreachable_s, clock),
            self._rng,
        )
        self._scorer = self._make_scorer(caller, endpoint.root, local)
        self._closed = False

    def _endpoint(self) -> Endpoint:
        config = self.config
        if self._given_endpoint is not None:
            return self._given_endpoint
        return resolve_endpoint(config.base_url, config.base_url_env, config.api_key_env, os.environ)

    def _transport(self, endpoint: Endpoint) -> Transport:
        config = self.config
        kind: Callable[..., Transport]
        if config.client == "official":
            from pipeline.engines.http.official_client import OfficialTransport as kind
        else:
            from pipeline.engines.http.aiohttp_client import AiohttpTransport as kind
        return kind(
            endpoint,
            config.max_connections,
            config.timeout_s,
            config.connect_timeout_s,
            int(config.max_reply_mb * 2**20),
        )

    def _make_scorer(self, caller: Caller, root: str, local: LocalTokenizer | None) -> IdScorer | TextScorer | None:
        scoring = self.config.scoring
        if scoring is None:
            return None
        static = {"model": self.config.model, **self.config.extra_body}

        async def completions(body: dict[str, Json], parse: Any) -> tuple[float, int, int]:
            score: tuple[float, int, int] = await caller.call(self._text_url, body, parse)
            return score

        if scoring.tokenizer == "text":
            return TextScorer(scoring, static, completions)
        tokenizer = local or ServerTokenizer(
            self.config.model, lambda route, body, parse: caller.call(root + route, body, parse)
        )
        return IdScorer(scoring, Spans(tokenizer), static, completions)

    async def close(self) -> None:
        """End waits and requests in flight with `Stopped`, drop connections."""
        self._closed = True
        caller, self._caller = self._caller, None
        if caller is not None:
            await caller.close()

    def _opened(self) -> Caller:
        if self._caller is None:
            raise Stopped("the engine is closed") if self._closed else EngineError("engine 'openai' is not open")
        return self._caller

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample; see `Engine.generate` for the errors."""
        if request.json_schema is not None and not self.config.structured_output:
            raise EngineError("the request has a JSON schema, but engine 'openai' has no structured_output: true")
        size = self.config.samples_per_request or request.n
        if size >= request.n and self.config.samples_per_request is None:
            samples, prompt_tokens = await self._draw(request, request.n, request.seed)
            return GenResult(tuple(samples), prompt_tokens, self._name)
        starts = range(0, request.n, size)
        seeds = [None if request.seed is None else derive_seed(request.seed, start) for start in starts]
        parts = await all_or_first_error(
            [self._draw(request, min(size, request.n - start), seed) for start, seed in zip(starts, seeds, strict=True)]
        )
        return GenResult(tuple(s for part, _ in parts for s in part), parts[0][1], self._name)

    async def _draw(self, request: GenRequest, n: int, seed: int | None) -> tuple[list[Sample], int | None]:
        """Return `n` samples; asks once more for those that a reply lacks."""
        samples, prompt_tokens = await self._ask(request, n, seed)
        missing = [i for i in range(n) if i not in samples]
        if missing:
            again = None if seed is None else derive_seed(seed, "missing")
            more, _ = await self._ask(request, len(missing), again)
            if len(more) < len(missing):
                raise RowError(
                    "engine.bad_response",
                    f"{n} samples asked for, {len(samples)} came; of the "
                    f"{len(missing)} missing, asked for again, {len(more)} came",
                )
            samples.update((i, more[k]) for k, i in enumerate(missing))
        return [samples[i] for i in range(n)], prompt_tokens

    async def _ask(self, request: GenRequest, n: int, seed: int | None) -> Samples:
        chat = request.messages is not None
        logprobs = self._bodies.wants_logprobs(request)
        url = self._chat_url if chat else self._text_url
        return await self._opened().call(
            url, self._bodies.build(request, n, seed), lambda body: read_samples(body, n, chat, logprobs)
        )

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score a response by the declared method; see `Engine.generate` for the errors.

        Without `scoring` in the options this raises `TypeError`, as for every engine that does not score.
        """
        if self.config.scoring is None:
            return await super().score_tokens(request)
        self._opened()
        assert self._scorer is not None
        logprob, tokens, prompt_tokens = await self._scorer.score(request)
        return ScoreResult(logprob, tokens, prompt_tokens, self._name)
