"""A store sees what other processes commit, reading only what is new."""

from __future__ import annotations

import pytest

from pipeline.errors import CorruptStore
from pipeline.store.commits import CommitRecord
from pipeline.store.run_store import StageStore


def record(shard, generation=0, fingerprint="f"):
    return CommitRecord(shard, generation, fingerprint, "empty", 0, 0, 0, 0, 0, None, None)


@pytest.fixture
def pair(tmp_path):
    """Return two stores of one folder, as two processes have them."""
    one, two = StageStore(tmp_path, "f"), StageStore(tmp_path, "f")
    one.prepare()
    assert two.records == {}
    return one, two


def test_a_refresh_finds_new_records_and_later_generations(pair):
    one, two = pair
    one.commit_shard(record(3))
    assert two.records == {} and list(two.refresh()) == [3]
    one.commit_shard(record(3, 1))
    two.refresh()
    assert two.records[3].generation == 1


def test_a_refresh_reads_no_record_twice(pair):
    one, two = pair
    one.commit_shard(record(0))
    two.refresh()
    (two.commits / "part-00000.json").write_text("damaged since")
    one.commit_shard(record(1))
    assert sorted(two.refresh()) == [0, 1]


def test_one_shard_is_looked_up_without_a_listing(pair):
    one, two = pair
    one.commit_shard(record(0))
    one.commit_shard(record(5))
    one.commit_shard(record(5, 1))
    two.refresh_shard(5)
    two.refresh_shard(6)
    assert {s: r.generation for s, r in two.records.items()} == {5: 1}


def test_a_record_of_another_fingerprint_is_refused_whenever_it_comes(pair):
    one, two = pair
    StageStore(one.folder, "g").commit_shard(record(0, fingerprint="g"))
    with pytest.raises(CorruptStore, match="never mixed"):
        two.refresh()
