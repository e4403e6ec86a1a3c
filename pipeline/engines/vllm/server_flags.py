"""Arguments of vLLM's engine as flags of its server's command line. Pure; knows no version.

Booleans become `--name` or `--no-name`, mappings JSON, lists of plain values several words, what is None is left out:
the forms that vLLM's parser derives from its own types (0.32, `engine/arg_utils.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.types import Json

_DEFAULT_OFF = frozenset({"disable_log_stats"})
"""Switches whose parser has no `--no-` form in every version; off is their default."""


def flags(arguments: Mapping[str, Json]) -> list[str]:
    """Return the words of a command line, in the order of the arguments."""
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if value is None or (value is False and name in _DEFAULT_OFF):
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, list | tuple) and not any(isinstance(v, list | tuple | dict) for v in value):
            words += [f"--{flag}", *(_word(v) for v in value)]
        else:
            words.append(f"--{flag}={_word(value)}")
    return words


def _word(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
