"""Row ids: 128-bit hashes of content (at a source) or of lineage (everywhere else), 32 hex digits.

Ids never depend on position in a file, order of completion or an engine's reply, so a resumed run gives the same.
"""

from __future__ import annotations

import hashlib

from pipeline.canonical import canonical_json
from pipeline.types import Json


def _hash(*parts: bytes) -> str:
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        h.update(len(part).to_bytes(8, "big") + part)
    return h.hexdigest()


def content_id(source: str, content: Json) -> str:
    """Return the id of a source row: hash of the source stage's name and the row's content as JSON values."""
    return _hash(b"content", source.encode(), canonical_json(content))


def child_id(parent_id: str, stage_id: str, position: int) -> str:
    """Return the id of the `position`-th row that stage `stage_id` of the recipe made from `parent_id`."""
    return _hash(b"child", parent_id.encode(), stage_id.encode(), str(position).encode())


def lineage_id(kind: str, *source_ids: str) -> str:
    """Return the id of a row made from several others, such as a pair from chosen and rejected."""
    return _hash(b"lineage", kind.encode(), *(s.encode() for s in source_ids))
