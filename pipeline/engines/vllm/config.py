"""Options of the engines that run vLLM: typed where we know them, passed through under `engine_args` where we do not.

What changes replies is part of the engine's identity; what only changes speed or place is marked `ExecutionOnly`.
Knows no version of vLLM: `versions.py` says which option a version lacks.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pipeline.engines.base import ModelAddress
from pipeline.engines.transformers import RoundWeights
from pipeline.types import EngineConfig, ExecutionOnly

OURS: Final = frozenset(
    {
        "model",
        "revision",
        "tokenizer",
        "tokenizer_revision",
        "dtype",
        "quantization",
        "kv_cache_dtype",
        "max_model_len",
        "runner",
        "convert",
        "enforce_eager",
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "data_parallel_size",
        "gpu_memory_utilization",
        "max_num_seqs",
        "max_num_batched_tokens",
        "enable_prefix_caching",
        "speculative_config",
        "spec_method",
        "spec_model",
        "spec_tokens",
        "logprobs_mode",
        "trust_remote_code",
        "generation_config",
        "disable_log_stats",
        "served_model_name",
        "enable_prompt_embeds",
        "load_format",
    }
)
"""Arguments of vLLM that the engine sets itself."""

SECRET_ARGS: Final = frozenset({"hf_token"})
CODE_ARGS: Final = frozenset(
    {
        "worker_cls",
        "worker_extension_cls",
        "scheduler_cls",
        "logits_processors",
        "model_class_overrides",
        "io_processor_plugin",
        "reasoning_parser_plugin",
    }
)
"""Arguments that name code to import; reading a stranger's recipe must not run any."""

EXECUTION_ONLY_ARGS: Final = frozenset(
    {
        "distributed_executor_backend",
        "disable_custom_all_reduce",
        "max_parallel_loading_workers",
        "block_size",
        "enable_chunked_prefill",
        "swap_space",
        "cpu_offload_gb",
        "max_num_partial_prefills",
        "long_prefill_token_threshold",
        "async_scheduling",
        "scheduling_policy",
        "num_gpu_blocks_override",
        "download_dir",
        "max_logprobs",
        "kv_cache_memory_bytes",
        "enable_expert_parallel",
        "data_parallel_backend",
    }
)
"""Arguments under `engine_args` that change speed or place only, so they stay out of the identity."""


class Speculative(BaseModel):
    """Propose tokens cheaply and let the model verify them: faster for few rows, never other samples.

    `auto` is resolved when planning: `ngram` if everything the engine is used for repeats its prompt (refinement), off
    otherwise. Lossy verification is not offered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["ngram", "suffix", "draft_model", "eagle", "eagle3", "auto"]
    model: str | None = None
    """The draft model, for `draft_model`, `eagle` and `eagle3`; addressed like the engine's own."""
    revision: str | None = None
    num_tokens: int = Field(default=5, ge=1, le=64)
    """Most tokens proposed at once."""
    ngram_min: int = Field(default=2, ge=1)
    ngram_max: int = Field(default=5, ge=1)
    """Lengths of the text that is looked up in prompt and reply so far; `ngram` only."""
    by_batch_size: tuple[tuple[int, int, int], ...] = ()
    """Rows of (first, last batch size, tokens proposed); the first begins at 1; 0 tokens turn it off."""

    @model_validator(mode="after")
    def _fits(self) -> Speculative:
        drafts = self.method in ("draft_model", "eagle", "eagle3")
        if drafts != (self.model is not None):
            wrong = "is needed" if drafts else "does not belong"
            raise ValueError(f"speculative: 'model' {wrong} with '{self.method}'")
        if self.ngram_max < self.ngram_min:
            raise ValueError("speculative: ngram_max must be at least ngram_min")
        for i, (first, last, tokens) in enumerate(self.by_batch_size):
            expected = 1 if i == 0 else self.by_batch_size[i - 1][1] + 1
            if first < expected or (i == 0 and first != 1) or last < first or not 0 <= tokens <= self.num_tokens:
                raise ValueError(
                    f"speculative.by_batch_size[{i}]: got ({first}, {last}, {tokens}); expected rows of (first, last, "
                    f"tokens) in order, the first from 1, tokens from 0 to num_tokens ({self.num_tokens})"
                )
        return self


