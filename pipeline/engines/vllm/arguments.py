"""From the recipe's options to vLLM's own arguments, and the check of those that are passed through.

Pure but for reading the installed package's source. Lossy speculation cannot be expressed: the engine promises samples
of the model itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.engines.vllm.config import OURS, Speculative, VllmConfig
from pipeline.engines.vllm.versions import Installed, members_of
from pipeline.errors import PrerequisiteError
from pipeline.types import CHAT, EngineUse, Json

_POOLING = {"embed": "embed", "classify": "classify", "reward": "classify"}
"""Task to vLLM's word for the conversion of a model into a pooling model."""


_HELD_OUTPUT: dict[str, Json] = {"backend": "xgrammar", "disable_any_whitespace": True}
"""A small model fills free whitespace of JSON with blanks until its tokens are spent; only two backends forbid it."""


_ON_CPU: dict[str, Json] = {"enable_chunked_prefill": False, "block_size": 32}
"""A smaller block than the build's 128 tokens: more of a shared prompt is read from the cache (scoring of siblings with
prompts of 40 tokens ran 1.19 times as fast)."""


def settled_speculation(config: Speculative | None, uses: Sequence[EngineUse]) -> Speculative | None:
    """Resolve `auto`: n-grams of the prompt if every reply that is sampled repeats its prompt, otherwise nothing."""
    if config is None or config.method != "auto":
        return config
    sampled = [use for use in uses if use.capability == CHAT]
    if not sampled or not all(use.copies_prompt for use in sampled):
        return None
    return config.model_copy(update={"method": "ngram"})


def speculative_arguments(settled: Speculative | None, draft: str | None = None) -> dict[str, Json] | None:
    """Return vLLM's `speculative_config`.

    Args:
        settled: what `settled_speculation` returned.
        draft: folder or hub id of the draft model, where the method has one.
    """
    if settled is None:
        return None
    out: dict[str, Json] = {"method": settled.method, "num_speculative_tokens": settled.num_tokens}
    if settled.method == "ngram":
        out |= {"prompt_lookup_min": settled.ngram_min, "prompt_lookup_max": settled.ngram_max}
    if draft is not None:
        out["model"] = draft
        if settled.revision is not None and draft == settled.model:
            out["revision"] = settled.revision
    if settled.by_batch_size:
        out["num_speculative_tokens_per_batch_size"] = [list(row) for row in settled.by_batch_size]
    return out


def engine_arguments(
    config: VllmConfig,
    model: str,
    revision: str | None,
    speculative: Mapping[str, Json] | None,
    *,
    on_cpu: bool = False,
) -> dict[str, Json]:
    """Return the arguments of vLLM's engine.

    Args:
        config: the options.
        model: local folder or hub id.
        revision: commit of a hub id, None for a folder.
        speculative: what `speculative_arguments` returned.
        on_cpu: whether vLLM's build for the CPU runs it. There a prompt must not be cut into parts: the part's sample
            is thrown away and a seeded generator turned back, which the CPU's cannot (0.32: the engine dies).
    """
    pooling = _POOLING.get(config.task)
    out: dict[str, Json] = {
        "model": model,
        "revision": revision,
        "tokenizer_revision": revision,
        "dtype": config.dtype,
        "quantization": config.quantization,
        "max_model_len": config.max_context,
        "runner": "pooling" if pooling else "generate",
        "enforce_eager": config.eager,
        "tensor_parallel_size": config.tensor_parallel,
        "pipeline_parallel_size": config.pipeline_parallel,
        "data_parallel_size": config.data_parallel,
        "gpu_memory_utilization": config.gpu_memory,
        "enable_prefix_caching": config.prefix_cache and not pooling,
        "logprobs_mode": "raw_logprobs",
        "trust_remote_code": False,
        "generation_config": "vllm",
        "disable_log_stats": False,
        "load_format": "safetensors",
        **(_ON_CPU if on_cpu and not pooling else {}),
        **config.engine_args,
    }
    if not pooling:
        out["structured_outputs_config"] = {**_HELD_OUTPUT, **config.engine_args.get("structured_outputs_config", {})}
    if pooling:
        out["convert"] = pooling
    if config.kv_cache_dtype is not None:
        out["kv_cache_dtype"] = config.kv_cache_dtype
    if config.max_sequences is not None:
        out["max_num_seqs"] = config.max_sequences
    if config.batch_tokens is not None:
        out["max_num_batched_tokens"] = config.batch_tokens
    if speculative is not None:
        out["speculative_config"] = dict(speculative)
    return out


def check_engine_args(args: Mapping[str, Json], found: Installed) -> None:
    """Raise `PrerequisiteError` if a passed-through argument is none of the installed version's."""
    if found.root is None or not args:
        return
    path = found.root / "engine/arg_utils.py"
    known = members_of(path, "EngineArgs") | members_of(path, "AsyncEngineArgs")
    for name in args:
        if known and name not in known:
            raise PrerequisiteError(
                f"engine_args: {found.distribution} {found.version} has no argument '{name}'.{_nearest(name, known)}"
            )


def _nearest(word: str, known: frozenset[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, sorted(known - OURS), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
