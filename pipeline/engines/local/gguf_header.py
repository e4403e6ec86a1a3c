"""Read the chat template and the context length from a GGUF file's header without loading anything else.

GGUF keys are a length (8 bytes), the name, a type (4 bytes) and the value; a string value is again a length and
bytes. The header is searched for the one key, which takes milliseconds; walking the vocabulary takes seconds.
Layout: the GGUF specification, version 3, little-endian. It knows no models.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_KEY = b"tokenizer.chat_template"
_CONTEXT = b".context_length"
_STRING = 8
_UINT32 = 4


def read_chat_template(path: Path) -> str | None:
    """Return the default chat template, or None if the file has none or is no GGUF file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            return None
        at = data.find(struct.pack("<Q", len(_KEY)) + _KEY + struct.pack("<I", _STRING))
        if at < 0:
            return None
        start = at + 8 + len(_KEY) + 4
        (length,) = struct.unpack_from("<Q", data, start)
        return data[start + 8 : start + 8 + length].decode("utf-8", "replace")


def read_context_length(path: Path) -> int | None:
    """Return the context length in tokens, or None if the file states none or is no GGUF file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            return None
        at = data.find(_CONTEXT + struct.pack("<I", _UINT32))
        if at < 0:
            return None
        (length,) = struct.unpack_from("<I", data, at + len(_CONTEXT) + 4)
        return int(length)
