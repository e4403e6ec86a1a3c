"""Turn one record of an input, as Python values, into a document: text with what is known about it.

Knows nothing about files. What cannot be used raises `RowError` with a `source.*` code. Absent and empty values of the
optional columns become null. An author becomes a keyed hash (BLAKE2b, 128 bits), never a name: with the key the same
author has the same hash in every run, without it a list of known names cannot be tried against the hashes.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pipeline.api import RowError, columns
from stages.sources.records import record_id, refuse_surrogates

Field = Literal["text", "title", "source", "url", "created", "author", "license", "score", "language"]
FIELDS: tuple[Field, ...] = ("text", "title", "source", "url", "created", "author", "license", "score", "language")

DOCUMENT = columns(
    title=str, text=str, source=str, url=str, created=str, author_hash=str, license=str, score=float, language=str
)
"""Columns of a document, without its id."""
MIN_KEY = 32
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NO_AUTHOR = frozenset(("", "[deleted]", "[removed]", "anonymous"))


@dataclass(frozen=True, slots=True)
class Reading:
    """How records become documents.

    Attributes:
        named: the record's name for each field.
        id_column: the record's name for its id; None if it has none.
        source: the source of all documents; None takes the field.
        author_key: key of the author's hash; None leaves it null.
        max_characters: longest text that is taken.
    """

    named: Mapping[Field, str]
    id_column: str | None
    source: str | None
    author_key: bytes | None
    max_characters: int


def document_row(record: Mapping[str, Any], how: Reading) -> dict[str, Any]:
    """Return the row of one record.

    Raises:
        RowError: `source.empty_text`, `source.oversized`, `source.bad_text`, `source.bad_record` or `source.bad_id`.
    """
    value = {field: record.get(name) for field, name in how.named.items()}
    row: dict[str, Any] = {
        "title": _text("title", value.get("title")),
        "text": _body(value.get("text"), how.max_characters),
        "source": how.source or _text("source", value.get("source")),
        "url": _text("url", value.get("url")),
        "created": _moment(value.get("created")),
        "author_hash": author_hash(value.get("author"), how.author_key),
        "license": _text("license", value.get("license")),
        "score": _number(value.get("score")),
        "language": _text("language", value.get("language")),
    }
    if how.id_column is not None:
        row["id"] = record_id(record.get(how.id_column))
    return row


def author_hash(author: Any, key: bytes | None) -> str | None:
    """Return 32 hex digits for an author, or None for no author or no key.

    Raises:
        RowError: `source.bad_record` or `source.bad_text`.
    """
    name = str(author) if type(author) is int else _text("author", author)
    if name is None or key is None or name.lower() in _NO_AUTHOR:
        return None
    return hashlib.blake2b(name.encode("utf-8"), key=hashlib.sha256(key).digest(), digest_size=16).hexdigest()


def _body(value: Any, most: int) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError("source.empty_text", "the text is missing, null or white space")
    if not isinstance(value, str):
        raise RowError("source.bad_record", f"the text is {type(value).__name__}; expected text")
    if len(value) > most:
        raise RowError("source.oversized", f"the text has {len(value):,} characters; at most {most:,} are taken")
    refuse_surrogates(value, "text")
    return value


def _text(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RowError("source.bad_record", f"'{field}' is {type(value).__name__}; expected text")
    refuse_surrogates(value, field)
    return value.strip() or None


def _moment(value: Any) -> str | None:
    """Return a time as text: as written, or ISO 8601 for a time of the file format; seconds stay seconds."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(int(value)) if value == value // 1 else str(value)
    return _text("created", value)


def _number(value: Any) -> float | None:
    """Return a number, also if written as text; NaN is how some programs write a missing one."""
    if isinstance(value, str):
        if value.strip() and not _NUMBER.fullmatch(value.strip()):
            raise RowError("source.bad_record", f"'score' is the text {value[:40]!r}; expected a number")
        value = float(value) if value.strip() else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError("source.bad_record", f"'score' is {type(value).__name__}; expected a number")
    if abs(value) > 1e300:
        raise RowError("source.bad_record", "'score' is infinite or beyond any count")
    return float(value)
