"""Files and folders of an export: row groups, places taken meanwhile, an old export that must come back."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import CorruptStore, PrerequisiteError
from pipeline.publish.export import export_run
from pipeline.publish.folder import FORMAT, _put, built_aside
from pipeline.publish.splits import SplitWriter, divide

IDS = pa.schema([pa.field("prompt_id", pa.string())])


def ids(*values: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"prompt_id": list(values)}, schema=IDS)


def make_export(folder: Path) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": []}))


def test_a_split_depends_on_the_prompt_alone():
    many = [f"p{i}" for i in range(2000)]
    whole = divide(ids(*many), 0.2)
    assert 330 < whole["test"].num_rows < 470
    alone = {i for i in many if "test" in divide(ids(i), 0.2)}
    assert set(whole["test"]["prompt_id"].to_pylist()) == alone


def test_a_larger_test_fraction_keeps_what_was_test():
    many = ids(*(f"p{i}" for i in range(500)))
    small, large = (set(divide(many, f)["test"]["prompt_id"].to_pylist()) for f in (0.1, 0.3))
    assert small < large


def test_rows_are_written_in_groups_of_some_64_megabytes(tmp_path):
    writer = SplitWriter(tmp_path, "train", IDS)
    for letter in "abc":
        writer.write(ids(letter * 33_000_000))
    done = writer.finish()
    meta = pq.read_metadata(tmp_path / "train-00000-of-00001.parquet")
    assert [meta.row_group(g).num_rows for g in range(meta.num_row_groups)] == [2, 1]
    assert done is not None and done.rows == 3 and done.memory_bytes > 99_000_000


def test_closing_after_a_failure_names_no_file(tmp_path):
    writer = SplitWriter(tmp_path, "train", IDS)
    writer.write(ids("a" * 65_000_000))
    writer.close()
    assert [name.startswith(".train") for name in os.listdir(tmp_path)] == [True]


def test_a_writer_without_rows_leaves_no_file(tmp_path):
    writer = SplitWriter(tmp_path, "train", IDS)
    writer.write(ids())
    assert writer.finish() is None and os.listdir(tmp_path) == []


def test_a_place_taken_while_building_is_left_alone(tmp_path):
    with pytest.raises(PrerequisiteError, match="exists"), built_aside(tmp_path / "out", overwrite=False) as aside:
        (aside / "file").write_text("new")
        make_export(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["manifest.json"]


def test_an_error_while_building_keeps_the_old_export(tmp_path):
    make_export(tmp_path / "out")
    with pytest.raises(ZeroDivisionError), built_aside(tmp_path / "out", overwrite=True):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["out"]


def test_an_old_export_comes_back_if_the_new_one_cannot_take_its_place(tmp_path):
    make_export(tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        _put(tmp_path / ".out.gone.tmp", tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


def test_an_operating_system_error_while_building_names_the_place(tmp_path):
    with (
        pytest.raises(PrerequisiteError, match="cannot write.*out"),
        built_aside(tmp_path / "out", overwrite=False) as aside,
    ):
        (aside / "file").write_text("")
        (aside / "file" / "below").write_text("")
    assert os.listdir(tmp_path) == []


def test_a_record_that_counts_other_rows_than_its_file_is_refused(view, tmp_path):
    records = view.stages["pairs"].store.records
    records[1] = replace(records[1], rows_out=5)
    with pytest.raises(CorruptStore, match="holds 4 rows, its record counts 5"):
        export_run(view, tmp_path / "out")
