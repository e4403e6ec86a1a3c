"""Split files: which rows go to which split, and Parquet files that a Hub reader takes as they are.

A prompt's split depends on its id alone, so it never lies in two splits and stays where it is in a later export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_ROW_GROUP_BYTES = 64_000_000
FILE_BYTES = 400_000_000
FILE_ROWS = 5_000_000


def divide(batch: pa.RecordBatch, test_fraction: float) -> Mapping[str, pa.RecordBatch]:
    """Divide pair rows by prompt id; a split without rows is left out."""
    ids = batch.column("prompt_id").to_pylist()
    digests = b"".join(hashlib.blake2b(i.encode(), digest_size=8, person=b"split").digest() for i in ids)
    test = np.frombuffer(digests, dtype=">u8").astype(np.float64) < test_fraction * 2.0**64
    parts = {"train": batch.filter(pa.array(~test)), "test": batch.filter(pa.array(test))}
    return {name: part for name, part in parts.items() if part.num_rows}


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """A finished split."""

    name: str
    files: Mapping[str, int]
    """File name to rows, in order."""
    rows: int
    memory_bytes: int
    """Size of the rows in memory, which readers call `num_bytes`."""


class SplitWriter:
    """Writes one split in bounded memory: row groups of some 64 MB, files of some 400 MB, none without rows."""

    def __init__(
        self, folder: Path, name: str, schema: pa.Schema, file_bytes: int = FILE_BYTES, file_rows: int = FILE_ROWS
    ) -> None:
        """Write nothing yet; the first rows create the first file.

        Args:
            folder: where files go; it exists.
            name: the split's name.
            schema: of every batch and file.
            file_bytes: a file ends once its rows take this much memory.
            file_rows: most rows of a file.
        """
        self._folder, self._name, self._schema = folder, name, schema
        self._file_bytes, self._file_rows = file_bytes, file_rows
        self._writer: pq.ParquetWriter | None = None
        self._files: list[tuple[Path, int]] = []
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._rows = self._bytes = 0
        self._all_rows = self._all_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows."""
        while batch.num_rows:
            part = batch.slice(0, self._file_rows - self._rows)
            batch = batch.slice(part.num_rows)
            self._waiting.append(part)
            self._waiting_bytes += part.nbytes
            self._rows += part.num_rows
            self._bytes += part.nbytes
            if self._rows >= self._file_rows or self._bytes >= self._file_bytes:
                self._end_file()
            elif self._waiting_bytes >= _ROW_GROUP_BYTES:
                self._flush()

    def finish(self) -> SplitFiles | None:
        """Name the files by how many there are; return None if there were no rows."""
        self._end_file()
        total = len(self._files)
        named: dict[str, int] = {}
        for number, (path, rows) in enumerate(self._files):
            final = f"{self._name}-{number:05d}-of-{total:05d}.parquet"
            path.rename(self._folder / final)
            named[final] = rows
        return SplitFiles(self._name, named, self._all_rows, self._all_bytes) if total else None

    def close(self) -> None:
        """Close an open file after a failure; what it holds is of no use."""
        if self._writer is not None:
            with suppress(OSError):  # the failure that brought us here is the one to report
                self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._folder / f".{self._name}-{len(self._files):05d}.parquet",
                self._schema,
                compression="zstd",
                write_page_index=True,
                write_page_checksum=True,
                use_content_defined_chunking=True,
            )
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_bytes = [], 0

    def _end_file(self) -> None:
        self._flush()
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        self._files.append((self._folder / f".{self._name}-{len(self._files):05d}.parquet", self._rows))
        self._all_rows, self._all_bytes = self._all_rows + self._rows, self._all_bytes + self._bytes
        self._rows = self._bytes = 0


class ConfigWriter:
    """Writes the splits of one config into one folder; closes its files whatever happens."""

    def __init__(self, folder: Path, schema: pa.Schema, splits: Sequence[str], file_bytes: int, file_rows: int) -> None:
        """Create the folder."""
        folder.mkdir()
        self._writers = {name: SplitWriter(folder, name, schema, file_bytes, file_rows) for name in splits}

    def __enter__(self) -> ConfigWriter:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close files that are still open."""
        for writer in self._writers.values():
            writer.close()

    def write(self, parts: Mapping[str, pa.RecordBatch]) -> None:
        """Take rows by split."""
        for name, batch in parts.items():
            self._writers[name].write(batch)

    def finish(self) -> list[SplitFiles]:
        """Return the splits that have rows."""
        return [done for writer in self._writers.values() if (done := writer.finish()) is not None]
