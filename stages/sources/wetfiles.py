"""Read extracted text from WET files, the text side of web archives (WARC 1.0, records of type `conversion`).

Files ending with `.wet` or `.wet.gz`, as Common Crawl publishes them. Only `conversion` records are documents; the
`warcinfo` record that opens a file, and other types, are passed over. Pages that are still HTML (`response` records of
`.warc` files) are not read: extracting text is another program's work.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.api import PrerequisiteError
from stages.sources.jsonfiles import MAX_RECORD, Broken

WET_FIELDS = ("text", "url", "created", "language", "record_id")
"""What a record has: the payload, WARC-Target-URI, WARC-Date, WARC-Identified-Content-Language, WARC-Record-ID."""


def read_wet(path: Path) -> Generator[dict[str, Any] | Broken, None, None]:
    """Yield the `conversion` records of a file as fields of `WET_FIELDS`; absent headers are None.

    A record that is cut off or too large is given as a `Broken` with its number among the file's records. Bytes that
    are not UTF-8 come as lone surrogates.

    Raises:
        PrerequisiteError: if the file is no web archive or is damaged.
    """
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    with path.open("rb") as f:
        records = ArchiveIterator(f)
        try:
            for number, record in enumerate(records, 1):
                if record.rec_type == "conversion":
                    yield _fields(record, number)
        except (ArchiveLoadFailed, OSError, ValueError) as e:
            raise PrerequisiteError(f"input '{path}' cannot be read as a web archive: {e}") from None


def wet_has_rows(path: Path) -> bool:
    """Return whether a file holds any document."""
    with closing(read_wet(path)) as records:
        return next(records, None) is not None


def _fields(record: Any, number: int) -> dict[str, Any] | Broken:
    stated = record.rec_headers.get_header("Content-Length") or ""
    if not stated.isdecimal():
        return Broken(number, "", f"record {number} says no length; the file may be cut off")
    if int(stated) > MAX_RECORD:
        return Broken(number, "", f"record {number} has {int(stated):,} bytes; at most {MAX_RECORD:,} are read")
    payload = record.content_stream().read(int(stated))
    text = payload.decode("utf-8", "surrogateescape")
    if len(payload) < int(stated):
        return Broken(number, text[:1000], f"record {number} is cut off after {len(payload)} of {stated} bytes")
    return {
        "text": text,
        "url": record.rec_headers.get_header("WARC-Target-URI"),
        "created": record.rec_headers.get_header("WARC-Date"),
        "language": record.rec_headers.get_header("WARC-Identified-Content-Language"),
        "record_id": record.rec_headers.get_header("WARC-Record-ID"),
    }
