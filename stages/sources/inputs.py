"""Find the files of an input, say what identifies them, and check their columns before a run.

Three shapes: a file, a folder of files of one kind, a folder written by `datasets.save_to_disk`. Checks read headers
and the first records only; hashing reads the bytes once, in blocks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.api import PrerequisiteError
from stages.sources.arrowfiles import InputFile, Kind, arrow_batches, arrow_schema
from stages.sources.jsonfiles import Broken, read_records

_KINDS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
}
_SAMPLE = 100


def find_files(path: Path, split: str | None, endings: Mapping[str, Kind] = _KINDS) -> list[InputFile]:
    """Return the files of an input, sorted by name; `endings` names the kinds of file that are looked for.

    Raises:
        PrerequisiteError: if there is no file that can be read, or files of several kinds.
    """
    if path.is_file():
        return [InputFile(path.name, path, _kind_of(path, endings))]
    if not path.is_dir():
        raise PrerequisiteError(
            f"input '{path}' is not there; give an existing file or folder (a relative path is "
            "taken from the recipe's folder)"
        )
    if (path / "dataset_dict.json").is_file():
        path = _split_folder(path, split)
        split = None
    names = _saved_files(path) if (path / "state.json").is_file() else _data_files(path, split, endings)
    files = [InputFile(name, path / name, _kind_of(path / name, endings)) for name in names]
    kinds = sorted({f.kind for f in files})
    if len(kinds) != 1:
        found = f"files of several kinds ({', '.join(kinds)})" if kinds else f"no {_listed_endings(endings)} file"
        of = f" of split '{split}'" if split else ""
        raise PrerequisiteError(f"input folder '{path}' holds {found}{of}; expected files of one kind")
    return files


def _listed_endings(endings: Mapping[str, Kind]) -> str:
    *names, last = (e for e in endings if e not in (".ndjson", ".arrow"))
    return f"{', '.join(names)} or {last}"


def _kind_of(path: Path, endings: Mapping[str, Kind]) -> Kind:
    found = next((kind for ending, kind in endings.items() if path.name.endswith(ending)), None)
    if found is None:
        raise PrerequisiteError(f"input '{path}' has the ending '{path.suffix}'; expected one of {', '.join(endings)}")
    return found


def _split_folder(path: Path, split: str | None) -> Path:
    splits = _listed(path / "dataset_dict.json", "splits")
    if split is None or split not in splits:
        raise PrerequisiteError(
            f"input folder '{path}' holds the splits {', '.join(splits)}; expected 'split' to name one, got {split!r}"
        )
    return path / split


def _saved_files(path: Path) -> list[str]:
    return [entry["filename"] for entry in _listed(path / "state.json", "_data_files")]


def _listed(path: Path, key: str) -> list[Any]:
    try:
        listed: list[Any] = json.loads(path.read_text("utf-8"))[key]
        return listed
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise PrerequisiteError(f"'{path}' is not what datasets.save_to_disk writes: {e!r}") from None


def _data_files(path: Path, split: str | None, endings: Mapping[str, Kind]) -> list[str]:
    wanted_endings = tuple(e for e in endings if e != ".arrow")
    names = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.name.endswith(wanted_endings))
    names = [n for n in names if Path(n).name not in ("dataset_info.json", "dataset_infos.json")]
    if split is None:
        return names
    wanted = re.compile(rf"(^|/){re.escape(split)}([-_.0-9/]|$)")
    return [n for n in names if wanted.search(n)]


def file_digest(file: InputFile) -> list[str]:
    """Return name and SHA-256 of a file.

    Raises:
        PrerequisiteError: if it cannot be read.
    """
    try:
        with file.path.open("rb") as f:
            return [file.name, hashlib.file_digest(f, "sha256").hexdigest()]
    except OSError as e:
        raise PrerequisiteError(f"input '{file.path}' cannot be read: {e.strerror}") from None


def has_rows(file: InputFile) -> bool:
    """Return whether a file holds any record."""
    if file.kind == "parquet":
        return bool(pq.read_metadata(file.path).num_rows)
    if file.kind == "arrow":
        return any(batch.num_rows for batch in arrow_batches(file, arrow_schema(file).names[:1]))
    with closing(read_records(file.path)) as records:
        return next(records, None) is not None


def check_json_column(file: InputFile, column: str) -> None:
    """Look at the first records for the prompt column.

    Raises:
        PrerequisiteError: if it is in none of them, or holds neither text nor a list in any.
    """
    with closing(read_records(file.path)) as records:
        sample = [r for r in islice(records, _SAMPLE) if not isinstance(r, Broken)]
    values = [r[column] for r in sample if r.get(column) is not None]
    if sample and not any(column in r for r in sample):
        found = sorted({name for r in sample for name in r})
        raise PrerequisiteError(
            f"input '{file.path}' has no column '{column}' in its first {len(sample)} records; found {', '.join(found)}"
        )
    if values and not any(isinstance(v, str | list) for v in values):
        raise PrerequisiteError(
            f"column '{column}' of input '{file.path}' holds {type(values[0]).__name__}; expected "
            "text or lists of messages"
        )
