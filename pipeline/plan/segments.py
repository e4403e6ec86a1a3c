"""Cuts the stages into segments: inside one, shards flow from stage to stage; between two there is a barrier.

A segment is the longest run of consecutive stages whose resident engines fit in memory together
(`limits.resident_engines`), so that a large model is loaded once and never beside another. Endpoints hold no memory
here and never split a segment. A dataset-scope stage needs all rows and starts a segment of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pipeline.engines.base import Engine


class _Planned(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def roles(self) -> Mapping[str, str]: ...
    @property
    def is_barrier(self) -> bool: ...


def cut_segments(
    stages: Sequence[_Planned], engines: Mapping[str, Engine], most_resident: int
) -> tuple[tuple[str, ...], ...]:
    """Return segments as tuples of stage ids, in order.

    A single stage that needs more than `most_resident` engines still gets a segment: it cannot run otherwise.
    """
    segments: list[list[str]] = []
    resident: set[str] = set()
    for stage in stages:
        needs = {name for name in stage.roles.values() if engines[name].resident}
        full = len(resident | needs) > most_resident and bool(needs - resident)
        if not segments or stage.is_barrier or (full and resident):
            segments.append([])
            resident = set()
        segments[-1].append(stage.id)
        resident |= needs
    return tuple(tuple(s) for s in segments)
