"""Read the chat template, the context length and the vocabulary from a GGUF file's header, and nothing else.

GGUF keys are a length (8 bytes), the name, a type (4 bytes) and the value; a string value is again a length and
bytes, an array the type of its items (4 bytes), their number (8 bytes) and the items. The header is searched for the
one key. Layout: the GGUF specification, version 3, little-endian. It knows no models.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_KEY = b"tokenizer.chat_template"
_CONTEXT = b".context_length"
_TOKENS = b"tokenizer.ggml.tokens"
_TOKEN_TYPES = b"tokenizer.ggml.token_type"
_STRING = 8
_UINT32 = 4
_INT32 = 5
_ARRAY = 9


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


def read_vocabulary(path: Path) -> list[tuple[bytes, int]] | None:
    """Return text and type of every token by id, or None if the file has no vocabulary or is no GGUF file.

    Types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        texts_at, types_at = _array(data, _TOKENS, _STRING), _array(data, _TOKEN_TYPES, _INT32)
        if data[:4] != b"GGUF" or texts_at is None or types_at is None:
            return None
        count, at = texts_at
        texts = []
        for _ in range(count):
            (length,) = struct.unpack_from("<Q", data, at)
            texts.append(data[at + 8 : at + 8 + length])
            at += 8 + length
        count, at = types_at
        return list(zip(texts, struct.unpack_from(f"<{count}i", data, at), strict=True))


def _array(data: mmap.mmap, key: bytes, items: int) -> tuple[int, int] | None:
    """Return the number of items of an array and where the first one lies."""
    at = data.find(struct.pack("<Q", len(key)) + key + struct.pack("<II", _ARRAY, items))
    if at < 0:
        return None
    at += 8 + len(key) + 8
    return int(struct.unpack_from("<Q", data, at)[0]), at + 8
