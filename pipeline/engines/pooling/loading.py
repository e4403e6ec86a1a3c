"""Load a pooling model and its tokenizer, and refuse weights that would leave a part of it at random.

transformers fills a head that the files lack with random numbers and goes on; a base model would then give random
rewards, so missing weights are an error here. Only safetensors are read and no code of a model is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.engines.local.address import ModelFiles
from pipeline.engines.local.loading import choose_device
from pipeline.engines.local.quiet import quiet_transformers
from pipeline.engines.pooling.models import Classifier, Embedder, PairRanker, PoolingModel
from pipeline.engines.pooling.pair_text import PairText
from pipeline.errors import EngineError, PrerequisiteError

PAIRRM_CONTEXT = 2048
"""Tokens of a comparison that PairRM was built for: 1,224 of the prompt and 412 of each response."""

_MORE_THAN_ANY_MODEL = 10_000_000
_HEAD = ("head_layer.1.weight", "head_layer.1.bias", "head_layer.4.weight", "head_layer.4.bias")
_CLASSES = {"score": "AutoModelForSequenceClassification", "embed": "AutoModel", "pairrm": "DebertaV2Model"}
_PAIRRM_NAMES = {r"^pretrained_model\.": ""}


@dataclass(frozen=True, slots=True)
class PoolingOptions:
    """How to load.

    Attributes:
        form: `score` (a sequence classifier), `embed` (an encoder), or `pairrm`.
        pooling: how an encoder's states become one vector.
        dtype: `bfloat16`, `float16` or `float32`.
        device: a torch device name, or `auto`.
        max_context: most tokens of one input; None for what the model says.
    """

    form: Literal["score", "embed", "pairrm"]
    pooling: Literal["mean", "first", "last"]
    dtype: str
    device: str
    max_context: int | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready.

    Attributes:
        several_at_once: whether its classes do not exclude each other, so that each has a probability of its own.
    """

    tokenizer: Any
    model: PoolingModel
    context: int
    several_at_once: bool


def load(files: ModelFiles, revision: str, options: PoolingOptions) -> Loaded:
    """Return the model, in evaluation mode on its device.

    Raises:
        PrerequisiteError: files or the device are missing or unfit.
        EngineError: the files lack weights, or loading fails otherwise.
    """
    folder = _folder(files, revision)
    with quiet_transformers():
        try:
            return _load(folder, options)
        except OSError as error:
            raise PrerequisiteError(f"model '{folder}' cannot be loaded: {error}") from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise EngineError(f"model '{folder}' cannot be loaded: {type(error).__name__}: {error}") from error


def _folder(files: ModelFiles, revision: str) -> Path:
    if files.path is not None:
        return files.path
    from pipeline.engines.local.hub import fetch

    return fetch(str(files.hub_id), revision).folder


def _load(folder: Path, options: PoolingOptions) -> Loaded:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    model = _weights(getattr(transformers, _CLASSES[options.form]), folder, options)
    filler = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
    ready: PoolingModel
    if options.form == "pairrm":
        ready = PairRanker(model, _head(folder, model.device), PairText(tokenizer).markers, filler)
    elif options.form == "embed":
        ready = Embedder(model, filler, options.pooling)
    else:
        ready = Classifier(model, filler)
    several = model.config.problem_type == "multi_label_classification" or model.config.num_labels == 1
    return Loaded(tokenizer, ready, _context(tokenizer, model, options), options.form == "pairrm" or several)


def _weights(kind: Any, folder: Path, options: PoolingOptions) -> Any:
    import torch

    renamed: Mapping[str, Any] = {"key_mapping": _PAIRRM_NAMES} if options.form == "pairrm" else {}
    model, told = kind.from_pretrained(
        folder,
        dtype=getattr(torch, options.dtype),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        **renamed,
    )
    missing = sorted(name for name in told["missing_keys"] if options.form != "embed" or "pooler" not in name)
    if missing:
        raise EngineError(
            f"model '{folder}': its files have no weights for {', '.join(missing[:4])}; it was not trained as what "
            "the recipe asks for, and would answer at random"
        )
    return model.to(choose_device(options.device)).eval()


def _head(folder: Path, device: Any) -> list[Any]:
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            present = set(file.keys()) & set(_HEAD)
            found |= {name: file.get_tensor(name).float().to(device) for name in present}
    if len(found) != len(_HEAD):
        raise EngineError(f"model '{folder}': it has no head of PairRM-hf ({', '.join(_HEAD)}); drop pair_ranker")
    return [found[name] for name in _HEAD]


def _context(tokenizer: Any, model: Any, options: PoolingOptions) -> int:
    """Return the most tokens of an input: what model and tokenizer allow, and what was asked for."""
    config = model.config.get_text_config()
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < _MORE_THAN_ANY_MODEL else []
    if getattr(config, "position_biased_input", True):  # else positions are relative, and have no last one
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None:
            limits.append(positions - _positions_never_used(model))
    if options.max_context is not None and limits and options.max_context > min(limits):
        raise PrerequisiteError(f"max_context {options.max_context:,} is more than the model's {min(limits):,} tokens")
    if options.max_context is not None:
        return options.max_context
    if options.form == "pairrm":
        return PAIRRM_CONTEXT
    if not limits:
        raise EngineError("the model does not say its context length; set max_context")
    return int(min(limits))


def _positions_never_used(model: Any) -> int:
    """Return how many positions a model of RoBERTa's kind skips: it counts from after the padding token's id."""
    table = next((m for n, m in model.named_modules() if n.endswith("position_embeddings")), None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1
