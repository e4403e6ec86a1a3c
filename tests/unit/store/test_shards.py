"""Parquet shards: named by content, checked when read."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import CorruptStore
from pipeline.store.files import sha256_of
from pipeline.store.shards import read_batches, read_shard, write_shard

TABLE = pa.table({"id": [f"{i:032x}" for i in range(500)], "text": [f"text {i}" * 20 for i in range(500)]})


@pytest.fixture
def ref(tmp_path):
    return write_shard(tmp_path, "part-00000", TABLE)


def test_a_file_is_named_by_its_content_and_reads_back_equal(tmp_path, ref):
    assert ref.sha256 == sha256_of(tmp_path / ref.name) and ref.name == f"part-00000-{ref.sha256[:16]}.parquet"
    assert (ref.rows, ref.bytes) == (500, (tmp_path / ref.name).stat().st_size)
    assert read_shard(tmp_path, ref) == TABLE and read_shard(tmp_path, ref, ["id"]) == TABLE.select(["id"])


def test_equal_tables_give_one_file_and_other_tables_others(tmp_path, ref):
    assert write_shard(tmp_path, "part-00000", TABLE.slice(0)) == ref
    other = write_shard(tmp_path, "part-00000", TABLE.slice(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([ref.name, other.name])


def test_a_table_of_several_chunks_gives_the_same_file(tmp_path, ref):
    chunked = pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7)])
    assert write_shard(tmp_path, "part-00000", chunked.combine_chunks()) == ref


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'part-00000' has no rows"):
        write_shard(tmp_path, "part-00000", TABLE.slice(0, 0))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_reported_and_leaves_nothing(tmp_path):
    with pytest.raises(CorruptStore, match="cannot write"):
        write_shard(tmp_path / "none", "part-00000", TABLE)


def test_checksums_and_a_page_index_are_written(tmp_path, ref):
    column = pq.ParquetFile(tmp_path / ref.name).metadata.row_group(0).column(0)
    assert column.has_offset_index and column.has_column_index and column.compression == "ZSTD"


def read(folder, ref):
    return list(read_batches(folder, ref, None, 100))


@pytest.mark.parametrize("reader", [read_shard, read])
@pytest.mark.parametrize("cut", [0, 3, 1000, -1, -9])
def test_a_truncated_file_is_reported(tmp_path, ref, reader, cut):
    path = tmp_path / ref.name
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorruptStore, match=f"{ref.name}' cannot be read: "):
        reader(tmp_path, ref)


@pytest.mark.parametrize("reader", [read_shard, read])
def test_a_missing_file_is_reported(tmp_path, ref, reader):
    (tmp_path / ref.name).unlink()
    with pytest.raises(CorruptStore, match="it is missing. Nothing was changed; 'prefmill verify'"):
        reader(tmp_path, ref)


def pages(path):
    """Byte ranges of the data pages of all columns."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    for i in range(group.num_columns):
        column = group.column(i)
        first = column.dictionary_page_offset or column.data_page_offset
        yield first, first + column.total_compressed_size


def test_a_flipped_bit_in_any_page_is_reported(tmp_path, ref):
    path = tmp_path / ref.name
    good = path.read_bytes()
    for start, end in pages(path):
        for at in range(start + 60, end, max(1, (end - start) // 7)):
            bad = bytearray(good)
            bad[at] ^= 4
            path.write_bytes(bad)
            with pytest.raises(CorruptStore):
                read_shard(tmp_path, ref)


def test_batches_are_bounded_and_in_order(tmp_path, ref):
    batches = list(read_batches(tmp_path, ref, ["id"], 64))
    assert all(b.num_rows <= 64 for b in batches)
    assert pa.Table.from_batches(batches)["id"].to_pylist() == TABLE["id"].to_pylist()


def test_a_column_that_is_not_there_is_reported_or_left_out(tmp_path, ref):
    assert read_shard(tmp_path, ref, ["none"]).num_columns == 0


def test_a_reference_is_frozen(ref):
    with pytest.raises(dataclasses.FrozenInstanceError):
        ref.name = "x"
