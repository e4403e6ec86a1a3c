"""How devices are shared out among replicas of a unit's engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engines.devices import visible_devices
from pipeline.errors import PrerequisiteError


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
