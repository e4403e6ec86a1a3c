"""Load tokenizer and model from their files, quietly and without contacting anything but a pinned hub revision.

A GGUF file is converted once: its weights are unpacked into a safetensors folder in the user's cache
(`$XDG_CACHE_HOME/prefmill` or `~/.cache/prefmill`), keyed by content, dtype and converter, and loaded from there
afterwards, which takes a twentieth of the time (engines.md section 1). Remote code is never run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.engines.local.address import ModelFiles
from pipeline.errors import EngineError, PrerequisiteError

_CONVERTER = "1"
"""Raise it when the conversion below changes."""

_END_OF_TURN = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load.

    Attributes:
        dtype: `bfloat16`, `float16` or `float32`.
        device: a torch device name; `auto` is CUDA if there is one, else the CPU.
        attention: name of an attention implementation known to transformers.
        revision: commit on the hub; content digest for local files.
    """

    dtype: str
    device: str
    attention: str
    revision: str


def load(files: ModelFiles, options: LoadOptions) -> tuple[Any, Any]:
    """Return tokenizer and model, in evaluation mode on its device.

    Raises:
        PrerequisiteError: if files or the device are missing or unfit.
        EngineError: if loading fails otherwise.
    """
    where = str(files.path or f"{files.hub_id}@{options.revision}")
    with quiet_transformers():
        try:
            if files.kind == "gguf":
                return _load_gguf(files, options)
            if files.kind == "folder":
                return _load_pretrained(str(files.path), options, local_files_only=True)
            return _load_pretrained(str(files.hub_id), options, revision=options.revision)
        except OSError as error:
            raise PrerequisiteError(f"model '{where}' cannot be loaded: {error}") from error
        except (RuntimeError, ValueError, KeyError) as error:
            raise EngineError(f"model '{where}' cannot be loaded: {type(error).__name__}: {error}") from error


def choose_device(device: str) -> Any:
    """Return a torch device; `auto` is CUDA if there is one, else the CPU.

    Raises:
        PrerequisiteError: if a CUDA device is asked for and there is none.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise PrerequisiteError(f"device '{device}': torch sees no CUDA device; set device: auto or cpu")
    return torch.device(device)


def share_cores_politely() -> None:
    """Let torch's threads sleep, not spin, while they wait for each other; an own setting of the user is kept.

    Spinning on cores that other programs use made passes up to 2.6 times slower.
    Works only before torch is first imported: its thread library reads the variable once.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence progress bars and notices of transformers while loading, and put them back afterwards."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()  # also those of huggingface_hub
    try:
        with warnings.catch_warnings():
            for name in ("transformers", "torch", "gguf", "huggingface_hub", "accelerate"):
                warnings.filterwarnings("ignore", module=rf"{name}(\..*)?$")
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()


@contextlib.contextmanager
def _no_unpacking_bar() -> Iterator[None]:
    """Take away the progress bar of GGUF unpacking, which no setting of transformers turns off."""
    try:
        from transformers import modeling_gguf_pytorch_utils as unpacking
    except ImportError:  # another version keeps it elsewhere: a bar does no harm
        yield
        return
    bar = getattr(unpacking, "tqdm", None)
    unpacking.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        unpacking.tqdm = bar


def _load_pretrained(where: str, options: LoadOptions, **source: Any) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **source)
    model = AutoModelForCausalLM.from_pretrained(
        where,
        dtype=getattr(torch, options.dtype),
        attn_implementation=options.attention,
        use_safetensors=True,
        trust_remote_code=False,
        **source,
    )
    return tokenizer, model.to(choose_device(options.device)).eval()


def _load_gguf(files: ModelFiles, options: LoadOptions) -> tuple[Any, Any]:
    folder = cache_root() / _cache_key(options)
    if not (folder / "config.json").exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        except OSError:  # no room for a cache: unpack into a folder that is thrown away
            with tempfile.TemporaryDirectory(prefix="prefmill-model-") as scratch:
                _convert(files, options, Path(scratch))
                return _load_pretrained(scratch, options, local_files_only=True)
        try:
            _convert(files, options, work)
            with contextlib.suppress(OSError):  # another process was first: its folder is as good
                work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return _load_pretrained(str(folder), options, local_files_only=True)


def cache_root() -> Path:
    """Return the folder of converted models."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "prefmill" / "models"


def _cache_key(options: LoadOptions) -> str:
    versions = ".".join(metadata.version("transformers").split(".")[:2]) + f"-{_CONVERTER}"
    return f"{options.revision[:32]}-{options.dtype}-{versions}"


def _convert(files: ModelFiles, options: LoadOptions, target: Path) -> None:
    """Write a GGUF file as a safetensors folder, with the end-of-turn token as EOS and padding where it is known."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    assert files.path is not None
    where, file = str(files.path.parent), files.path.name
    packed: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        packed["quantization_config"] = transformers.GgufConfig(dequantize=True)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file, local_files_only=True, trust_remote_code=False)
    with _no_unpacking_bar():
        model = AutoModelForCausalLM.from_pretrained(
            where,
            gguf_file=file,
            dtype=getattr(torch, options.dtype),
            local_files_only=True,
            trust_remote_code=False,
            **packed,
        )
    if _END_OF_TURN in tokenizer.get_vocab():
        tokenizer.eos_token = tokenizer.pad_token = _END_OF_TURN
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for name, value in ends.items():
        setattr(model.config, name, value)
    model.generation_config = GenerationConfig(**ends)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
