"""Which accelerators this process may use, found without importing torch or asking a driver library."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_NODE = re.compile(r"nvidia\d+")


def visible_devices(environment: Mapping[str, str] = os.environ, nodes: Path = Path("/dev")) -> list[str]:
    """Return names of the devices that may be used: those of CUDA_VISIBLE_DEVICES, else the machine's by number.

    An empty variable, or one that begins with -1, hides them all; as for CUDA, what follows a bad entry is ignored.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        stop = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:stop]
    found = [p.name for p in nodes.iterdir() if _NODE.fullmatch(p.name)] if nodes.is_dir() else []
    return [str(n) for n in sorted(int(name.removeprefix("nvidia")) for name in found)]
