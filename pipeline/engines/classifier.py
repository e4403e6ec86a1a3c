"""An engine for reward models, classifiers, encoders and pair rankers, in this process, with transformers.

It turns a whole conversation, a text or a pair of texts into the model's own numbers (methods_annotation.md E2): raw
rewards, class probabilities, an embedding, or the probability that one response is better than another. By token ids,
with one BOS, in batches that change no score. Models that bring their own code (`trust_remote_code`) are not run. It
knows no stages. Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.engines.base import Engine, ModelAddress
from pipeline.engines.batching import BatchWorker
from pipeline.engines.local.address import ModelFiles, chat_template_digest, content_digest, resolve
from pipeline.engines.local.packages import need_packages, return_memory, transformers_version
from pipeline.errors import EngineError, PrerequisiteError, Stopped
from pipeline.types import CLASSIFY, EMBED, REWARD, EngineConfig, ExecutionOnly, Json, PoolRequest, PoolResult

if TYPE_CHECKING:
    from pipeline.engines.pooling.session import Prepared, Session

_PACKAGES = ("torch", "transformers", "safetensors")


class PairRankerOptions(BaseModel):
    """How two responses are put to a model that compares them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Literal["pairrm", "template"]
    """`pairrm`: weights and text as in llm-blender/PairRM-hf. `template`: a sequence classifier that reads one text."""
    template: str | None = None
    """Layout `template`: a text with `{prompt}`, `{first}` and `{second}`, as the model was trained with."""
    label: int = Field(default=0, ge=0)
    """Layout `template`: the label whose probability is that of the first response being better."""

    @model_validator(mode="after")
    def _belongs(self) -> PairRankerOptions:
        if (self.layout == "template") != (self.template is not None):
            raise ValueError("pair_ranker: 'template' is given with layout: template, and only there")
        if self.template is not None and any(f"{{{n}}}" not in self.template for n in ("prompt", "first", "second")):
            raise ValueError("pair_ranker.template must hold {prompt}, {first} and {second}")
        if self.layout == "pairrm" and self.label != 0:
            raise ValueError("pair_ranker.label goes with layout: template; a PairRM has one value")
        return self


class ClassifierConfig(EngineConfig):
    """Options of the classifier engine."""

    model: str = Field(min_length=1)
    """`package:<import name>/<folder>`, a local folder, or `owner/name` on the Hugging Face hub; safetensors only."""
    revision: str | None = None
    """Hub: the commit, needed. Local: content digest, computed; a given one is compared."""
    task: Literal["score", "embed"] = "score"
    """`score` is a sequence classifier (rewards, probabilities), `embed` an encoder (vectors of unit length)."""
    pooling: Literal["mean", "first", "last"] = "mean"
    """Task `embed`: how the states of the tokens become one vector, as the model was trained."""
    pair_ranker: PairRankerOptions | None = None
    """Compare two responses to a prompt; the engine then does nothing else."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the weights; rewards of near-equal responses are told apart best in float32."""
    max_context: int | None = Field(default=None, ge=8)
    """Most tokens of one input, longer ones are refused; None for what the model says."""
    device: Annotated[str, ExecutionOnly()] = "auto"
    pass_tokens: Annotated[int, ExecutionOnly(), Field(ge=64)] = 16_384
    """Most tokens, padding included, of one pass through the model."""

    @model_validator(mode="after")
    def _fits(self) -> ClassifierConfig:
        if self.task == "score" and self.pooling != "mean":
            raise ValueError("pooling goes with task: embed; a classifier has its own way")
        if self.task == "embed" and self.pair_ranker is not None:
            raise ValueError("pair_ranker goes with task: score; an encoder compares nothing")
        return self


