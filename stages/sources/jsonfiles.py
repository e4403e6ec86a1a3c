"""Read records from JSON Lines and from JSON arrays, one at a time, in bounded memory.

A record that cannot be read is given as a `Broken`, so that one bad line costs one record. Knows no columns.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.api import PrerequisiteError

MAX_RECORD = 1 << 27
"""Most bytes of one record (128 MiB)."""
_BLOCK = 1 << 20
_HEAD = 1 << 10


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that is not a JSON object: where it stands, what was read of it, and what is wrong."""

    line: int
    raw: str
    message: str


def read_records(path: Path) -> Generator[dict[str, Any] | Broken, None, None]:
    """Yield the objects of a `.jsonl` file, or of a `.json` file that holds an array or one object a line.

    Raises:
        PrerequisiteError: if a JSON array ends or breaks in the middle.
    """
    if path.suffix == ".json" and _starts_array(path):
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield from _array(text, path)
    else:
        with path.open("rb") as f:
            yield from _lines(f)


def _starts_array(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(_HEAD).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _lines(f: IO[bytes]) -> Iterator[dict[str, Any] | Broken]:
    number = 0
    while line := f.readline(MAX_RECORD):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) == MAX_RECORD and not line.endswith(b"\n"):
            while f.readline(MAX_RECORD)[-1:] not in (b"\n", b""):
                continue
            yield Broken(number, line[:1000].decode("utf-8", "replace"), f"line {number} is over {MAX_RECORD:,} bytes")
        elif line.strip():
            yield _object(line, number)


def _object(line: bytes, number: int) -> dict[str, Any] | Broken:
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as e:
        return Broken(number, line.decode("utf-8", "replace"), f"line {number} is not UTF-8 (byte {e.start})")
    except (ValueError, RecursionError) as e:
        return Broken(number, line.decode("utf-8", "replace"), f"line {number} is not JSON: {e}")
    return _checked(value, number, line.decode("utf-8"))


def _checked(value: Any, number: int, raw: str) -> dict[str, Any] | Broken:
    if isinstance(value, dict):
        return value
    return Broken(number, raw, f"record {number} is {type(value).__name__}; expected an object")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"'{name}' is no JSON number")


def _array(text: IO[str], path: Path) -> Iterator[dict[str, Any] | Broken]:
    """Decode an array element by element; the buffer holds one block more than the largest element."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    buffer, number = _more(text, _BLOCK, path).lstrip()[1:], 0
    while True:
        buffer = buffer.lstrip()
        if buffer.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(buffer)
            rest = buffer[end:].lstrip()
            if not rest.startswith((",", "]")):
                raise ValueError("expected ',' or ']' after the element")
        except (ValueError, RecursionError) as e:
            more = "" if len(buffer) > MAX_RECORD else _more(text, max(_BLOCK, len(buffer)), path)
            if not more:
                raise PrerequisiteError(
                    f"'{path}' is a JSON array that breaks after record {number}: {e}; mend the "
                    "file or write it as JSON Lines, where one bad record costs one line"
                ) from None
            buffer += more
            continue
        number += 1
        yield _checked(value, number, buffer[:end])
        buffer = rest.removeprefix(",")


def _more(text: IO[str], size: int, path: Path) -> str:
    try:
        return text.read(size)
    except UnicodeDecodeError as e:
        raise PrerequisiteError(f"'{path}' is a JSON array that is not UTF-8 text: {e}") from None
