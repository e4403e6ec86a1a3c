"""Keeps pyarrow from importing pandas before anyone needs it: 45 MB and 0.3 s that a run does not use.

On the first array made from Python values pyarrow imports pandas, only to ask whether the value is a Series. Until
pandas is imported no Series can exist, so the answer is no. `defer_pandas` lets that one import fail, and arranges
that an import of pandas by anyone else, later, makes pyarrow look again, so that nothing else changes.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


class _RefusePandas(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)
        return None


class _NoticePandas(MetaPathFinder):
    """Hands out pandas' own loader, wrapped so that pyarrow is told when the import has ended."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "pandas":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _TellPyarrow(spec.loader)
        return spec


class _TellPyarrow(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        pa.lib._pandas_api.pd  # noqa: B018  asking for it makes pyarrow import pandas for good


def defer_pandas() -> None:
    """Let pyarrow do without pandas until someone imports it; does nothing if that has happened already."""
    if "pandas" in sys.modules:
        return
    refuse = _RefusePandas()
    sys.meta_path.insert(0, refuse)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(refuse)
    if not any(isinstance(f, _NoticePandas) for f in sys.meta_path):
        sys.meta_path.insert(0, _NoticePandas())
