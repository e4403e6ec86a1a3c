"""Load tokenizer and model from their files, quietly and without contacting anything but a pinned hub revision.

A GGUF file is converted once: its weights are unpacked into a safetensors folder in the user's cache (`folders.py`),
which other engines read too, and loaded from there afterwards, which takes a twentieth of the time (engines.md
section 1). Remote code is never run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engines.local.address import ModelFiles
from pipeline.engines.local.quiet import quiet_transformers
from pipeline.errors import EngineError, PrerequisiteError


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
                assert files.path is not None
                return _load_gguf(files.path, options)
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


def _load_gguf(file: Path, options: LoadOptions) -> tuple[Any, Any]:
    from pipeline.engines.local.conversion import CacheNotWritable, convert_gguf, make_folder

    try:
        folder = make_folder(ModelFiles("gguf", file), options.dtype, None, options.revision)
    except CacheNotWritable:  # unpack into a folder that is thrown away
        with tempfile.TemporaryDirectory(prefix="prefmill-model-") as scratch:
            convert_gguf(file, options.dtype, Path(scratch))
            return _load_pretrained(scratch, options, local_files_only=True)
    return _load_pretrained(str(folder), options, local_files_only=True)
