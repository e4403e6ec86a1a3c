"""Parquet shards: one explicit schema, zstd, page index and page checksums, never an empty file.

A file is named by its content (`part-00003-<16 hex digits of its SHA-256>.parquet`), so that attempts with equal
rows agree on the name and attempts with other rows can never overwrite each other. A file counts only once a commit
record names it (`commits.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import CorruptStore
from pipeline.store.files import sha256_of, sync_file, sync_folder, write_failed

_ROW_GROUP_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class FileRef:
    """A data file as a commit record names it."""

    name: str
    sha256: str
    bytes: int
    rows: int


def write_shard(folder: Path, stem: str, table: pa.Table) -> FileRef:
    """Write a table durably under a name made from its content.

    Raises:
        ValueError: for a table without rows; commit "0 rows" instead.
        Stopped: if the disk is full.
        CorruptStore: if what was written does not read back.
    """
    if table.num_rows == 0:
        raise ValueError(f"shard '{stem}' has no rows; a file without rows must not be written")
    tmp = folder / f".{stem}-{uuid.uuid4().hex}.parquet.tmp"
    try:
        write_parquet(tmp, table)
        _verify(tmp, table)
        digest = sha256_of(tmp)
        sync_file(tmp)
        final = folder / f"{stem}-{digest[:16]}.parquet"
        size = tmp.stat().st_size
        tmp.rename(final)
        sync_folder(folder)
    except OSError as e:
        tmp.unlink(missing_ok=True)
        raise write_failed(tmp, e) from e
    return FileRef(final.name, digest, size, table.num_rows)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write one file with the settings that all our files share; equal tables give equal bytes."""
    per_row = max(1, table.nbytes // table.num_rows)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        write_page_index=True,
        write_page_checksum=True,
        row_group_size=max(1, _ROW_GROUP_BYTES // per_row),
    )


def _verify(path: Path, table: pa.Table) -> None:
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != table.num_rows or file.schema_arrow != table.schema:
            raise CorruptStore(
                f"'{path}' reads back {file.metadata.num_rows} rows, {table.num_rows} were written; check the disk"
            )


def read_shard(folder: Path, ref: FileRef, columns: list[str] | None = None) -> pa.Table:
    """Read a committed file, page checksums verified.

    Raises:
        CorruptStore: if the file is missing or damaged.
    """
    try:
        with _open(folder, ref) as file:
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as e:
        raise damaged(folder / ref.name, e) from e


def read_batches(folder: Path, ref: FileRef, columns: list[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a committed file in batches of at most `rows` rows; same errors as `read_shard`."""
    try:
        with _open(folder, ref) as file:
            yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as e:
        raise damaged(folder / ref.name, e) from e


def _open(folder: Path, ref: FileRef) -> pq.ParquetFile:
    return pq.ParquetFile(folder / ref.name, page_checksum_verification=True)


def damaged(path: Path, e: Exception) -> CorruptStore:
    """Word a read failure."""
    reason = "it is missing" if isinstance(e, FileNotFoundError) else str(e).splitlines()[0]
    return CorruptStore(
        f"'{path}' cannot be read: {reason}. Nothing was changed; 'prefmill verify' lists what is damaged"
    )
