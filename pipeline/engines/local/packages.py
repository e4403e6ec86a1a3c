"""Which packages a local engine needs, which transformers is installed, and how memory goes back when a model is gone.

Looks for packages without importing them.
"""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Sequence
from importlib import metadata

from pipeline.errors import PrerequisiteError


def need_packages(kind: str, packages: Sequence[str]) -> None:
    """Raise `PrerequisiteError` if one is not installed; `kind` is the engine that needs them."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise PrerequisiteError(
            f"engine '{kind}': package{'s' if len(missing) > 1 else ''} {', '.join(missing)} not installed; "
            "pip install 'prefmill[local]'"
        )


def transformers_version() -> str:
    """Return major and minor version of transformers; `PrerequisiteError` if it is not installed."""
    try:
        return ".".join(metadata.version("transformers").split(".")[:2])
    except metadata.PackageNotFoundError as error:
        raise PrerequisiteError("package transformers not installed; pip install 'prefmill[local]'") from error


def return_memory() -> None:
    """Collect what the model left and hand free pages back to the system where the C library can."""
    import ctypes
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
