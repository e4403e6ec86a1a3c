"""`prefmill rows`: rows of a stage as JSON, JSON Lines or Parquet."""

import json

import pyarrow.parquet as pq
import pytest

from tests.support import pair_recipe, prefmill, run, short_recipe, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    assert run(write(folder, pair_recipe()), folder / "run").code == 0
    return folder


def test_the_last_stage_is_shown_unless_one_is_named(folder):
    assert {"chosen", "rejected"} <= set(prefmill("rows", folder / "run").json[0])
    shown = prefmill("rows", folder / "run", "--stage", "responses", "--limit", 2).json
    assert len(shown) == 2 and "chosen" not in shown[0]


@pytest.mark.parametrize("name", ["rows.jsonl", "deep/rows.parquet"])
def test_a_file_holds_all_rows_in_order(folder, tmp_path, name):
    result = prefmill("rows", folder / "run", "--stage", "responses", "--to", tmp_path / name)
    assert result.out == f"6 rows of 'responses' in {tmp_path / name}\n"
    path = tmp_path / name
    read = (
        pq.read_table(path).to_pylist()
        if path.suffix == ".parquet"
        else [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    )
    assert read == prefmill("rows", folder / "run", "--stage", "responses").json
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_limit_holds_for_files_too(folder, tmp_path, name):
    assert prefmill("rows", folder / "run", "--stage", "responses", "--to", tmp_path / name, "--limit", 3).code == 0
    path = tmp_path / name
    assert (pq.read_table(path).num_rows if path.suffix == ".parquet" else len(path.read_text().splitlines())) == 3


def test_an_unknown_stage_is_named_beside_those_there_are(folder):
    result = prefmill("rows", folder / "run", "--stage", "nope")
    assert result.code == 2 and "has no stage 'nope'; its stages: prompts, responses" in result.err


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(folder, tmp_path):
    (tmp_path / "taken").mkdir()
    result = prefmill("rows", folder / "run", "--to", tmp_path / "taken")
    assert result.code == 2 and "cannot be written" in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_stage_without_rows_makes_no_parquet_file(tmp_path):
    recipe = write(tmp_path, short_recipe(context_chars=1))
    assert run(recipe, tmp_path / "run").code == 6
    result = prefmill("rows", tmp_path / "run", "--to", tmp_path / "rows.parquet")
    assert result.code == 2 and "has no rows" in result.err
    assert prefmill("rows", tmp_path / "run", "--to", tmp_path / "rows.jsonl").out.startswith("0 rows")
