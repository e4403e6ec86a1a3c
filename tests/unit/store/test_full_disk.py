"""A run on a disk that fills up: it stops with exit code 7, says where, and goes on once there is room."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support import prefmill, run, short_recipe, write

QUESTIONS = tuple(f"Question {i}: " + os.urandom(1500).hex() for i in range(400))


@pytest.fixture
def disk(tmp_path):
    """A disk of 3 MB, filled up to about half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        # lazily: pyarrow keeps a file open whose writing failed, until this process ends
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path, disk):
    value = short_recipe(default="Well. {prompt}")
    value["limits"]["shard_rows"] = 50
    recipe = write(tmp_path / "recipe", value, QUESTIONS)
    (disk / "ballast").write_bytes(b"\0" * 1_500_000)
    for _ in range(2):
        result = run(recipe, disk / "run")
        assert result.code == 7 and "Traceback" not in result.err, result.err
        assert str(disk / "run") in result.err and "No space left on device" in result.err
        assert "MB free there. What is committed is safe" in result.err
    (disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    assert run(recipe, disk / "run").code == 0
    assert prefmill("verify", disk / "run").code == 0
    assert prefmill("status", disk / "run", "--json").json["stages"][-1]["rows_out"] == len(QUESTIONS)


def test_a_disk_without_any_room_is_reported_before_anything_is_written(tmp_path, disk):
    recipe = write(tmp_path / "recipe", short_recipe())
    (disk / "run").mkdir()
    with open(disk / "ballast", "wb") as ballast:
        try:
            while True:
                os.write(ballast.fileno(), b"\0" * 4096)
        except OSError:
            pass
    result = run(recipe, disk / "run")
    assert result.code == 7 and "Traceback" not in result.err and "No space left" in result.err


def test_a_disk_that_is_read_only_is_refused(tmp_path, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    result = run(write(tmp_path / "recipe", short_recipe()), disk / "run")
    assert result.code == 2 and "Read-only file system; choose a run folder that can be written" in result.err
