"""Read records from CSV and TSV files, one at a time, in bounded memory.

Quoting as in RFC 4180: a quoted field may hold the delimiter, doubled quotes and line breaks. The first row names the
columns. A row with more or fewer fields than that is given as a `Broken`, so that it costs one record; a quotation
that is never closed costs the rest of the file, as one. Every value is text; what it means is the caller's business.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

from pipeline.api import PrerequisiteError
from stages.sources.jsonfiles import MAX_RECORD, Broken

_SHOWN = 1000


def read_csv(path: Path, delimiter: str | None) -> Generator[dict[str, str] | Broken, None, None]:
    """Yield the records of a file; bytes that are not UTF-8 come as lone surrogates.

    Args:
        path: the file.
        delimiter: one character; None takes a tab for `.tsv` and a comma else.

    Raises:
        PrerequisiteError: if the first row is missing or names a column twice.
    """
    csv.field_size_limit(MAX_RECORD)  # a setting of the process, of 128 KiB unless raised: less than a document
    sign = delimiter or ("\t" if path.suffix == ".tsv" else ",")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        rows = csv.reader(f, delimiter=sign, strict=True)
        names, last = _header(rows, path), rows.line_num
        while True:
            try:
                row = next(rows, None)
            except csv.Error as e:
                yield Broken(last + 1, "", f"lines {last + 1} to {rows.line_num} are not CSV: {e}")
            else:
                if row is None:
                    return
                if len(row) == len(names):
                    yield dict(zip(names, row, strict=True))
                elif row:
                    what = f"line {last + 1} has {len(row)} fields; the first row names {len(names)}"
                    yield Broken(last + 1, sign.join(row)[:_SHOWN], what)
            last = rows.line_num


def csv_columns(path: Path, delimiter: str | None) -> list[str]:
    """Return the column names of a file.

    Raises:
        PrerequisiteError: as for `read_csv`.
    """
    sign = delimiter or ("\t" if path.suffix == ".tsv" else ",")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        return _header(csv.reader(f, delimiter=sign, strict=True), path)


def csv_has_rows(path: Path, delimiter: str | None) -> bool:
    """Return whether a file holds anything below its first row."""
    with closing(read_csv(path, delimiter)) as records:
        return next(records, None) is not None


def _header(rows: Iterator[list[str]], path: Path) -> list[str]:
    try:
        names = next(rows, [])
    except csv.Error as e:
        raise PrerequisiteError(f"input '{path}' has a first row that is not CSV: {e}") from None
    if not names:
        raise PrerequisiteError(f"input '{path}' is empty; its first row must name the columns")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise PrerequisiteError(f"input '{path}' names the columns {', '.join(twice)} more than once")
    return names
