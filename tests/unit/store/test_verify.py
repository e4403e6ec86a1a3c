"""A run folder opened and checked: a sound one passes, and every kind of damage is found and named."""

from __future__ import annotations

import dataclasses
import re
import shutil

import pyarrow as pa
import pytest

from pipeline.errors import CorruptStore, PrerequisiteError
from pipeline.store.commits import record_name
from pipeline.store.manifest import open_run
from pipeline.store.shards import write_shard
from pipeline.store.verify import verify
from tests.support import changed, pair_recipe, prefmill, run, write

COMMITTED = ("data", "rejects", "commits")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run in which the policy refuses the longest prompt and one pair is a reject."""
    folder = tmp_path_factory.mktemp("made")
    value = changed(pair_recipe(), "engines.policy.context_chars", 25)
    assert run(write(folder, value), folder / "run").code == 6
    return folder / "run"


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def problems(folder):
    return verify(open_run(folder))


def one(folder, pattern):
    return min(folder.glob(f"stages/{pattern}"))


def committed(folder):
    return sorted(p for p in folder.glob("stages/*/*/**/*") if p.is_file())


def test_a_sound_run_has_no_problems(folder):
    assert problems(folder) == []
    assert {p.parent.name for p in committed(folder)} >= set(COMMITTED)


def test_a_flipped_byte_is_found_in_every_file(folder):
    for path in committed(folder):
        good = path.read_bytes()
        for at in (0, len(good) // 2, len(good) - 2):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            found = problems(folder)
            assert found, path
            assert any(path.name in line for line in found)
        path.write_bytes(good)


def test_a_missing_file_is_found_wherever_it_was(folder):
    for path in committed(folder):
        good = path.read_bytes()
        path.unlink()
        found = problems(folder)
        assert found and all(line.startswith("stage '") for line in found), path
        path.write_bytes(good)


def test_a_file_of_another_size_is_found(folder):
    path = one(folder, "prompts/*/data/*.parquet")
    path.write_bytes(path.read_bytes() + b"x")
    assert any(re.search(r"has \d+ bytes, \d+ were written", line) for line in problems(folder))


def test_a_missing_record_is_found_by_its_number(folder):
    one(folder, "reward/*/commits/part-00001.json").unlink()
    assert "stage 'reward': sealed with 2 shards, records are missing for [1]" in problems(folder)


def test_a_stage_without_a_seal_is_unfinished(folder):
    one(folder, "pairs/*/sealed.json").unlink()
    assert problems(folder) == [
        "stage 'pairs': not finished: 2 shards committed, the number of shards is not known yet"
    ]
    assert not open_run(folder).finished


def recommit(folder, stage_id, shard=0, table=None, **changes):
    """Put a record in place of another, with a digest that fits, as a program with a bug would write it."""
    stage = open_run(folder).stages[stage_id]
    record = stage.store.records[shard]
    if table is not None:
        changes["data"] = write_shard(stage.store.data, f"part-{shard:05d}", table)
        changes.setdefault("rows_out", table.num_rows)
    path = stage.store.commits / record_name(shard, record.generation)
    path.write_bytes(dataclasses.replace(record, **changes).to_bytes())


def rows_of(folder, stage_id, shard=0):
    store = open_run(folder).stages[stage_id].store
    return store.read(store.records[shard])


def test_counts_that_do_not_add_up_are_found(folder):
    recommit(folder, "prompts", rows_in=9)
    recommit(folder, "reward", rows_out=1, rows_rejected=1)
    found = "\n".join(problems(folder))
    assert "stage 'prompts': shard 0: the books do not balance" in found
    assert "stage 'reward': shard 0: the record counts 1 rows, its file reference 2" in found


def test_repeated_ids_are_found_across_shards(folder):
    first, second = rows_of(folder, "pairs", 0), rows_of(folder, "pairs", 1)
    recommit(folder, "pairs", 1, pa.concat_tables([second, first]))
    assert any("shard 1: 1 ids are not unique" in line for line in problems(folder))


def test_an_input_row_without_outcome_is_found(folder):
    table = rows_of(folder, "strong_lp")
    recommit(folder, "strong_lp", 0, table.slice(1), rows_in=table.num_rows - 1)
    assert any("stage 'strong_lp': shard 0: 1 input rows unaccounted for, 0 unknown" in p for p in problems(folder))


def test_a_row_that_comes_from_nowhere_is_found(folder):
    table = rows_of(folder, "strong_lp")
    made_up = table.slice(0, 1).set_column(0, "id", pa.array(["f" * 32]))
    recommit(folder, "strong_lp", 0, pa.concat_tables([table, made_up]), rows_in=table.num_rows + 1)
    assert any("0 input rows unaccounted for, 1 unknown" in p for p in problems(folder))


def test_a_shard_made_from_other_input_is_found(folder):
    recommit(folder, "responses", 0, input="0" * 64)
    assert any("shard 0: made from input 0000000000000000, the input is now" in p for p in problems(folder))


def test_a_reject_without_a_code_is_found(folder):
    stage = open_run(folder).stages["responses"]
    record = next(r for r in stage.records if r.rejects)
    table = stage.store.read_rejects(record)
    blank = table.set_column(3, "code", pa.nulls(table.num_rows, pa.string()))
    recommit(folder, "responses", record.shard, rejects=write_shard(stage.store.rejects, "part-00000", blank))
    assert any("rejects without a code" in p for p in problems(folder))


def test_the_command_lists_the_problems_and_ends_with_8(folder):
    assert prefmill("verify", folder).out.startswith("ok: 12 shards of 6 stages")
    one(folder, "pairs/*/data/*.parquet").write_bytes(b"x")
    result = prefmill("verify", folder)
    assert result.code == 8 and "has 1 bytes" in result.out and "nothing was changed" in result.err


def test_a_damaged_run_is_not_continued_over_the_damage(folder):
    one(folder, "prompts/*/data/*.parquet").write_bytes(b"x")
    one(folder, "responses/*/commits/part-00000.json").unlink()
    result = run(folder.parent / "recipe.yaml", folder)
    assert result.code != 0 and "Traceback" not in result.err


def test_a_view_shows_counts_columns_rows_and_rejects(folder):
    view = open_run(folder)
    responses = view.stages["responses"]
    assert (view.name, view.finished, view.rejected) == ("small", True, 1)
    assert (responses.rows_in, responses.rows_out, responses.upstream, responses.sealed) == (3, 4, "prompts", 2)
    assert dict(responses.rejects_by_code) == {"engine.context_exceeded": 1} and "response" in responses.columns
    assert sum(t.num_rows for t in responses.tables(["id"])) == 4
    assert sum(t.num_rows for t in responses.reject_tables()) == 1


def test_a_run_is_opened_by_path_or_by_name(folder, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    folder.rename(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    assert open_run("mine").name == open_run(tmp_path / "runs/mine").name == "small"
    with pytest.raises(PrerequisiteError, match="no run at 'other' nor at 'runs/other'; runs under 'runs': mine"):
        open_run("other")


def test_where_no_run_is_none_is_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PrerequisiteError, match="runs under 'runs': none"):
        open_run("x")


def test_a_run_with_a_damaged_plan_is_not_opened(folder):
    (folder / "plans/00001.json").write_text("{}")
    with pytest.raises(CorruptStore, match=re.escape("plan record '")):
        open_run(folder)
