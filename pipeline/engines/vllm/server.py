"""The engine kind `vllm_server`: vLLM's OpenAI-compatible server as a child of the run, or one that runs already.

A model is sampled and scored through the client of the kind `openai`; deaths, hangs and requests that kill the server
are handled as for the kind `vllm` (`calls.py`). The server listens on loopback only, with a key made for each start.
The module form of the server is started, because the command `vllm serve` fails on the build for the CPU (engines.md,
section 4). Whether a server that runs already holds the weights that the recipe names cannot be seen from outside: its
names for the model, its context and its version are compared.

Reject codes: those of the kind `openai`, and `engine.poison`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Final

from pipeline.engines.base import ModelAddress
from pipeline.engines.http.endpoint import Endpoint, resolve_endpoint
from pipeline.engines.local.folders import cached_folder
from pipeline.engines.openai import OpenAIEngine
from pipeline.engines.vllm.calls import Calls
from pipeline.engines.vllm.engine import VllmEngine, host_environment
from pipeline.engines.vllm.server_config import VllmServerConfig
from pipeline.engines.vllm.server_flags import flags
from pipeline.engines.vllm.server_host import ServerHost
from pipeline.engines.vllm.server_probe import Probe, find_served
from pipeline.engines.vllm.suspects import Suspects
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import (
    CHAT,
    JSON_SCHEMA,
    SCORE_TOKENS,
    EngineConfig,
    GenRequest,
    GenResult,
    Json,
    ScoreRequest,
    ScoreResult,
)

MODULE: Final = (sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server")

_ALWAYS: Final = ("--disable-uvicorn-access-log", "--disable-fastapi-docs", "--uvicorn-log-level=warning")


class VllmServerEngine(VllmEngine):
    """A model behind vLLM's server while open."""

    kind: ClassVar[str] = "vllm_server"
    config_type: ClassVar[type[EngineConfig]] = VllmServerConfig
    resident: ClassVar[bool] = True

    config: VllmServerConfig

    def __init__(self, config: VllmServerConfig, command: Sequence[str] = MODULE) -> None:
        """Keep the config; `command` starts a server that takes the flags of vLLM's."""
        super().__init__(config)
        self._command = command
        self._client: OpenAIEngine | None = None

    def capabilities(self) -> frozenset[str]:
        """Offer what the client can ask: sampling, scoring, output held to a JSON schema."""
        return frozenset({CHAT, SCORE_TOKENS, JSON_SCHEMA})

    @property
    def devices(self) -> int:
        """Return the accelerators of one replica; 0 if the server runs already."""
        return 0 if self._address else super().devices

    def models(self) -> Sequence[ModelAddress]:
        """Return the models that a server started here reads; none if the server runs already."""
        return () if self._address else super().models()

    def check(self) -> None:
        """Look for vLLM, model files and devices, or at the address of the running server; contacts nothing."""
        self.config.scoring.check()
        if self._address:
            self._endpoint()
        else:
            super().check()

    def identity(self) -> dict[str, Json]:
        """Return what changes replies: that of the kind `vllm`, and how text is scored; no address."""
        return {**super().identity(), "scoring": self.config.scoring.identity()}

    @cached_property
    def tokenizer_digest(self) -> str | None:
        """Return that of the tokenizer folder that `scoring` names, else that of the model's files."""
        if self.config.scoring.folder is not None:
            return self.config.scoring.tokenizer_digest
        return super().tokenizer_digest

    async def open(self) -> None:
        """Start a server and wait until it is healthy, or look at the one that runs.

        Raises:
            PrerequisiteError: the server says what the user must change, or the running one has another model.
            EngineError: it did not become healthy.
        """
        if self._calls is not None or self._client is not None:
            return
        self._closed = False
        began = asyncio.get_running_loop().time()
        if self._address:
            self._client = await self._attached()
        else:
            self._calls = await self._started()
        self._open_s = asyncio.get_running_loop().time() - began

    async def close(self) -> None:
        """End the server that was started, and requests in flight with `Stopped`."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        await super().close()

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample; see `Engine.generate` for the errors."""
        if request.regex is not None or request.choices:
            raise EngineError(f"engine '{self.kind}' holds output to a JSON schema only; bind one of kind 'vllm'")
        if self._client is None:
            return await super().generate(request)
        return dataclasses.replace(await self._client.generate(request), model=self.model)

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score a continuation; see `Engine.generate` for the errors."""
        if self._client is None:
            return await super().score_tokens(request)
        return dataclasses.replace(await self._client.score_tokens(request), model=self.model)

    @property
    def _address(self) -> str | None:
        return self.config.address(os.environ)

    def _endpoint(self) -> Endpoint:
        return resolve_endpoint(self.config.base_url, self.config.base_url_env, self.config.api_key_env, os.environ)

    @property
    def _served_name(self) -> str:
        return self.config.served_name or self.config.model

    async def _started(self) -> Calls:
        config = self.config
        settings = await asyncio.to_thread(self._settings)
        command = [*self._command, *flags(settings["arguments"]), f"--served-model-name={self._served_name}", *_ALWAYS]
        environment = host_environment(config, self._is_local)
        client = config.client(self._served_name)
        is_first = True

        async def start() -> tuple[ServerHost, dict[str, Json]]:
            try:
                return await ServerHost.start(
                    command,
                    environment,
                    lambda at: OpenAIEngine(client, endpoint=at),
                    self.model,
                    config.start_timeout_s,
                )
            except PrerequisiteError as error:
                if is_first:
                    raise
                raise EngineError(str(error)) from error  # it ran before: worth another start

        calls = Calls(start, Suspects(self._counts), config.hang_s, config.max_restarts)
        self._facts = await calls.open()
        is_first = False
        return calls

    async def _attached(self) -> OpenAIEngine:
        endpoint = self._endpoint()
        probe = Probe(endpoint)
        try:
            entry = find_served(await probe.served(), self._names(), endpoint.base)
            version = await probe.version()
        finally:
            await probe.close()
        self._compare(entry.get("max_model_len"), version, endpoint.base)
        client = OpenAIEngine(self.config.client(str(entry["id"])), endpoint=endpoint)
        await client.open()
        self._facts = {"vllm": version}
        return client

    def _names(self) -> list[str]:
        """Return the names under which the running server may know the model.

        Rounded weights do not go by the name of the model they were made from.
        """
        if self.config.served_name is not None:
            return [self.config.served_name]
        rounding = self.config.round_weights
        pair = None if rounding is None else (rounding.bits, rounding.group)
        written = [] if self._files.path is None else [str(cached_folder(self.config.dtype, pair, self._revision))]
        if rounding is not None:
            return written or [f"{self.config.model} with round_weights"]
        return [self.config.model, *([] if self._files.path is None else [str(self._files.path)]), *written]

    def _compare(self, context: Json, version: str | None, base: str) -> None:
        """Refuse a server that is visibly not the one that the recipe describes."""
        asked, ours = self.config.max_context, self.identity()["version"]
        if asked is not None and context is not None and context != asked:
            raise PrerequisiteError(
                f"the server at {base} has a context of {context} tokens, but max_context is {asked}; start it with "
                f"--max-model-len {asked}"
            )
        if ours is not None and version is not None and ".".join(version.split(".")[:2]) != ours:
            raise PrerequisiteError(
                f"the server at {base} is vLLM {version}, but the identity of this engine carries {ours}, the version "
                "installed here; use one version for both"
            )
