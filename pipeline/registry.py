"""Finds stages and engines by registered name: ours and third parties' alike, through entry points.

Listing imports nothing; a class is imported only when a recipe uses it, so one broken plug-in fails only the
recipes that need it. Two distributions that claim one name are an error that names both.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pipeline.engines.base import Engine
from pipeline.errors import PlanError, PrerequisiteError
from pipeline.stage import AnyStage, RowStage, Source, TableStage

STAGES = "prefmill.stages"
ENGINES = "prefmill.engines"


@dataclass(frozen=True, slots=True)
class Registered:
    """One entry: what it is called, where it comes from."""

    name: str
    target: str
    distribution: str
    distribution_version: str


def registered(group: str) -> dict[str, Registered]:
    """Return all entries of a group by name, sorted; imports nothing.

    Raises:
        PlanError: if two distributions claim one name.
    """
    found: dict[str, Registered] = {}
    for point in _points(group):
        entry = _describe(point)
        other = found.get(entry.name)
        if other and (other.distribution, other.target) != (entry.distribution, entry.target):
            raise PlanError(
                f"{group}: the name '{entry.name}' is claimed by '{other.distribution}' ({other.target}) "
                f"and by '{entry.distribution}' ({entry.target}); uninstall one of them"
            )
        found[entry.name] = entry
    return dict(sorted(found.items()))


def stage_class(name: str, where: str) -> type[AnyStage]:
    """Import a stage class.

    Raises:
        PlanError: if the name is unknown or its class is not a stage; `where` is put in front.
        PrerequisiteError: if importing it fails.
    """
    cls = _load(STAGES, name, f"{where}: stage")
    if not (isinstance(cls, type) and issubclass(cls, Source | RowStage | TableStage)):
        raise PlanError(f"{where}: '{name}' is registered as {cls!r}, which is no Source, RowStage or TableStage")
    if cls.name != name:
        raise PlanError(f"{where}: '{name}' is registered for class {cls.__name__} whose name is '{cls.name}'")
    return cls


def engine_class(kind: str, where: str) -> type[Engine]:
    """Import an engine class; same errors as `stage_class`."""
    cls = _load(ENGINES, kind, f"{where}: engine kind")
    if not (isinstance(cls, type) and issubclass(cls, Engine)):
        raise PlanError(f"{where}: engine kind '{kind}' is registered as {cls!r}, which is no Engine")
    if cls.kind != kind:
        raise PlanError(f"{where}: '{kind}' is registered for class {cls.__name__} whose kind is '{cls.kind}'")
    return cls


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence with the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _load(group: str, name: str, what: str) -> Any:
    known = registered(group)
    if name not in known:
        raise PlanError(f"{what} '{name}' is not registered; known: {', '.join(known)}.{did_you_mean(name, known)}")
    point = next(p for p in _points(group) if p.name == name)
    try:
        return point.load()
    except Exception as e:  # noqa: BLE001  a plug-in may fail in any way; it is reported, not hidden
        entry = known[name]
        raise PrerequisiteError(
            f"{what} '{name}' of '{entry.distribution}' cannot be imported: {type(e).__name__}: {e}"
        ) from e


def _points(group: str) -> tuple[EntryPoint, ...]:
    return _scanned(group, tuple(sys.path))


@lru_cache(maxsize=16)
def _scanned(group: str, search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Read the metadata of all installed packages (7 ms): once for each search path, not for each stage."""
    return tuple(sorted(entry_points(group=group), key=lambda p: (p.name, p.value)))


def _describe(point: EntryPoint) -> Registered:
    dist = point.dist
    return Registered(point.name, point.value, dist.name if dist else "?", dist.version if dist else "?")
