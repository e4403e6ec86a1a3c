"""A folder that appears whole or not at all: built beside its final name, flushed, renamed.

An existing folder is replaced only if it is an earlier export and nothing else lies in it.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PrerequisiteError
from pipeline.store.files import make_folder, sync_file, sync_folder, write_failed

FORMAT = "prefmill-export"
MANIFEST = "manifest.json"


def refuse_taken(target: Path, overwrite: bool) -> None:
    """Check that a folder may be written or replaced.

    Raises:
        PrerequisiteError: if something is there that must stay.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        raise PrerequisiteError(f"'{target}' exists; choose another folder, or give --overwrite to replace an export")
    ours = _files_of_export(target)
    if ours is None:
        raise PrerequisiteError(
            f"'{target}' is no export of prefmill (no {MANIFEST} of ours in it), so it is not replaced; choose "
            "another folder"
        )
    foreign = sorted({str(p.relative_to(target)) for p in target.rglob("*") if not p.is_dir() or p.is_symlink()} - ours)
    if foreign:
        raise PrerequisiteError(
            f"'{target}' also holds {len(foreign)} files that no export wrote, such as '{foreign[0]}'; move them away "
            "or choose another folder"
        )


def _files_of_export(target: Path) -> set[str] | None:
    """Return the files that the manifest of an export names, None if it is none."""
    if target.is_symlink():
        return None
    try:
        manifest = json.loads((target / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            return None
        return {str(entry["path"]) for entry in manifest["files"]} | {MANIFEST}
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def built_aside(target: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder beside `target` to fill; at the end it takes the name, on an error it is removed.

    Raises:
        Stopped: if the disk is full.
        PrerequisiteError: if the place cannot be written, or was taken meanwhile.
    """
    make_folder(target.parent)
    aside = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        aside.mkdir()
        yield aside
        _flush(aside)
        refuse_taken(target, overwrite)
        _put(aside, target)
    except OSError as e:
        raise write_failed(target, e) from e
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _flush(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sync_file(path)
        else:
            sync_folder(path)
    sync_folder(folder)


def _put(aside: Path, target: Path) -> None:
    """Rename into place; an earlier export stands aside until then, and comes back if that fails."""
    old = aside.with_suffix(".old")
    if target.exists():
        target.rename(old)
    try:
        aside.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)
