"""What can be said before any weight is loaded: version, arguments, model files, context, devices.

Each mistake is named with what was seen, what was expected and what to do. Contacts nothing, imports neither vLLM nor
torch.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.engines.devices import visible_devices
from pipeline.engines.local.address import ModelFiles, content_digest, resolve
from pipeline.engines.local.gguf_header import read_context_length
from pipeline.engines.vllm.arguments import check_engine_args
from pipeline.engines.vllm.config import Speculative, VllmConfig
from pipeline.engines.vllm.versions import Installed, require_vllm
from pipeline.errors import PlanError, PrerequisiteError
from pipeline.types import EngineUse, Json

_CONTEXT_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
"""Names for the context in a model's config.json; where it has several, vLLM (0.32) takes the smallest."""

_STATED_SCALED = frozenset({"default", "su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling"})
"""Kinds of position scaling after which the stated context is the whole one already (vLLM 0.32)."""

_INDEX = "model.safetensors.index.json"


def check(
    config: VllmConfig, speculative: Speculative | None, uses: Sequence[EngineUse], digest: Callable[[], str]
) -> None:
    """Raise for the first thing that is missing or does not fit.

    Args:
        config: the options.
        speculative: as settled when planning.
        uses: what the recipe binds the engine to.
        digest: returns the content digest of local model files; asked only for a pinned one, as it reads them all.

    Raises:
        PrerequisiteError: vLLM, an argument, a model, a package or a device.
        PlanError: the context is too short.
    """
    found = require_vllm()
    check_engine_args(config.engine_args, found)
    files = resolve(config.model, config.revision)
    _check_files(config.model, config.revision, files, digest)
    _check_model_context(config, files, uses)
    if speculative is not None:
        _check_speculation(speculative)
    if files.kind == "gguf" or config.round_weights is not None:
        _need(("torch", "transformers", "accelerate", "gguf", "safetensors"), "to write the model as a folder")
    _check_devices(config, found)


def check_context(model: str, context: int, uses: Iterable[EngineUse]) -> None:
    """Raise `PlanError` if a stage asks for more new tokens than the context holds beside a prompt."""
    for use in uses:
        if use.max_tokens is not None and use.max_tokens >= context:
            raise PlanError(
                f"stage '{use.stage_id}' asks for up to {use.max_tokens:,} new tokens, but the context of '{model}' is "
                f"{context:,} tokens, prompt included; lower max_tokens, or raise the engine's max_context if the "
                "model has more"
            )


def _check_files(model: str, revision: str | None, files: ModelFiles, digest: Callable[[], str]) -> None:
    if files.kind == "hub":
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
            _check_cached(model, revision, _cached_folder(files, revision))
        return
    if files.kind == "folder" and files.path is not None and (lacking := _missing_weights(files.path)):
        raise PrerequisiteError(f"model '{model}': the folder lacks {lacking}; copy the model again")
    if revision is not None and revision != digest():
        raise PrerequisiteError(
            f"model '{model}': its content has SHA-256 {digest()}, but the recipe's revision is {revision}; these are "
            "other files than the recipe was made with"
        )


def _check_cached(model: str, revision: str | None, folder: Path | None) -> None:
    lacking = None if folder is None else _missing_weights(folder)
    if folder is None or lacking:
        what = "is not in the hub cache" if folder is None else f"lacks {lacking} in the hub cache"
        raise PrerequisiteError(
            f"model '{model}' at {revision} {what}, and HF_HUB_OFFLINE forbids to fetch it; run 'prefmill fetch "
            "RECIPE' where there is a network, with the same cache folder"
        )


def _cached_folder(files: ModelFiles, revision: str | None) -> Path | None:
    """Return the folder of a hub model in this machine's cache, None if its config.json is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(str(files.hub_id), "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _missing_weights(folder: Path) -> str:
    """Word what the weights of a folder lack: files that its index lists, or all; empty if nothing."""
    if (folder / _INDEX).exists():
        listed = sorted(set(_read_json(folder / _INDEX).get("weight_map", {}).values()))
        absent = [name for name in listed if not (folder / name).exists()]
        return f"{len(absent)} of {len(listed)} weight files ({absent[0]}, ...)" if absent else ""
    return "" if any(folder.glob("*.safetensors")) else "weights (.safetensors)"


def _check_model_context(config: VllmConfig, files: ModelFiles, uses: Sequence[EngineUse]) -> None:
    # What a recipe overrides in the model's own configuration may lengthen its context: then vLLM judges.
    own = None if "hf_overrides" in config.engine_args else model_context(files, config.revision)
    if own is not None and config.max_context is not None and config.max_context > own:
        raise PrerequisiteError(
            f"model '{config.model}': max_context is {config.max_context:,}, but the model has a context of {own:,} "
            "tokens; lower max_context"
        )
    context = config.max_context or own
    if context is not None:
        check_context(config.model, context, uses)


def model_context(files: ModelFiles, revision: str | None = None) -> int | None:
    """Return the context length that model files on this machine state, None where they state none or are not here."""
    if files.kind == "gguf":
        assert files.path is not None
        return read_context_length(files.path)
    folder = _cached_folder(files, revision) if files.kind == "hub" else files.path
    if folder is None:
        return None
    value = _read_json(folder / "config.json")
    for part in (value.get("text_config") or {}, value):
        stated = [part[key] for key in _CONTEXT_KEYS if isinstance(part.get(key), int)]
        if stated:
            return int(min(stated) * _stretch(part))
    return None


def _stretch(config: Mapping[str, Json]) -> float:
    """Return the factor by which position scaling lengthens the stated context."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    return 1.0 if kind in _STATED_SCALED else float(scaling.get("factor") or 1.0)


def _read_json(path: Path) -> dict[str, Json]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PrerequisiteError(f"'{path}' cannot be read: {error}; the model's files are damaged") from error
    if not isinstance(value, dict):
        raise PrerequisiteError(f"'{path}' holds no JSON object; the model's files are damaged")
    return value


def _check_speculation(speculative: Speculative) -> None:
    if speculative.method == "suffix":
        _need(("arctic_inference",), "for 'speculative: {method: suffix}' (pip install arctic-inference==0.1.1)")
    if speculative.model is not None:
        files = resolve(speculative.model, speculative.revision)
        _check_files(speculative.model, speculative.revision, files, lambda: content_digest(files))


def _need(packages: Sequence[str], what_for: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise PrerequisiteError(f"engine 'vllm': not installed: {', '.join(missing)}; needed {what_for}")


def _check_devices(config: VllmConfig, found: Installed) -> None:
    if found.on_cpu:
        return
    devices = visible_devices()
    if len(devices) < config.replica_devices:
        gpus = "GPU" if config.replica_devices == 1 else "GPUs"
        raise PrerequisiteError(
            f"model '{config.model}' needs {config.replica_devices} {gpus} (tensor_parallel {config.tensor_parallel} x "
            f"pipeline_parallel {config.pipeline_parallel} x data_parallel {config.data_parallel}); visible here: "
            f"{len(devices)} ({', '.join(devices) or 'none'}). Lower the parallel sizes, or start on a node with more"
        )
