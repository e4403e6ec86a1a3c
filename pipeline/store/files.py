"""The few file operations that durability rests on, in the order that a power loss cannot undo.

Measured on ext4 (reliability note, section 2.4): fsync of the file, then the new name, then fsync of the folder
keeps the whole file; any other order can leave an empty file under the final name, or lose the name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from pathlib import Path

from pipeline.errors import CorruptStore, PrerequisiteError, Stopped

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNFIT = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def make_folder(path: Path) -> None:
    """Create a folder and its parents, flushed; an existing one is fine."""
    try:
        if path.is_dir():
            return
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
    except OSError as e:
        raise write_failed(path, e) from e
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder's list of names."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Flush a file's content. A failed flush is final for this attempt: Linux may have dropped the pages already."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put_if_absent(path: Path, content: bytes) -> bool:
    """Create a file whole or not at all; return False if the name was taken, whoever took it.

    A hard link refuses an existing name, which rename does not. After an unclear failure the name is read back:
    equal content means that our link did happen (NFS may report the reply of a repeated request).

    Raises:
        Stopped: if the disk is full.
        PrerequisiteError: if the file system has no hard links.
    """
    tmp = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        _write_flushed(tmp, content)
        try:
            os.link(tmp, path)
            won = True
        except FileExistsError:
            won = path.read_bytes() == content
    except OSError as e:
        if e.errno in _NO_LINKS:
            raise PrerequisiteError(
                f"'{path.parent}': the file system refuses hard links ({e.strerror}), which commits rest on; "
                "use a local disk or NFS for the run folder"
            ) from e
        raise write_failed(path, e) from e
    finally:
        tmp.unlink(missing_ok=True)
    sync_folder(path.parent)
    return won


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file in one step, not flushed: for progress files, which a crash may lose."""
    tmp = path.parent / f".{path.name}.{os.getpid()}.tmp"
    tmp.write_bytes(content)
    tmp.replace(path)


def _write_flushed(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_failed(path: Path, e: OSError) -> Stopped | CorruptStore | PrerequisiteError:
    """Turn an operating-system error on writing into one of ours, naming path and free space."""
    if e.errno in _FULL:
        return Stopped(
            f"cannot write '{path}': {e.strerror}; {_free(path)}. What is committed is safe: free some space and run "
            "the same command again"
        )
    if e.errno in _UNFIT:
        return PrerequisiteError(f"cannot write '{path}': {e.strerror}; choose a run folder that can be written")
    return CorruptStore(f"cannot write '{path}': {e.strerror or e}; check the disk, then run the same command again")


def _free(path: Path) -> str:
    try:
        stat = os.statvfs(path.parent)
    except OSError:
        return "free space unknown"
    return f"{stat.f_bavail * stat.f_frsize / 1e6:,.0f} MB free there"
