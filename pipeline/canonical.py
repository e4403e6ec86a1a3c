"""Equal values, equal bytes: canonical JSON, its digest, and seeds derived from parts. Knows no type of ours."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Encode JSON values so that equal values give equal bytes: sorted keys, no spaces, ASCII, no NaN.

    Raises:
        ValueError: for NaN or infinity.
        TypeError: for values that JSON has no type for, and for keys that are not strings.
    """
    _refuse_odd_keys(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _refuse_odd_keys(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"canonical JSON: key {key!r} is not a string")
            _refuse_odd_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_odd_keys(item)


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value, 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def derive_seed(*parts: str | int) -> int:
    """Return a 63-bit seed from parts, each delimited, so that ('a', 'bc') and ('ab', 'c') differ."""
    h = hashlib.blake2b(digest_size=8)
    for part in parts:
        raw = str(part).encode("utf-8", "surrogatepass")
        h.update(len(raw).to_bytes(8, "big") + raw)
    return int.from_bytes(h.digest(), "big") >> 1
