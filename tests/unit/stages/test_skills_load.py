import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.api import PrerequisiteError, Reject
from stages.sources.load_skills import LoadSkills, LoadSkillsConfig

RELEASED = Path(__file__).parents[4] / "shared/data/methods_annotation/skillmix_sda_k2_1k_skills_and_query_types.json"


def stage(folder, files):
    return LoadSkills(LoadSkillsConfig(files=files, base_folder=str(folder)))


def read(source):
    found = [item for part in source.partitions() for item in source.read(part)]
    rows = [row for item in found if not isinstance(item, Reject) for row in item.to_pylist()]
    return rows, [(r.code, r.row) for r in found if isinstance(r, Reject)]


def test_a_text_file_holds_one_name_a_line(tmp_path):
    (tmp_path / "s.txt").write_bytes("\ufeffWeighing trade-offs\r\n\r\n  how-to \nCaf\u00e9 tricks".encode())
    rows, rejects = read(stage(tmp_path, "s.txt"))
    assert [(r["kind"], r["name"], r["raw"]) for r in rows] == [
        ("skill", "weighing_trade_offs", "Weighing trade-offs"),
        ("skill", "how_to", "how-to"),
        ("skill", "cafe_tricks", "Caf\u00e9 tricks"),
    ]
    assert not rejects and rows[0]["definition"] is None and rows[0]["examples"] == []


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_records_keep_definition_examples_topic_and_raw(tmp_path, ending):
    full = {"name": "how_to", "raw": "How to?", "topic": "t", "definition": " Steps. ", "examples": ["E"]}
    records = [full | {"kind": "query_type"}, {"name": "Sail"}]
    path = tmp_path / f"s.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text(json.dumps(records) if ending == "json" else "\n".join(map(json.dumps, records)), "utf-8")
    rows, rejects = read(stage(tmp_path, path.name))
    assert rows[0] == full | {"kind": "query_type", "definition": "Steps."} and not rejects
    assert rows[1] == {
        "kind": "skill",
        "topic": None,
        "name": "sail",
        "raw": "Sail",
        "definition": None,
        "examples": [],
    }


def test_each_file_may_have_a_kind_of_its_own(tmp_path):
    (tmp_path / "a.txt").write_text("weighing\n", "utf-8")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b.txt").write_text("A nurse\n", "utf-8")
    source = stage(tmp_path, ["a.txt", {"path": "more", "kind": "persona"}])
    assert list(source.partitions()) == ["a.txt", "more/b.txt"]
    assert [(r["kind"], r["name"]) for r in read(source)[0]] == [("skill", "weighing"), ("persona", "a_nurse")]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"name": None}, "source.bad_name"),
        ({"name": 7}, "source.bad_name"),
        ({"name": " - "}, "source.bad_name"),
        ({"name": "x" * 1001}, "source.bad_name"),
        ({"other": "x"}, "source.bad_name"),
        ({"name": "x", "kind": "topic"}, "source.bad_record"),
        ({"name": "x", "definition": 1}, "source.bad_record"),
        ({"name": "x", "examples": ["a", 1]}, "source.bad_record"),
        ({"name": "x\ud800"}, "source.bad_text"),
        ({"name": "x", "examples": ["\ud800"]}, "source.bad_text"),
    ],
)
def test_a_bad_record_is_rejected_with_what_it_held(tmp_path, record, code):
    (tmp_path / "s.jsonl").write_text(json.dumps({"name": "good"}) + "\n" + json.dumps(record) + "\n", "ascii")
    rows, ((found, evidence),) = read(stage(tmp_path, "s.jsonl"))
    assert [r["name"] for r in rows] == ["good"] and found == code and evidence.keys() == record.keys()


def test_bytes_that_are_not_text_cost_their_line(tmp_path):
    (tmp_path / "s.txt").write_bytes(b"one\n\xff\xfe\nthree\n")
    rows, rejects = read(stage(tmp_path, "s.txt"))
    assert [r["name"] for r in rows] == ["one", "three"]
    assert rejects == [("source.bad_text", {"file": "s.txt", "line": 2, "raw": "\ufffd\ufffd\n"})]


def test_parquet_bytes_that_are_not_text_cost_their_record(tmp_path):
    names = pa.array([b"one", b"\xff"]).view(pa.string())
    pq.write_table(pa.table({"name": names}), tmp_path / "s.parquet")
    rows, rejects = read(stage(tmp_path, "s.parquet"))
    assert [r["name"] for r in rows] == ["one"] and [code for code, _ in rejects] == ["source.bad_text"]


def test_the_digest_follows_the_content(tmp_path):
    (tmp_path / "s.txt").write_text("one\n", "utf-8")
    before = stage(tmp_path, "s.txt").digest()
    assert stage(tmp_path, ["s.txt"]).digest() == before
    (tmp_path / "s.txt").write_text("two\n", "utf-8")
    assert stage(tmp_path, "s.txt").digest() != before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.txt", None, "is not there"),
        ("s.txt", b"\n \n", "holds no names"),
        ("s.csv", b"x", "ending '.csv'"),
        ("s.jsonl", b'{"skill": "x"}\n', "no column 'name'"),
    ],
)
def test_an_input_that_cannot_be_used_is_said_before_the_run(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PrerequisiteError, match=said):
        stage(tmp_path, name).digest()


@pytest.mark.parametrize(
    ("column", "values", "said"), [("title", ["x"], "no column 'name'"), ("name", [1], "has type int64")]
)
def test_parquet_columns_are_checked_before_the_run(tmp_path, column, values, said):
    pq.write_table(pa.table({column: values}), tmp_path / "s.parquet")
    with pytest.raises(PrerequisiteError, match=said):
        stage(tmp_path, "s.parquet").digest()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a.txt", "a.txt"], "more than once: a.txt"),
        ([], "at least 1"),
        ([{"path": "a", "kind": "topic"}], "skill"),
        (7, "tuple"),
    ],
)
def test_files_that_make_no_sense_are_refused(files, said):
    with pytest.raises(ValidationError, match=said):
        LoadSkillsConfig(files=files)


def test_the_released_names_load_without_a_reject(tmp_path):
    if not RELEASED.exists():
        pytest.skip("the released skill names are not there")
    released = json.loads(RELEASED.read_text("utf-8"))
    (tmp_path / "skills.txt").write_text("\n".join(released["skills"]), "utf-8")
    (tmp_path / "types.txt").write_text("\n".join(released["query_type_counts"]), "utf-8")
    rows, rejects = read(stage(tmp_path, ["skills.txt", {"path": "types.txt", "kind": "query_type"}]))
    assert not rejects and sum(r["kind"] == "skill" for r in rows) == len(released["skills"])
    assert sum(r["kind"] == "query_type" for r in rows) == len(released["query_type_counts"])


def test_a_long_list_is_read_in_batches(tmp_path):
    (tmp_path / "long.txt").write_text("\n".join(f"skill number {i}" for i in range(2500)), "utf-8")
    source = stage(tmp_path, "long.txt")
    sizes = [batch.num_rows for part in source.partitions() for batch in source.read(part)]
    assert sum(sizes) == 2500 and max(sizes) < 2500
