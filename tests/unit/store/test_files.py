"""Files that appear whole or not at all, and the texts for disks that refuse."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from pipeline.errors import CorruptStore, PrerequisiteError, Stopped
from pipeline.store.files import (
    make_folder,
    put_if_absent,
    replace_file,
    sha256_of,
    sync_file,
    sync_folder,
    write_failed,
)


def test_the_first_writer_of_a_name_wins(tmp_path):
    path = tmp_path / "a.json"
    assert put_if_absent(path, b"first") is True
    assert put_if_absent(path, b"second") is False and path.read_bytes() == b"first"


def test_equal_content_counts_as_won(tmp_path):
    assert all(put_if_absent(tmp_path / "a", b"same") for _ in range(2))


def test_of_many_writers_at_once_one_wins_and_no_trace_of_the_others_is_left(tmp_path):
    won, barrier = [], threading.Barrier(8)

    def write(i):
        barrier.wait()
        won.append(put_if_absent(tmp_path / "a", b"%d" % i * 10_000))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    _ = [t.start() for t in threads], [t.join() for t in threads]
    assert won.count(True) == 1 and [p.name for p in tmp_path.iterdir()] == ["a"]
    assert len((tmp_path / "a").read_bytes()) == 10_000


def test_an_empty_file_can_be_put(tmp_path):
    assert put_if_absent(tmp_path / "a", b"") and (tmp_path / "a").read_bytes() == b""


def test_a_folder_that_is_not_there_stops_the_write(tmp_path):
    with pytest.raises(CorruptStore, match="No such file or directory"):
        put_if_absent(tmp_path / "none" / "a", b"x")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc, a file system that takes no new files")
def test_a_file_system_that_takes_no_files_is_named():
    with pytest.raises((PrerequisiteError, CorruptStore), match="/proc"):
        make_folder(Path("/proc/prefmill/run"))


def test_folders_are_made_with_their_parents_and_may_exist(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a/b/c").is_dir()


def test_a_folder_in_place_of_which_a_file_stands_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(PrerequisiteError, match="choose a run folder that can be written"):
            make_folder(path)


def test_replacing_leaves_the_new_content_only(tmp_path):
    for content in (b"1", b"2"):
        replace_file(tmp_path / "p.json", content)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("p.json", b"2")]


def test_flushing_and_hashing_work_on_what_is_there(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    sync_file(tmp_path / "a")
    sync_folder(tmp_path)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * 100_000).hexdigest()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_stops_the_run_with_path_and_free_space(tmp_path, number):
    error = write_failed(tmp_path / "a", OSError(number, os.strerror(number)))
    assert isinstance(error, Stopped) and str(tmp_path / "a") in str(error)
    assert "MB free there. What is committed is safe" in str(error)


def test_free_space_of_a_folder_that_is_gone_is_unknown(tmp_path):
    assert "free space unknown" in str(write_failed(tmp_path / "gone" / "a", OSError(errno.ENOSPC, "full")))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ELOOP])
def test_a_place_that_cannot_be_written_is_the_users_to_change(tmp_path, number):
    error = write_failed(tmp_path / "a", OSError(number, os.strerror(number)))
    assert isinstance(error, PrerequisiteError) and os.strerror(number) in str(error)


@pytest.mark.parametrize("e", [OSError(errno.EIO, "Input/output error"), OSError("odd")])
def test_any_other_failure_points_to_the_disk(tmp_path, e):
    error = write_failed(tmp_path / "a", e)
    assert isinstance(error, CorruptStore) and "check the disk" in str(error) and str(e.strerror or e) in str(error)
