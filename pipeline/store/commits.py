"""Commit records: the only truth about which rows exist.

One JSON file for each shard, created put-if-absent and never changed, names the data file, the rejects file, their
SHA-256, the row counts and the content of the input shard it was made from, and carries a digest of itself. A shard
may have later generations (`rejects --retry` adds rows); the highest one counts. A folder listing is never trusted
for data files, only for records.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.canonical import canonical_json, digest_of
from pipeline.errors import CorruptStore
from pipeline.store.files import put_if_absent
from pipeline.store.shards import FileRef
from pipeline.store.usage import Usage
from pipeline.types import Json

_RECORD = re.compile(r"part-(\d{5,})(?:\.g(\d+))?\.json")
RECORD_VERSION = 1
EMPTY = "empty"
"""Stands for the content of a shard without rows."""


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What one shard of one stage holds.

    The books must balance: `rows_in + fan_out == rows_out + rows_rejected + rows_grouped`.
    """

    shard: int
    generation: int
    fingerprint: str
    input: str
    """SHA-256 of the input shard's data file, `empty`, or for a source the partition and position."""
    rows_in: int
    rows_out: int
    rows_rejected: int
    fan_out: int
    rows_grouped: int
    data: FileRef | None
    rejects: FileRef | None
    rejected_by_code: Mapping[str, int] = field(default_factory=dict)
    attempt: str = ""
    usage: Usage | None = None
    """What its requests cost; None for a stage that asks no engine."""

    @property
    def content(self) -> str:
        """Return what identifies the rows: the data file's SHA-256, or `empty`."""
        return self.data.sha256 if self.data else EMPTY

    @property
    def balances(self) -> bool:
        """Return whether no row was lost or made up."""
        return self.rows_in + self.fan_out == self.rows_out + self.rows_rejected + self.rows_grouped

    def to_bytes(self) -> bytes:
        """Encode with the record's own digest."""
        body: dict[str, Json] = {"record_version": RECORD_VERSION, **asdict(self)}
        body["rejected_by_code"] = dict(self.rejected_by_code)
        if self.usage is None:
            del body["usage"]
        return canonical_json({**body, "digest": digest_of(body)}) + b"\n"


def record_name(shard: int, generation: int) -> str:
    """Return the file name of a record."""
    return f"part-{shard:05d}.json" if generation == 0 else f"part-{shard:05d}.g{generation}.json"


def commit(folder: Path, record: CommitRecord) -> CommitRecord:
    """Publish a shard; return the record that counts, which is another attempt's if that was first.

    Raises:
        CorruptStore: if another attempt committed under a different fingerprint.
    """
    path = folder / record_name(record.shard, record.generation)
    if put_if_absent(path, record.to_bytes()):
        return record
    winner = read_record(path)
    if winner.fingerprint != record.fingerprint:
        raise CorruptStore(
            f"'{path}' was committed under fingerprint {winner.fingerprint[:16]}, this run has "
            f"{record.fingerprint[:16]}; the folder belongs to another run"
        )
    return winner


def read_record(path: Path) -> CommitRecord:
    """Read and check one record.

    Raises:
        CorruptStore: if it is missing, cut off, or its digest does not fit.
    """
    try:
        body = json.loads(path.read_bytes())
        digest = body.pop("digest")
        if digest != digest_of(body):
            raise ValueError("its digest does not fit its content")
        if body.pop("record_version") != RECORD_VERSION:
            raise ValueError("it was written by another version of prefmill")
        for key in ("data", "rejects"):
            body[key] = None if body[key] is None else FileRef(**body[key])
        if "usage" in body:
            body["usage"] = Usage(**body["usage"])
        return CommitRecord(**body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise CorruptStore(
            f"commit record '{path}' cannot be read: {e}. Nothing was changed; restore the file, or remove it to have "
            "this shard made again"
        ) from e


def record_names(folder: Path) -> set[str]:
    """Return the names of all records in a folder, which need not exist."""
    return {n for n in os.listdir(folder) if _RECORD.fullmatch(n)} if folder.is_dir() else set()


def current_records(folder: Path, names: Iterable[str] | None = None) -> dict[int, CommitRecord]:
    """Return the counting record of each shard, ordered by shard: of the whole folder, or among some names in it.

    Raises:
        CorruptStore: if any of them cannot be read.
    """
    highest: dict[int, int] = {}
    for name in record_names(folder) if names is None else names:
        found = _RECORD.fullmatch(name)
        if found:
            shard, generation = int(found[1]), int(found[2] or 0)
            highest[shard] = max(generation, highest.get(shard, 0))
    return {s: read_record(folder / record_name(s, g)) for s, g in sorted(highest.items())}
