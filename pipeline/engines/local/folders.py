"""Give every engine a model as a folder it can read: written once into the user's cache, by a process of its own.

The cache is `$XDG_CACHE_HOME/prefmill` or `~/.cache/prefmill`, keyed by content, dtype, rounding and converter; a
folder appears whole or not at all. Writing needs torch and transformers, which the calling process should not have to
import: `python -m pipeline.engines.local.folders` does it, prints the path as its last line, and ends when the process
that started it ends. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.engines.local.address import ModelFiles
from pipeline.errors import EngineError, PipelineError, PrerequisiteError

Rounding = tuple[int, int]
"""Bits of one weight, and neighbouring input values that share a scale."""

_CONVERTER = "1"
"""Raise it when what `conversion.py` writes changes."""

_QUOTED_LINES = 8


def cache_root() -> Path:
    """Return the folder of written models."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "prefmill" / "models"


def cached_folder(dtype: str, rounding: Rounding | None, revision: str) -> Path:
    """Return where a model is or will be; it need not exist.

    Raises:
        PrerequisiteError: if transformers, whose version is part of the name, is not installed.
    """
    try:
        version = metadata.version("transformers")
    except metadata.PackageNotFoundError as error:
        raise PrerequisiteError("package transformers not installed; pip install 'prefmill[local]'") from error
    parts = [revision[:32], dtype]
    if rounding is not None:
        parts.append("round{}g{}".format(*rounding))
    parts.append(".".join(version.split(".")[:2]))
    return cache_root() / "-".join([*parts, _CONVERTER])


def written_folder(files: ModelFiles, dtype: str, rounding: Rounding | None, revision: str) -> str:
    """Return a folder with safetensors weights, or the hub id where nothing has to be written.

    Blocks while the folder is being written: about 25 s of one core for 135M parameters, and memory for the model.

    Args:
        files: what the model's address leads to.
        dtype: name of a torch dtype; a folder or hub id without rounding is returned as it is, whatever its dtype.
        rounding: bits and group of `round_weights`; None leaves the weights alone.
        revision: content digest of local files, commit of a hub id.

    Raises:
        PrerequisiteError: a package or file is missing, the cache cannot be written, or the model has nothing to round.
        EngineError: writing failed otherwise; the text has the last words of the process that tried.
    """
    if rounding is None and files.kind == "folder":
        return str(files.path)
    if rounding is None and files.kind == "hub":
        return str(files.hub_id)
    folder = cached_folder(dtype, rounding, revision)
    if (folder / "config.json").exists():
        return str(folder)
    order = {
        "kind": files.kind,
        "path": None if files.path is None else str(files.path),
        "hub_id": files.hub_id,
        "dtype": dtype,
        "rounding": rounding,
        "revision": revision,
    }
    return _ask_child(order, f"model '{files.path or files.hub_id}'")


def _ask_child(order: dict[str, Any], what: str) -> str:
    status, out, err = _run_child(json.dumps(order))
    last = out.strip().splitlines()[-1:] or [""]
    if status == 0:
        return last[0]
    if status == PrerequisiteError.exit_code:
        raise PrerequisiteError(f"{what} cannot be written as a folder: {json.loads(last[0])}")
    words = " | ".join(err.strip().splitlines()[-_QUOTED_LINES:])
    raise EngineError(
        f"{what} cannot be written as a folder: the process that converts it ended with status {status} "
        f"(-9: killed, often for want of memory); it said: {words or 'nothing'}"
    )


def _run_child(order: str) -> tuple[int, str, str]:
    """Run this module and return status, output and error output."""
    held, ours = os.pipe()  # the child reads one end and leaves when the other closes, however this process ends
    with (
        os.fdopen(held, "rb", 0) as stdin,
        os.fdopen(ours, "wb", 0) as lifeline,
        subprocess.Popen(
            [sys.executable, "-m", "pipeline.engines.local.folders", order],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        ) as child,
    ):
        try:
            out, err = child.communicate()
        except BaseException:
            lifeline.close()
            raise
    return child.returncode, out, err


def main(arguments: Sequence[str]) -> int:
    """Write one folder as `arguments[0]` (JSON) says; print its path as the last line, or what is missing, as JSON.

    Returns:
        The exit status: 0, or that of the error. Anything unforeseen leaves a traceback for the caller to quote.
    """
    threading.Thread(target=_leave_with_starter, daemon=True).start()
    order = json.loads(arguments[0])
    files = ModelFiles(order["kind"], None if order["path"] is None else Path(order["path"]), order["hub_id"])
    try:
        path = _write(files, order["dtype"], order["rounding"], order["revision"])
    except PipelineError as error:
        print(json.dumps(str(error)))
        return error.exit_code
    except (OSError, ImportError) as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
        return PrerequisiteError.exit_code
    print(path)
    return 0


def _write(files: ModelFiles, dtype: str, rounding: Sequence[int] | None, revision: str) -> Path:
    from pipeline.engines.local.loading import share_cores_politely

    share_cores_politely()
    from pipeline.engines.local.conversion import make_folder
    from pipeline.engines.local.quiet import quiet_transformers

    with quiet_transformers():
        return make_folder(files, dtype, None if rounding is None else (rounding[0], rounding[1]), revision)


def _leave_with_starter() -> None:
    """End this process at once when the other end of its input is closed."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