class ClassifierEngine(Engine):
    """A pooling model held in this process's memory while open."""

    kind: ClassVar[str] = "classifier"
    config_type: ClassVar[type[EngineConfig]] = ClassifierConfig
    resident: ClassVar[bool] = True

    config: ClassifierConfig

    def __init__(self, config: ClassifierConfig) -> None:
        """Keep the config."""
        super().__init__(config)
        self._session: Session | None = None
        self._worker: BatchWorker[PoolRequest, Prepared, PoolResult] | None = None
        self._closed = False

    def capabilities(self) -> frozenset[str]:
        """Offer rewards and class probabilities, embeddings, or, as `classify`, comparisons of two responses."""
        if self.config.pair_ranker is not None:
            return frozenset({CLASSIFY})
        return frozenset({EMBED}) if self.config.task == "embed" else frozenset({REWARD, CLASSIFY})

    def models(self) -> Sequence[ModelAddress]:
        """Return its one model."""
        return (ModelAddress(self.config.model, self.config.revision),)

    def check(self) -> None:
        """Look for packages and model files without importing or loading them."""
        need_packages(self.kind, _PACKAGES)
        files = self._files
        if files.kind == "gguf":
            raise PrerequisiteError(
                f"model '{self.config.model}': engine '{self.kind}' reads folders with safetensors; a GGUF file holds "
                "no classifier"
            )
        if files.kind != "hub" and self.config.revision not in (None, self._digest):
            raise PrerequisiteError(
                f"model '{self.config.model}': its content has SHA-256 {self._digest}, but the recipe's revision is "
                f"{self.config.revision}; these are other files than the recipe was made with"
            )

    def identity(self) -> dict[str, Json]:
        """Return what changes replies; hashes local files once, loads no model."""
        ranker = self.config.pair_ranker
        return {
            "kind": self.kind,
            "version": transformers_version(),
            "model": self.config.model,
            "revision": self._revision,
            "chat_template": chat_template_digest(self._files),
            "task": self.config.task,
            "pooling": self.config.pooling,
            "pair_ranker": None if ranker is None else ranker.model_dump(),
            "dtype": self.config.dtype,
            "max_context": self.config.max_context,
        }

    async def open(self) -> None:
        """Load the model in a thread and start the worker."""
        if self._worker is not None:
            return
        self.check()
        self._closed = False
        session = await asyncio.to_thread(self._load)
        self._session = session
        self._worker = BatchWorker(self.kind, session.prepare, session.choose, session.run)

    async def close(self) -> None:
        """Abort what is running, wait for it, and return the memory."""
        self._closed = True
        session, self._session = self._session, None
        worker, self._worker = self._worker, None
        if session is None or worker is None:
            return
        session.stop()
        worker.stop()
        await asyncio.to_thread(worker.join)
        del session, worker
        await asyncio.to_thread(return_memory)

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Return the values of a text, a pair of texts, a conversation, or a comparison of two candidates.

        Raises:
            RowError: `engine.context_exceeded`, `engine.template_refused`, `engine.empty_prompt`, `pool.nonfinite`.
            EngineError: the model cannot be asked in this way, or failed.
            Stopped: the engine is being closed.
        """
        if request.task not in self.capabilities() or (self.config.pair_ranker is not None) != bool(request.candidates):
            about = "two candidates" if request.candidates else "one text"
            raise EngineError(
                f"engine '{self.kind}' was asked for '{request.task}' of {about}, which it does not offer with task: "
                f"{self.config.task} and {'a' if self.config.pair_ranker else 'no'} pair_ranker"
            )
        if self._worker is None:
            if self._closed:
                raise Stopped(f"engine '{self.kind}' was closed; the request was not done")
            raise EngineError(f"engine '{self.kind}' was asked before it was opened")
        return await self._worker.ask(request)

    def _load(self) -> Session:
        from pipeline.engines.local.loading import share_cores_politely
        from pipeline.engines.pooling import loading
        from pipeline.engines.pooling.session import Comparison, Session

        share_cores_politely()
        config, ranker = self.config, self.config.pair_ranker
        form = "pairrm" if ranker is not None and ranker.layout == "pairrm" else config.task
        options = loading.PoolingOptions(form, config.pooling, config.dtype, config.device, config.max_context)
        loaded = loading.load(self._files, self._revision, options)
        comparison = None if ranker is None else Comparison(ranker.template, ranker.label)
        return Session(loaded, comparison, self.model, config.pass_tokens)

    @cached_property
    def _files(self) -> ModelFiles:
        return resolve(self.config.model, self.config.revision)

    @cached_property
    def _digest(self) -> str:
        return content_digest(self._files)

    @property
    def _revision(self) -> str:
        return str(self.config.revision) if self._files.kind == "hub" else self._digest
