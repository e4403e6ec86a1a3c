"""The engine kind `vllm`: a model under vLLM's asynchronous engine, in a host process of its own.

Sampling, held output, choices with their probabilities, scoring and pooling; faults are survived (`calls.py`). Options
stand in `config.py`, versions in `versions.py`. Importing this module imports neither vLLM nor torch.

Reject codes: `engine.context_exceeded`, `engine.refused`, `engine.failed`, `engine.poison`, `engine.template_refused`,
`engine.empty_prompt`, `score.context_exceeded`, `score.nonfinite`, `pool.nonfinite`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pipeline.canonical import digest_of
from pipeline.engines.base import Engine, ModelAddress
from pipeline.engines.local.address import ModelFiles, chat_template_digest, content_digest, resolve
from pipeline.engines.local.folders import written_folder
from pipeline.engines.local.vocabulary import vocabulary_digest
from pipeline.engines.vllm import arguments, readiness
from pipeline.engines.vllm.calls import Calls
from pipeline.engines.vllm.config import Speculative, VllmConfig
from pipeline.engines.vllm.process import HOST_COMMAND, HostProcess
from pipeline.engines.vllm.suspects import Counts, Suspects
from pipeline.engines.vllm.versions import installed, installed_version
from pipeline.errors import EngineError, Stopped
from pipeline.types import (
    CHAT,
    CHOICE,
    CLASSIFY,
    EMBED,
    JSON_SCHEMA,
    REGEX,
    REWARD,
    SCORE_TOKENS,
    EngineConfig,
    EngineUse,
    GenRequest,
    GenResult,
    Json,
    PoolRequest,
    PoolResult,
    ScoreRequest,
    ScoreResult,
)

_POOLS = {"embed": EMBED, "classify": CLASSIFY, "reward": REWARD}


class VllmEngine(Engine):
    """A model in a host process while open."""

    kind: ClassVar[str] = "vllm"
    config_type: ClassVar[type[EngineConfig]] = VllmConfig
    resident: ClassVar[bool] = True

    config: VllmConfig

    def __init__(self, config: VllmConfig, *, host_command: Sequence[str] = HOST_COMMAND) -> None:
        """Keep the config; `host_command` starts a host process (`process.py`)."""
        super().__init__(config)
        self._host_command = tuple(host_command)
        self._speculative: Speculative | None = arguments.settled_speculation(config.speculative, ())
        self._uses: Sequence[EngineUse] = ()
        self._counts = Counts()
        self._calls: Calls | None = None
        self._facts: Mapping[str, Json] = {}
        self._closed = False
        self._open_s = 0.0

    def capabilities(self) -> frozenset[str]:
        """Offer sampling and scoring, or the one thing that a pooling model does."""
        if self.config.task != "generate":
            return frozenset({_POOLS[self.config.task]})
        return frozenset({CHAT, SCORE_TOKENS, JSON_SCHEMA, REGEX, CHOICE})

    def settle(self, uses: Sequence[EngineUse]) -> None:
        """Resolve `speculative: auto`, and refuse a context that is too short for what stages will ask.

        Raises:
            PlanError: the context is too short.
        """
        self._uses = tuple(uses)
        self._speculative = arguments.settled_speculation(self.config.speculative, uses)
        if self.config.max_context is not None:
            readiness.check_context(self.config.model, self.config.max_context, uses)

    @property
    def devices(self) -> int:
        """Return the accelerators of one replica; 0 where vLLM's build for the CPU is installed."""
        found = installed()
        return 0 if found is not None and found.on_cpu else self.config.replica_devices

    def models(self) -> Sequence[ModelAddress]:
        """Return the model and the draft model."""
        return self.config.addresses()

    def check(self) -> None:
        """Raise `PrerequisiteError` (or `PlanError` for the context) for what can be seen before weights load."""
        readiness.check(self.config, self._speculative, self._uses, lambda: self._revision)

    def identity(self) -> dict[str, Json]:
        """Return what changes replies; hashes local files once, loads no model."""
        fields = self.config.fingerprint_fields()
        rounding = self.config.round_weights
        return {
            "kind": self.kind,
            "version": installed_version(),
            "model": self.config.model,
            "revision": self._revision,
            "chat_template": self._template_digest,
            "task": self.config.task,
            "dtype": self.config.dtype,
            "quantization": fields["quantization"],
            "kv_cache_dtype": fields["kv_cache_dtype"],
            "round_weights": None if rounding is None else rounding.model_dump(),
            "max_context": self.config.max_context,
            "compiled": not self.config.eager,
            "speculative": None if self._speculative is None else self._speculative.model_dump(mode="json"),
            "engine_args": self.config.meaningful_engine_args(),
        }

    @cached_property
    def tokenizer_digest(self) -> str | None:
        """Return the digest of the model's vocabulary; None if its files are not here or keep it in another form."""
        return vocabulary_digest(self._files, self.config.revision)

    def keep_faults_in(self, folder: Path) -> None:
        """Remember in the run's folder which requests were in flight when the engine died."""
        self._counts.keep_in(folder)

    def statistics(self) -> dict[str, Json]:
        """Return tokens, restarts and, with speculation, acceptance and mean accepted length."""
        if self._calls is None:
            return {}
        figures = self._calls.figures
        counters = figures.all_counters()
        out: dict[str, Json] = {
            **self._facts,
            **counters,
            "open_s": round(self._open_s, 2),
            "busy_s": round(figures.busy_s, 2),
            "starts": figures.starts,
            "deaths": figures.deaths,
            "hangs": figures.hangs,
            "poison": figures.poison,
            "asked_again": figures.asked_again,
        }
        if counters.get("drafts"):
            out["acceptance"] = round(counters["accepted_tokens"] / max(1, counters["draft_tokens"]), 4)
            out["mean_accepted_length"] = round(1 + counters["accepted_tokens"] / counters["drafts"], 4)
        return out

    async def open(self) -> None:
        """Write the model as a folder if need be, start the host and wait for the model."""
        if self._calls is not None:
            return
        self.check()
        self._closed = False
        settings = await asyncio.to_thread(self._settings)
        environment = host_environment(self.config, self._is_local)

        async def start() -> tuple[HostProcess, dict[str, Json]]:
            return await HostProcess.start(settings, environment, self.config.start_timeout_s, self._host_command)

        calls = Calls(start, Suspects(self._counts), self.config.hang_s, self.config.max_restarts)
        began = asyncio.get_running_loop().time()
        self._facts = await calls.open()
        self._open_s = asyncio.get_running_loop().time() - began
        self._calls = calls

    def _settings(self) -> dict[str, Json]:
        config, files = self.config, self._files
        rounding = None if config.round_weights is None else (config.round_weights.bits, config.round_weights.group)
        model = written_folder(files, config.dtype, rounding, self._revision)
        draft = None
        if self._speculative is not None and self._speculative.model is not None:
            own = resolve(self._speculative.model, self._speculative.revision)
            draft = written_folder(own, config.dtype, None, self._speculative.revision or _revision(own, None))
        on_hub = model == files.hub_id
        speculative = arguments.speculative_arguments(self._speculative, draft)
        found = installed()
        built = arguments.engine_arguments(
            config,
            model,
            config.revision if on_hub else None,
            speculative,
            on_cpu=found is not None and found.on_cpu,
        )
        return {"arguments": built, "name": self.model, "task": config.task, "score_path": config.score_path}

    async def close(self) -> None:
        """End the host and all it started; its memory is free afterwards."""
        self._closed = True
        calls, self._calls = self._calls, None
        if calls is not None:
            await calls.close()

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample; see `Engine.generate` for the errors."""
        return GenResult.from_json(await self._ask("generate", request.to_json()))

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score a continuation; see `Engine.generate` for the errors."""
        return ScoreResult.from_json(await self._ask("score_tokens", request.to_json()))

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Return the vector of a pooling model; see `Engine.generate` for the errors."""
        if request.task != self.config.task:
            raise EngineError(f"engine '{self.kind}' was asked for '{request.task}' but has task: {self.config.task}")
        if request.text_pair is not None or request.candidates is not None:
            raise EngineError(f"engine '{self.kind}' reads one text, not a pair; bind an engine of kind 'classifier'")
        return PoolResult.from_json(await self._ask("pool", request.to_json()))

    async def _ask(self, op: str, body: dict[str, Json]) -> dict[str, Json]:
        if self._calls is None:
            if self._closed:
                raise Stopped(f"engine '{self.kind}' was closed; the request was not done")
            raise EngineError(f"engine '{self.kind}' was asked before it was opened")
        answer: dict[str, Json] = await self._calls.ask(op, body, digest_of([op, body])[:32])
        return answer

    @cached_property
    def _files(self) -> ModelFiles:
        return resolve(self.config.model, self.config.revision)

    @cached_property
    def _is_local(self) -> bool:
        """Whether nothing has to come from a hub, the draft model included."""
        return all(resolve(*address).kind != "hub" for address in self.config.addresses())

    @cached_property
    def _revision(self) -> str:
        return _revision(self._files, self.config.revision)

    @cached_property
    def _template_digest(self) -> str | None:
        return chat_template_digest(self._files)


def _revision(files: ModelFiles, given: str | None) -> str:
    return str(given) if files.kind == "hub" else content_digest(files)


def host_environment(config: VllmConfig, is_local: bool, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of the host: the run's own, with what vLLM needs where the user set nothing.

    On a machine without a GPU threads are never pinned: pinned ones starve when other jobs hold their cores.
    """
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(config.cpu_cache_gb))),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "TOKENIZERS_PARALLELISM": "false",
    }
    if is_local:
        defaults["HF_HUB_OFFLINE"] = "1"
    found = installed()
    if found is not None and not found.on_cpu:
        del defaults["OMP_NUM_THREADS"]
    refused = {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_INSECURE_SERIALIZATION"}
    return defaults | {k: v for k, v in environment.items() if k not in refused}
