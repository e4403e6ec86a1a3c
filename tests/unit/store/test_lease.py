"""One writer at a time, told by whom, and free again when the process has ended however it ended."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.errors import PrerequisiteError, Stopped
from pipeline.store.lease import run_lease

HOLD = """
import sys, pathlib
from pipeline.store.lease import run_lease
with run_lease(pathlib.Path(sys.argv[1]), "2026-01-01T00:00:00"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_a_second_process_is_refused_with_the_first_one_named(tmp_path, holder):
    expected = f"process {holder.pid} on .*, started 2026-01-01T00:00:00. This run stops here"
    with pytest.raises(Stopped, match=expected), run_lease(tmp_path, "now"):
        raise AssertionError("both hold it")


def test_a_killed_process_leaves_no_lease_behind(tmp_path, holder):
    holder.kill()
    holder.wait()
    with run_lease(tmp_path, "now"):
        assert str(os.getpid()) in (tmp_path / "run.lock").read_text()


def test_the_lease_is_free_after_the_block_even_if_it_failed(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), run_lease(tmp_path, "now"):
            raise KeyError


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json"])
def test_an_owner_that_cannot_be_read_is_another_process(tmp_path, text):
    with run_lease(tmp_path, "now"):
        (tmp_path / "run.lock").write_text(text)
        with pytest.raises(Stopped, match="is being written by another process"), run_lease(tmp_path, "now"):
            raise AssertionError("both hold it")


def test_a_folder_in_place_of_the_lock_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrerequisiteError, match="cannot write"), run_lease(tmp_path / "file", "now"):
        raise AssertionError("cannot be held")
