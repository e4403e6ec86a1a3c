"""Write models as safetensors folders: a GGUF file unpacked, or any model with its linear weights rounded.

Rounding happens after loading at the dtype asked for, exactly as in the engine that rounds in memory, so that the
folder holds the same values. Tokenizer and chat template of a folder are copied as they are. It runs in the process
that calls it and imports torch; `folders.py` runs it in a process of its own. It contacts nothing and runs no code
of a model.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engines.local.address import ModelFiles
from pipeline.engines.local.folders import Rounding, cached_folder
from pipeline.engines.local.quiet import no_unpacking_bar
from pipeline.errors import PrerequisiteError

_END_OF_TURN = "<|im_end|>"
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".h5")


class CacheNotWritable(PrerequisiteError):
    """No folder can be made in the cache."""


def make_folder(files: ModelFiles, dtype: str, rounding: Rounding | None, revision: str) -> Path:
    """Return the cached folder of a model; make it first if it is not there.

    Whoever comes second waits for the first, so that several engines on one machine convert once.

    Args:
        files: a GGUF file, or a folder or hub id to round.
        dtype: name of the torch dtype in which weights are rounded and written.
        rounding: bits and group; None leaves the values alone.
        revision: content digest or commit; part of the folder's name.

    Raises:
        CacheNotWritable: no folder can be made in the cache.
        OSError: files of the model cannot be read, or the disk is full.
        PrerequisiteError: the model cannot be rounded, or is not in the local hub cache.
    """
    folder = cached_folder(dtype, rounding, revision)
    if _is_there(folder):
        return folder
    if rounding is not None:
        files = _plain(files, dtype, revision)
    with _alone(folder) as work:
        if not _is_there(folder):
            _make(files, dtype, rounding, work)
            _put(work, folder)
    return folder


def convert_gguf(file: Path, dtype: str, target: Path) -> None:
    """Write a GGUF file as a safetensors folder, with the end-of-turn token as EOS and padding where it is known."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    source: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    packed: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        packed["quantization_config"] = transformers.GgufConfig(dequantize=True)
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **source)
    with no_unpacking_bar():
        model = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=getattr(torch, dtype), **source, **packed)
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


def _is_there(folder: Path) -> bool:
    return (folder / "config.json").exists()


def _plain(files: ModelFiles, dtype: str, revision: str) -> ModelFiles:
    """Return the folder whose weights are to be rounded."""
    if files.kind == "gguf":
        return ModelFiles("folder", make_folder(files, dtype, None, revision))
    if files.kind == "hub":
        return ModelFiles("folder", _downloaded(str(files.hub_id), revision))
    return files


def _downloaded(hub_id: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise PrerequisiteError(
            f"model '{hub_id}@{revision}' is not in the local hub cache, from which its weights are rounded; "
            f"download it first: hf download {hub_id} --revision {revision}"
        ) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """Hold the lock of a folder and give one beside it to work in, which is removed at the end.

    Where the file system has no locks, two may work at once: the rename decides.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / f".{folder.name}.lock").open("w")
    except OSError as error:
        raise CacheNotWritable(
            f"no folder can be made in the cache {folder.parent}: {error}; set XDG_CACHE_HOME to a folder that can be "
            "written"
        ) from error
    with lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in folder.parent.glob(f".making-{folder.name}-*"):  # by one that was killed: the lock is ours
                shutil.rmtree(left, ignore_errors=True)
        prefix = f".making-{folder.name}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent, ignore_cleanup_errors=True) as work:
            yield Path(work) / "model"


def _make(files: ModelFiles, dtype: str, rounding: Rounding | None, work: Path) -> None:
    assert files.path is not None
    work.mkdir()
    if rounding is None:
        convert_gguf(files.path, dtype, work)
    else:
        _write_rounded(files.path, dtype, rounding, work)


def _put(work: Path, folder: Path) -> None:
    try:
        work.rename(folder)
    except OSError:  # another machine was first: its folder is as good
        if not _is_there(folder):
            raise


def _write_rounded(source: Path, dtype: str, rounding: Rounding, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from pipeline.engines.local.rounding import round_linear_weights

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(
            str(source),
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    try:
        round_linear_weights(model, *rounding)
    except ValueError as error:
        raise PrerequisiteError(str(error)) from error
    model.save_pretrained(target)
    for path in source.iterdir():
        if path.is_file() and not path.name.endswith(_WEIGHTS) and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)
