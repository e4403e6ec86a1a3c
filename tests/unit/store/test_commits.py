"""Commit records and the stage store on top: one truth per shard, never two fingerprints in one folder."""

from __future__ import annotations

import dataclasses
import json

import pyarrow as pa
import pytest

from pipeline.canonical import digest_of
from pipeline.errors import CorruptStore, ResumeError
from pipeline.plan.fingerprint import Fingerprint
from pipeline.store.commits import EMPTY, CommitRecord, commit, current_records, read_record, record_name
from pipeline.store.run_store import RunStore, StageStore, differences, refuse_changes

PRINT, OTHER = "a" * 64, "b" * 64


def record(shard=0, generation=0, fingerprint=PRINT, **changes):
    fields = {
        "input": EMPTY,
        "rows_in": 2,
        "rows_out": 1,
        "rows_rejected": 1,
        "fan_out": 0,
        "rows_grouped": 0,
        "data": None,
        "rejects": None,
        "rejected_by_code": {"a.b": 1},
        **changes,
    }
    return CommitRecord(shard, generation, fingerprint, **fields)


@pytest.mark.parametrize(
    ("shard", "generation", "name"),
    [(0, 0, "part-00000.json"), (12, 3, "part-00012.g3.json"), (123456, 0, "part-123456.json")],
)
def test_records_are_named_by_shard_and_generation(tmp_path, shard, generation, name):
    made = record(shard, generation)
    assert record_name(shard, generation) == name and commit(tmp_path, made) == made
    assert current_records(tmp_path) == {shard: made}


def test_books_balance_when_each_row_is_somewhere():
    assert record().balances and not record(rows_out=2).balances
    assert record(rows_out=5, fan_out=4).balances and record(rows_out=0, rows_grouped=1).balances
    assert record().content == EMPTY


def test_the_first_attempt_counts(tmp_path):
    first = commit(tmp_path, record(attempt="one"))
    assert commit(tmp_path, record(attempt="two")) == first and first.attempt == "one"


def test_a_record_of_another_fingerprint_is_refused(tmp_path):
    commit(tmp_path, record())
    with pytest.raises(CorruptStore, match="committed under fingerprint aaaaaaaaaaaaaaaa, this run has bbbb"):
        commit(tmp_path, record(fingerprint=OTHER))


def test_the_highest_generation_counts(tmp_path):
    for generation in (0, 10, 2):
        commit(tmp_path, record(generation=generation))
    commit(tmp_path, record(shard=7))
    assert {s: r.generation for s, r in current_records(tmp_path).items()} == {0: 10, 7: 0}


def test_other_names_in_the_folder_are_no_records(tmp_path):
    for name in ("part-00000.json.tmp", ".part-00000.json.x.tmp", "part-1.json", "part-00000.gx.json", "notes"):
        (tmp_path / name).write_text("{}")
    assert current_records(tmp_path) == {} and current_records(tmp_path / "none") == {}


def test_every_flipped_byte_and_every_cut_of_a_record_is_noticed(tmp_path):
    path = tmp_path / record_name(0, 0)
    commit(tmp_path, record())
    good = path.read_bytes()
    damaged = [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in range(len(good) - 1)]
    for bad in [*damaged, *(good[:i] for i in range(len(good) - 1))]:
        path.write_bytes(bad)
        with pytest.raises(CorruptStore, match="cannot be read: .*restore the file, or remove it"):
            read_record(path)


def rewritten(body):
    body.pop("digest")
    return json.dumps({**body, "digest": digest_of(body)})


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.pop("shard"),
        lambda b: b.update(record_version=99),
        lambda b: b.update(more=1),
        lambda b: b.update(data={"name": "x"}),
        lambda b: b.update(data=3),
    ],
)
def test_a_record_of_another_shape_is_refused(tmp_path, change):
    body = json.loads(record().to_bytes())
    change(body)
    (tmp_path / "r").write_text(rewritten(body))
    with pytest.raises(CorruptStore, match="cannot be read"):
        read_record(tmp_path / "r")


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '"x"'])
def test_json_that_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "r").write_text(text)
    with pytest.raises(CorruptStore):
        read_record(tmp_path / "r")


ROWS = pa.table({"id": ["a", "b"]})
NONE = pa.table({"id": pa.array([], pa.string())})