class VllmConfig(EngineConfig):
    """Options of one model under vLLM; times are in seconds."""

    model: str = Field(min_length=1)
    """`package:<import name>/<file>`, a local folder or .gguf file, or `owner/name` on the Hugging Face hub."""
    revision: str | None = None
    """Hub: the commit, needed. Local: content digest, computed; a given one is compared."""
    task: Literal["generate", "embed", "classify", "reward"] = "generate"
    """`generate` also scores; the others are pooling models."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    quantization: str | None = None
    kv_cache_dtype: str | None = None
    round_weights: RoundWeights | None = None
    max_context: int | None = Field(default=None, ge=8)
    """Most tokens of prompt and response; None for what the model says."""
    eager: bool = False
    """Run without compiling: starts in seconds instead of a minute, slower afterwards."""
    speculative: Speculative | None = None
    engine_args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of vLLM by their own names; part of the identity unless they are known to change speed only."""

    tensor_parallel: Annotated[int, ExecutionOnly()] = Field(default=1, ge=1)
    pipeline_parallel: Annotated[int, ExecutionOnly()] = Field(default=1, ge=1)
    data_parallel: Annotated[int, ExecutionOnly()] = Field(default=1, ge=1)
    gpu_memory: Annotated[float, ExecutionOnly()] = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory that the engine may take."""
    max_sequences: Annotated[int | None, ExecutionOnly()] = Field(default=None, ge=1)
    """Most sequences computed side by side; None for vLLM's own default."""
    batch_tokens: Annotated[int | None, ExecutionOnly()] = Field(default=None, ge=64)
    """Most tokens of one step; None for vLLM's own default."""
    cpu_cache_gb: Annotated[float, ExecutionOnly()] = Field(default=2.0, gt=0)
    """Keys and values held in memory where there is no GPU."""
    prefix_cache: Annotated[bool, ExecutionOnly()] = True
    score_path: Annotated[Literal["auto", "flat"], ExecutionOnly()] = "auto"
    """How scores are asked for: `auto` tries the response's rows alone at start and compares; `flat` asks for all."""
    start_timeout_s: Annotated[float, ExecutionOnly()] = Field(default=1800.0, gt=0)
    hang_s: Annotated[float, ExecutionOnly()] = Field(default=300.0, gt=0)
    """An engine with requests and without progress for this long is ended and started again."""
    max_restarts: Annotated[int, ExecutionOnly()] = Field(default=8, ge=0)
    """Most starts in a row after which no request was finished."""

    @field_validator("engine_args")
    @classmethod
    def _sets_nothing_of_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OURS & value.keys()):
            raise ValueError(
                f"engine_args must not set {', '.join(taken)}: the engine sets these itself, from its own options"
            )
        if secret := sorted(SECRET_ARGS & value.keys()):
            named = {"names": ", ".join(secret)}
            raise PydanticCustomError("secret", "engine_args must not hold a secret ({names}): set HF_TOKEN", named)
        if code := sorted(CODE_ARGS & value.keys()):
            raise ValueError(f"engine_args must not name code to import ({', '.join(code)})")
        if not isinstance(value.get("structured_outputs_config", {}), dict):
            raise ValueError("engine_args.structured_outputs_config must be a mapping")
        return value

    def addresses(self) -> tuple[ModelAddress, ...]:
        """Return the model and, where drafts come from a model, that one."""
        own = ModelAddress(self.model, self.revision)
        draft = self.speculative
        return (own,) if draft is None or draft.model is None else (own, ModelAddress(draft.model, draft.revision))

    @property
    def replica_devices(self) -> int:
        """Return how many accelerators one replica takes."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    def meaningful_engine_args(self) -> dict[str, Any]:
        """Return the passed-through arguments that may change replies."""
        return {k: v for k, v in sorted(self.engine_args.items()) if k not in EXECUTION_ONLY_ARGS}
