"""Which devices there are, and how they are shared out among replicas of a unit's engines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PrerequisiteError

_NODE = re.compile(r"nvidia(\d+)")


def visible_devices(environment: Mapping[str, str] = os.environ, nodes: Path = Path("/dev")) -> list[str]:
    """Return names of the devices that may be used: those of CUDA_VISIBLE_DEVICES, else the machine's by number.

    As for CUDA, an empty or negative entry ends the list. No driver library is asked, so that asking costs nothing.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        end = next((i for i, name in enumerate(names) if not name or name.startswith("-")), len(names))
        return names[:end]
    found = [_NODE.fullmatch(p.name) for p in nodes.iterdir()] if nodes.is_dir() else []
    return [str(n) for n in sorted(int(m[1]) for m in found if m)]


@dataclass(frozen=True)
class Placement:
    """Which devices each replica of a unit gets; empty lists where its engines need none."""

    replicas: tuple[tuple[str, ...], ...]


def place(stages: Sequence[str], each: int, workers: int | None, given: Sequence[str] | None) -> Placement:
    """Share devices out among replicas.

    Args:
        stages: the unit's stages, for messages.
        each: devices that one replica needs; 0 if its engines say that they need none.
        workers: at most so many replicas; as many as the devices allow unless given, 1 without devices.
        given: names of the devices that may be used; the visible ones unless given. With devices named, an engine
            that needs none gets one.

    Raises:
        PrerequisiteError: if the devices do not suffice for one replica.
    """
    if given is not None:
        each = max(1, each)
    if each == 0:
        return Placement(((),) * (workers or 1))
    devices = list(given) if given is not None else visible_devices()
    if len(devices) < each:
        raise PrerequisiteError(
            f"one replica of the engines of {', '.join(stages)} needs {each} devices, but {len(devices)} are visible "
            f"({', '.join(devices) or 'none'}); name devices with --devices or CUDA_VISIBLE_DEVICES, or lower the "
            "engine's parallelism"
        )
    count = min(workers or len(devices), len(devices) // each)
    return Placement(tuple(tuple(devices[i * each : (i + 1) * each]) for i in range(count)))
