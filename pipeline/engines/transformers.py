"""An engine that runs a causal language model in this process, with torch and transformers.

It generates and scores by token ids (methods_annotation.md B3), on a CPU or a CUDA device, in batches gathered
from concurrent awaits. Siblings share their prompt's pass. Its own decode loop replaces transformers' `generate`,
which is several times slower with many rows (engines.md section 3). It knows no stages and no files of a run.
Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.engines.base import Engine, ModelAddress
from pipeline.engines.batching import BatchWorker
from pipeline.engines.local.address import ModelFiles, chat_template_digest, content_digest, resolve
from pipeline.engines.local.packages import need_packages, return_memory, transformers_version
from pipeline.engines.local.session import Ask, Prepared, Reply, Session
from pipeline.engines.local.vocabulary import vocabulary_digest
from pipeline.errors import EngineError, PrerequisiteError, Stopped
from pipeline.types import (
    CHAT,
    SCORE_TOKENS,
    EngineConfig,
    ExecutionOnly,
    GenRequest,
    GenResult,
    Json,
    ScoreRequest,
    ScoreResult,
)

_PACKAGES = ("torch", "transformers", "safetensors")
_GGUF_PACKAGES = ("gguf", "accelerate")


class RoundWeights(BaseModel):
    """Round every linear weight to `bits` bits in groups of `group` input values: a weaker copy of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: int = Field(ge=2, le=8)
    group: int = Field(default=32, ge=2)


class TransformersConfig(EngineConfig):
    """Options of the local engine."""

    model: str
    """`package:<import name>/<file>`, a local folder or .gguf file, or `owner/name` on the Hugging Face hub."""
    revision: str | None = None
    """Hub: the commit, needed. Local: content digest, computed; a given one is compared."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    attention: Literal["grouped", "sdpa", "eager"] = "grouped"
    """`grouped` is scaled-dot-product attention without repeating keys and values of grouped heads."""
    round_weights: RoundWeights | None = None
    max_context: int | None = Field(default=None, ge=8)
    """Most tokens of prompt and response; None for what the model says."""
    device: Annotated[str, ExecutionOnly()] = "auto"
    batch_rows: Annotated[int, ExecutionOnly(), Field(ge=1)] = 128
    """Most samples drawn side by side; on a large device more is faster."""
    batch_tokens: Annotated[int, ExecutionOnly(), Field(ge=256)] = 65_536
    """Most rows times positions whose keys and values are held at once."""
    pass_tokens: Annotated[int, ExecutionOnly(), Field(ge=64)] = 2_048
    """Most tokens, padding included, of one pass through the layers when reading prompts and responses."""


class TransformersEngine(Engine):
    """A model held in this process's memory while open."""

    kind: ClassVar[str] = "transformers"
    config_type: ClassVar[type[EngineConfig]] = TransformersConfig
    resident: ClassVar[bool] = True

    config: TransformersConfig

    def __init__(self, config: TransformersConfig) -> None:
        """Keep the config."""
        super().__init__(config)
        self._session: Session | None = None
        self._worker: BatchWorker[Ask, Prepared, Reply] | None = None
        self._closed = False

    def capabilities(self) -> frozenset[str]:
        """Offer chat and scoring; output is not held to a JSON schema."""
        return frozenset({CHAT, SCORE_TOKENS})

    def models(self) -> Sequence[ModelAddress]:
        """Return its one model."""
        return (ModelAddress(self.config.model, self.config.revision),)

    def check(self) -> None:
        """Look for packages and model files without importing or loading them."""
        need_packages(self.kind, _PACKAGES)
        files = resolve(self.config.model, self.config.revision)
        if files.kind == "gguf":
            need_packages(self.kind, _GGUF_PACKAGES)
        if files.kind != "hub" and self.config.revision not in (None, self._digest):
            raise PrerequisiteError(
                f"model '{self.config.model}': its content has SHA-256 {self._digest}, but the recipe's revision is "
                f"{self.config.revision}; these are other files than the recipe was made with"
            )

    def identity(self) -> dict[str, Json]:
        """Return what changes replies; hashes local files once, loads no model."""
        rounding = self.config.round_weights
        return {
            "kind": self.kind,
            "version": transformers_version(),
            "model": self.config.model,
            "revision": self._revision,
            "chat_template": self._template_digest,
            "dtype": self.config.dtype,
            "attention": self.config.attention,
            "round_weights": None if rounding is None else rounding.model_dump(),
            "max_context": self.config.max_context,
            "compiled": False,
            "tensor_parallel": 1,
        }

    @cached_property
    def tokenizer_digest(self) -> str | None:
        """Return the digest of the model's vocabulary; None if its files are not here or keep it in another form."""
        return vocabulary_digest(self._files, self.config.revision)

    async def open(self) -> None:
        """Load the model in a thread and start the worker."""
        if self._worker is not None:
            return
        self.check()
        session = Session(self.config.batch_rows, self.model)
        self._session, self._closed = session, False
        await asyncio.to_thread(self._load, session)
        self._worker = BatchWorker(self.kind, session.prepare, session.choose, session.run)

    async def close(self) -> None:
        """Abort what is running, wait for it, and return the memory."""
        self._closed = True
        session, self._session = self._session, None
        worker, self._worker = self._worker, None
        if session is not None:
            session.stop()
        if worker is not None:
            worker.stop()
            await asyncio.to_thread(worker.join)
        if session is not None:
            session.release()
            del session, worker
            await asyncio.to_thread(return_memory)

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample.

        Without a seed the random numbers follow from the request itself. A prompt that does not leave room for
        `max_tokens` in the context is refused, never cut.

        Raises:
            RowError: `engine.context_exceeded`, `engine.template_refused`, `engine.empty_prompt`.
            EngineError: the model failed, or has no chat template.
            Stopped: the engine is being closed.
        """
        if request.json_schema is not None:
            raise EngineError(f"engine '{self.kind}' does not hold output to a JSON schema; bind one that offers it")
        reply = await self._ask(request)
        assert isinstance(reply, GenResult)
        return reply

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score a continuation.

        Raises:
            RowError: `score.context_exceeded`, `score.nonfinite`, `engine.template_refused`, `engine.empty_prompt`.
            EngineError: the model failed, or has no chat template.
            Stopped: the engine is being closed.
        """
        reply = await self._ask(request)
        assert isinstance(reply, ScoreResult)
        return reply

    async def _ask(self, request: Ask) -> Reply:
        if self._worker is None:
            if self._closed:
                raise Stopped(f"engine '{self.kind}' was closed; the request was not done")
            raise EngineError(f"engine '{self.kind}' was asked before it was opened")
        return await self._worker.ask(request)

    def _load(self, session: Session) -> None:
        from pipeline.engines.local import attention
        from pipeline.engines.local.loading import LoadOptions, share_cores_politely

        share_cores_politely()
        name = attention.register() if self.config.attention == "grouped" else self.config.attention
        options = LoadOptions(self.config.dtype, self.config.device, name, self._revision)
        rounding = self.config.round_weights
        session.load(
            self._files,
            options,
            None if rounding is None else (rounding.bits, rounding.group),
            max_context=self.config.max_context,
            pass_tokens=self.config.pass_tokens,
            row_slots=self.config.batch_tokens,
        )

    @cached_property
    def _files(self) -> ModelFiles:
        return resolve(self.config.model, self.config.revision)

    @cached_property
    def _digest(self) -> str:
        return content_digest(self._files)

    @cached_property
    def _template_digest(self) -> str | None:
        return chat_template_digest(self._files)

    @property
    def _revision(self) -> str:
        return str(self.config.revision) if self._files.kind == "hub" else self._digest
