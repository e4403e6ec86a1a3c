"""The journal: what was finished is found again; a damaged line costs itself only."""

from __future__ import annotations

import os

import pytest

from pipeline.errors import CorruptStore
from pipeline.store.journal import Journal, read_journal


def journal(folder, attempt="one", stem="part-00000"):
    return Journal(folder, stem, attempt)


def filled(folder, attempt="one", keys="abc"):
    made = journal(folder, attempt)
    for key in keys:
        made.append(key, {"text": f"value of {key} é\n\ud800"})
    made.close()
    return folder / f"part-00000-{attempt}.journal"


def test_finished_requests_are_found_by_a_later_process(tmp_path):
    filled(tmp_path)
    again = journal(tmp_path, "two")
    assert len(again) == 3 and again.get("b") == {"text": "value of b é\n\ud800"} and again.get("z") is None


def test_files_of_several_processes_are_read_together(tmp_path):
    filled(tmp_path, "one", "ab")
    filled(tmp_path, "two", "bc")
    assert len(journal(tmp_path, "three")) == 3


def test_journals_of_other_shards_are_left_alone(tmp_path):
    filled(tmp_path)
    other = journal(tmp_path, stem="part-00001")
    other.append("x", 1)
    other.remove()
    assert len(other) == 0 and len(journal(tmp_path)) == 3


def test_nothing_is_created_before_the_first_record(tmp_path):
    made = journal(tmp_path)
    made.sync()
    made.close()
    assert not list(tmp_path.iterdir()) and len(journal(tmp_path / "none")) == 0


def test_a_last_line_cut_at_any_byte_costs_that_record_only(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for end in range(last, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert set(read_journal(path)) == {"a", "b"}
    path.write_bytes(whole[:-1])
    assert set(read_journal(path)) == {"a", "b", "c"}


def test_a_record_appended_after_a_cut_line_by_another_process_is_kept(tmp_path):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    filled(tmp_path, "two", "d")
    assert {k for k in "abcd" if journal(tmp_path, "three").get(k)} == {"a", "b", "d"}


def test_any_flipped_byte_costs_its_own_record_only(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()
    first, second = (i for i, byte in enumerate(whole[:-1]) if byte == 10)
    for at in range(first + 1, second):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert set(read_journal(path)) == {"a", "c"}


@pytest.mark.parametrize("line", [b"", b"x", b"zzzzzzzz 00000000 []", b"00000002 zzzzzzzz []", b"0" * 40])
def test_lines_that_are_no_records_are_skipped(tmp_path, line):
    path = filled(tmp_path)
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert set(read_journal(path)) == {"a", "b", "c"}


def test_the_journals_of_a_committed_shard_are_removed(tmp_path):
    filled(tmp_path, "one")
    mine = journal(tmp_path, "two")
    mine.append("d", 1)
    mine.sync()
    mine.remove()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_reported(tmp_path):
    with pytest.raises(CorruptStore, match="cannot write"):
        journal(tmp_path / "none").append("a", 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_stops_the_run(tmp_path):
    from pipeline.errors import Stopped

    (tmp_path / "part-00000-one.journal").symlink_to("/dev/full")
    made = Journal(tmp_path / "none", "part-00000", "one")
    made._path = tmp_path / "part-00000-one.journal"
    with pytest.raises(Stopped, match="No space left on device"):
        made.append("a", 1)
    made.close()


def test_a_repeated_key_keeps_the_later_value(tmp_path):
    made = journal(tmp_path)
    made.append("a", 1)
    made.append("a", 2)
    made.close()
    assert journal(tmp_path, "two").get("a") == 2


def test_a_journal_that_another_process_removes_after_it_was_listed_holds_nothing(tmp_path):
    (tmp_path / "part-00000-gone.journal").symlink_to(tmp_path / "removed")  # listed, and not there to be read
    kept = Journal(tmp_path, "part-00000", "kept")
    kept.append("key", {"result": 1})
    kept.close()
    assert Journal(tmp_path, "part-00000", "new").get("key") == {"result": 1}