@pytest.fixture
def store(tmp_path):
    made = StageStore(tmp_path / "stage", PRINT)
    made.prepare()
    return made


def test_a_shard_is_written_committed_and_read(store):
    data, rejects = store.write(0, ROWS, NONE)
    made = store.commit_shard(record(data=data, rejects=rejects, rows_out=2, rows_rejected=0))
    assert rejects is None and store.records == {0: made} and made.content == data.sha256
    assert store.read(made) == ROWS and store.read_rejects(made) is None
    assert store.read(record()) is None


def test_the_files_of_the_attempt_that_lost_are_removed(store):
    first = store.commit_shard(record(data=store.write(0, ROWS, NONE)[0]))
    lost, _ = store.write(0, ROWS.slice(1), NONE)
    assert store.commit_shard(record(data=lost)) == first
    assert [p.name for p in store.data.iterdir()] == [first.data.name]


def test_a_foreign_record_in_the_folder_is_never_mixed_in(store):
    commit(store.commits, record(shard=1, fingerprint=OTHER))
    with pytest.raises(CorruptStore, match="rows of two fingerprints are never mixed"):
        _ = store.records


def test_the_last_word_on_the_number_of_shards_counts(store):
    assert store.sealed is None
    for shards in (3, 3, 2, 5):
        store.seal(shards)
        assert store.sealed == shards
    assert sorted(p.name for p in store.folder.glob("sealed*")) == ["sealed.g1.json", "sealed.g2.json", "sealed.json"]


def test_every_flipped_byte_of_a_seal_is_noticed(store):
    store.seal(3)
    path = store.folder / "sealed.json"
    good = path.read_bytes()
    for i in range(len(good) - 1):
        path.write_bytes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
        with pytest.raises(CorruptStore, match="sealed.json' cannot be read"):
            _ = store.sealed


def prints(**documents):
    return {i: Fingerprint(digest_of(d), d) for i, d in documents.items()}


def test_plans_are_appended_and_the_last_one_counts(tmp_path):
    run = RunStore(tmp_path / "run")
    assert not run.exists() and run.latest_plan() is None
    run.prepare()
    first, second = prints(b={"x": 1}, a={"x": 2}), prints(a={"x": 3})
    assert [run.record_plan({"name": "n"}, p).number for p in (first, second)] == [1, 2]
    latest = run.latest_plan()
    assert run.exists() and latest.stages == second and latest.run == {"name": "n"}
    assert run.stage("a", second["a"]) is run.stage("a", second["a"])


def test_the_order_of_stages_is_kept(tmp_path):
    run = RunStore(tmp_path)
    run.prepare()
    run.record_plan({}, prints(z={}, a={}, m={}))
    assert list(run.latest_plan().stages) == ["z", "a", "m"]


def test_a_plan_that_another_process_recorded_meanwhile_is_refused(tmp_path):
    class Late(RunStore):
        """Reads the log as it was a moment ago."""

        def latest_plan(self):
            return None

    run = Late(tmp_path)
    run.prepare()
    run.record_plan({"name": "n"}, prints(a={}))
    with pytest.raises(ResumeError, match="another run recorded plan 1 .* just now; run the command again"):
        run.record_plan({"name": "m"}, prints(a={}))


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-5], lambda raw: raw.replace(b'"x":1', b'"x":2'), lambda raw: b"[]"]
)
def test_a_damaged_plan_is_refused(tmp_path, damage):
    run = RunStore(tmp_path)
    run.prepare()
    run.record_plan({}, prints(a={"x": 1}))
    path = tmp_path / "plans/00001.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptStore, match="plan record .* cannot be read"):
        run.latest_plan()


def test_differences_name_stage_and_field_and_leave_out_what_is_inherited():
    before = prints(a={"x": 1}, b={"upstream": "1"}, c={}, d={"y": 1})
    after = prints(a={"x": 2}, b={"upstream": "2"}, d={"y": 1}, new={})
    assert differences(before, after) == ["stage 'a' changed in x (1 -> 2)", "stage 'c' is no longer in the recipe"]


def test_the_refusal_says_what_would_be_made_again():
    text = str(refuse_changes("n", ["stage 'a' changed in x (1 -> 2)"], 4, ["a", "b"]))
    assert "run 'n' cannot continue as asked: stage 'a' changed in x (1 -> 2). 4 committed shards of a, b" in text


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        record().rows_out = 3
