import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.api import MESSAGES, PrerequisiteError, Reject
from stages.sources import jsonfiles, load_prompts
from stages.sources.load_prompts import LoadPrompts, LoadPromptsConfig


@pytest.fixture
def source(tmp_path):
    def build(path="in.jsonl", **config):
        return LoadPrompts(LoadPromptsConfig(path=path, base_folder=str(tmp_path), **config))

    return build


def write_lines(path, *records):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), "utf-8")


def read(stage):
    """Check the input as the planner does, then return all rows and rejects."""
    stage.digest()
    items = [item for part in stage.partitions() for item in stage.read(part)]
    rows = [row for item in items if not isinstance(item, Reject) for row in item.to_pylist()]
    return rows, [item for item in items if isinstance(item, Reject)]


def user(text):
    return [{"role": "user", "content": text}]


def prompts(stage):
    return [row["prompt"][-1]["content"] for row in read(stage)[0]]


def refused(action):
    with pytest.raises(PrerequisiteError) as caught:
        action()
    return str(caught.value)


class TestJson:
    def test_text_and_messages_become_messages(self, source, tmp_path):
        talk = [{"role": "system", "content": "Rhyme."}, *user("Why?")]
        write_lines(tmp_path / "in.jsonl", {"prompt": "Why?"}, {"prompt": talk})
        stage = source()
        assert read(stage)[0] == [{"prompt": user("Why?")}, {"prompt": talk}]
        assert stage.outputs == pa.schema([("prompt", MESSAGES)])

    def test_kept_columns_have_the_declared_types(self, source, tmp_path):
        kinds = {"s": "string", "i": "int", "f": "float", "b": "bool", "l": "list<string>"}
        good = {"prompt": "a", "s": "x", "i": 1, "f": 2, "b": True, "l": ["y"]}
        write_lines(
            tmp_path / "in.jsonl",
            good,
            {"prompt": "b"},
            good | {"i": True},
            good | {"f": "1"},
            good | {"l": "y"},
            good | {"i": 2**63},
            good | {"s": "\ud800"},
        )
        rows, rejects = read(source(keep_columns=kinds))
        assert [r["f"] for r in rows] == [2.0, None] and rows[0]["l"] == ["y"]
        assert [r.code for r in rejects] == ["source.bad_record"] * 4 + ["source.bad_text"]
        assert rejects[0].message == "column 'i' holds a boolean; expected int"

    @pytest.mark.parametrize(
        ("record", "code"),
        [
            ("nonsense", "source.bad_record"),
            ("[]", "source.bad_record"),
            ('{"prompt": NaN}', "source.bad_record"),
            ("[" * 200_000, "source.bad_record"),
            ({}, "source.empty_prompt"),
            ({"prompt": None}, "source.empty_prompt"),
            ({"prompt": ""}, "source.empty_prompt"),
            ({"prompt": " \n\t "}, "source.empty_prompt"),
            ({"prompt": []}, "source.empty_prompt"),
            ({"prompt": [{"role": "user", "content": "  "}]}, "source.empty_prompt"),
            ({"prompt": 7}, "source.bad_messages"),
            ({"prompt": {"role": "user"}}, "source.bad_messages"),
            ({"prompt": [{"role": "user"}]}, "source.bad_messages"),
            ({"prompt": [{"role": "robot", "content": "x"}]}, "source.bad_messages"),
            ({"prompt": [{"role": "assistant", "content": "x"}]}, "source.bad_messages"),
            ({"prompt": "\ud800"}, "source.bad_text"),
            ({"prompt": [{"role": "user", "content": "\udc80"}]}, "source.bad_text"),
        ],
    )
    def test_a_bad_record_is_rejected_alone(self, source, tmp_path, record, code):
        write_lines(tmp_path / "in.jsonl", {"prompt": "good"}, record)
        rows, (reject,) = read(source())
        assert len(rows) == 1 and reject.code == code
        json.dumps(reject.row, ensure_ascii=False).encode("utf-8")

    def test_bytes_that_are_not_utf8_reject_the_line(self, source, tmp_path):
        (tmp_path / "in.jsonl").write_bytes(b'{"prompt": "good"}\n{"prompt": "\xff"}\n')
        _, (reject,) = read(source())
        assert reject.code == "source.bad_record" and reject.row["raw"] == '{"prompt": "\ufffd"}\n'

    def test_byte_order_mark_blank_lines_and_a_missing_last_newline(self, source, tmp_path):
        (tmp_path / "in.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n{"prompt": "b"}')
        assert prompts(source()) == ["a", "b"]

    def test_nul_and_direction_marks_are_kept(self, source, tmp_path):
        write_lines(tmp_path / "in.jsonl", {"prompt": "a\0b\u202ec"})
        assert prompts(source()) == ["a\0b\u202ec"]

    def test_a_prompt_of_ten_megabytes_passes(self, source, tmp_path):
        write_lines(tmp_path / "in.jsonl", {"prompt": "x" * 10_000_000})
        assert len(prompts(source())[0]) == 10_000_000

    def test_a_line_beyond_the_limit_is_rejected_and_the_next_one_read(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(jsonfiles, "MAX_RECORD", 100)
        write_lines(tmp_path / "in.jsonl", {"prompt": "a"}, {"prompt": "x" * 350}, {"prompt": "b"})
        rows, (reject,) = read(source())
        assert len(rows) == 2 and "over 100 bytes" in reject.message and reject.row["line"] == 2

    def test_rows_come_in_batches(self, source, tmp_path):
        write_lines(tmp_path / "in.jsonl", *({"prompt": f"p{i}"} for i in range(2500)))
        assert [b.num_rows for b in source().read("in.jsonl")] == [1000, 1000, 500]

    def test_long_prompts_come_in_smaller_batches(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(load_prompts, "_BATCH_CHARACTERS", 100)
        write_lines(tmp_path / "in.jsonl", *({"prompt": "x" * 60} for _ in range(5)))
        assert [b.num_rows for b in source().read("in.jsonl")] == [2, 2, 1]

    @pytest.mark.parametrize("value", ["", "  ", None, True, 1.5, "x" * 201, ["a"], "\ud800"])
    def test_an_id_must_be_text_or_a_whole_number(self, source, tmp_path, value):
        write_lines(
            tmp_path / "in.jsonl",
            {"prompt": "a", "key": "k1"},
            {"prompt": "b", "key": 12},
            {"prompt": "c", "key": value},
        )
        rows, (reject,) = read(source(id_column="key"))
        assert [r["id"] for r in rows] == ["k1", "12"]
        assert reject.code == ("source.bad_text" if value == "\ud800" else "source.bad_id")

    def test_an_array_is_read_element_by_element(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(jsonfiles, "_BLOCK", 7)
        records = [{"prompt": f"p{i} ü", "n": [i]} for i in range(50)]
        (tmp_path / "in.json").write_text(" [ " + " ,\n".join(map(json.dumps, records)) + " ] ", "utf-8")
        assert prompts(source("in.json")) == [r["prompt"] for r in records]

    def test_an_element_that_is_no_object_is_rejected(self, source, tmp_path):
        (tmp_path / "in.json").write_text('[{"prompt": "a"}, 12, "x"]', "utf-8")
        rows, rejects = read(source("in.json"))
        assert len(rows) == 1 and [r.message for r in rejects] == [
            "record 2 is int; expected an object",
            "record 3 is str; expected an object",
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b'[{"prompt": "a"}, {"prom', "breaks after record 1"),
            (b'[{"prompt": "a"} {}]', "breaks after record 0"),
            (b'[{"prompt": "\xff"}]', "not UTF-8"),
        ],
    )
    def test_a_broken_array_ends_the_run_before_it_starts(self, source, tmp_path, text, said):
        (tmp_path / "in.json").write_bytes(text)
        assert said in refused(source("in.json").digest)

    def test_a_json_file_may_hold_lines(self, source, tmp_path):
        write_lines(tmp_path / "in.json", {"prompt": "a"}, {"prompt": "b"})
        assert prompts(source("in.json")) == ["a", "b"]


class TestArrow:
    def write(self, path, **columns):
        pq.write_table(pa.table(columns), path)

    def test_kept_columns_take_their_types_from_the_file(self, source, tmp_path):
        self.write(tmp_path / "in.parquet", prompt=["a", "b"], n=pa.array([1, None], pa.int16()), tags=[["x"], []])
        stage = source("in.parquet", keep_columns=["n", "tags"])
        assert stage.outputs.field("n").type == pa.int16() and stage.outputs.names == ["prompt", "n", "tags"]
        assert read(stage)[0] == [
            {"prompt": user("a"), "n": 1, "tags": ["x"]},
            {"prompt": user("b"), "n": None, "tags": []},
        ]

    @pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
    def test_any_text_type_is_read(self, source, tmp_path, kind):
        self.write(tmp_path / "in.parquet", prompt=pa.array(["a", "b"]).cast(kind))
        assert prompts(source("in.parquet")) == ["a", "b"]

    def test_kept_text_becomes_plain_text_and_numbers_widen_when_asked(self, source, tmp_path):
        tags = pa.array([["x"]], pa.large_list(pa.large_string()))
        self.write(
            tmp_path / "in.parquet",
            prompt=["a"],
            s=pa.array(["t"], pa.large_string()),
            tags=tags,
            i=pa.array([1], pa.int16()),
            f=pa.array([0.5], pa.float32()),
            u=pa.array([1], pa.uint64()),
        )
        plain = source("in.parquet", keep_columns=["s", "tags", "i"])
        assert plain.outputs.types[1:] == [pa.string(), pa.list_(pa.string()), pa.int16()]
        assert read(plain)[0] == [{"prompt": user("a"), "s": "t", "tags": ["x"], "i": 1}]
        asked = source("in.parquet", keep_columns={"s": "string", "tags": "list<string>", "i": "int", "f": "float"})
        assert read(asked)[0] == [{"prompt": user("a"), "s": "t", "tags": ["x"], "i": 1, "f": 0.5}]
        assert "expected int64" in refused(source("in.parquet", keep_columns={"u": "int"}).digest)

    def test_messages_with_further_keys_are_read(self, source, tmp_path):
        self.write(tmp_path / "in.parquet", prompt=[[{"content": "a", "role": "user", "name": None}], [], None])
        rows, rejects = read(source("in.parquet"))
        assert rows == [{"prompt": user("a")}] and [r.code for r in rejects] == ["source.empty_prompt"] * 2

    def test_bad_rows_are_rejected_with_what_was_read(self, source, tmp_path):
        self.write(tmp_path / "in.parquet", q=["a", "  ", "c"], key=["1", "2", ""], unread=[1, 2, 3])
        rows, rejects = read(source("in.parquet", column="q", id_column="key"))
        assert rows == [{"id": "1", "prompt": user("a")}]
        assert [(r.code, r.row) for r in rejects] == [
            ("source.empty_prompt", {"q": "  ", "key": "2"}),
            ("source.bad_id", {"q": "c", "key": ""}),
        ]

    def test_text_that_is_not_utf8_rejects_its_row(self, source, tmp_path):
        raw = pa.array([b"good", b"bad \xff", b"fine"]).view(pa.string())
        lists = pa.ListArray.from_arrays([0, 0, 1, 1], pa.array([b"\xfe"]).view(pa.string()))
        pq.write_table(pa.table({"prompt": raw, "tags": lists}), tmp_path / "in.parquet")
        rows, (reject,) = read(source("in.parquet", keep_columns=["tags"]))
        assert len(rows) == 2 and reject.code == "source.bad_text"
        assert reject.row == {"prompt": "bad \ufffd", "tags": None}

    def test_a_folder_gives_one_part_per_file(self, source, tmp_path):
        (tmp_path / "data").mkdir()
        for i, name in enumerate(["train-1.parquet", "train-0.parquet", "test-0.parquet"]):
            self.write(tmp_path / "data" / name, prompt=[f"p{i}"])
        assert source("data").partitions() == ["test-0.parquet", "train-0.parquet", "train-1.parquet"]
        stage = source("data", split="train")
        assert stage.partitions() == ["train-0.parquet", "train-1.parquet"] and prompts(stage) == ["p1", "p0"]

    def test_a_folder_saved_by_datasets_is_read(self, source, tmp_path):
        import datasets

        data = datasets.Dataset.from_dict({"prompt": ["a", "b"], "n": [1, 2]})
        data.save_to_disk(str(tmp_path / "one"))
        datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk(str(tmp_path / "two"))
        assert prompts(source("one", keep_columns=["n"])) == ["a", "b"]
        assert prompts(source("two", split="test")) == ["b"]
        assert "the splits train, test" in refused(source("two").partitions)

    def test_a_folder_that_only_looks_saved_by_datasets_is_refused(self, source, tmp_path):
        (tmp_path / "state.json").write_text("{}", "utf-8")
        assert "is not what datasets.save_to_disk writes" in refused(source(".").partitions)


class TestHub:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
        (tmp_path / "hub").mkdir()
        write_lines(tmp_path / "hub/train.jsonl", {"prompt": "a", "n": 1}, {"prompt": " ", "n": 2})
        write_lines(tmp_path / "hub/test.jsonl", {"prompt": "c", "n": 3})
        return str(tmp_path / "hub")

    def build(self, folder, **config):
        return LoadPrompts(LoadPromptsConfig(dataset=folder, revision="abc", **config))

    def test_a_split_is_streamed(self, folder):
        stage = self.build(folder, keep_columns={"n": "int"})
        rows, rejects = read(stage)
        assert rows == [{"prompt": user("a"), "n": 1}] and [r.code for r in rejects] == ["source.empty_prompt"]
        assert stage.partitions() == ["train"] and prompts(self.build(folder, split="test")) == ["c"]

    def test_the_digest_is_the_revision(self, folder):
        assert self.build(folder).digest() == {
            "dataset": folder,
            "revision": "abc",
            "config_name": None,
            "split": "train",
        }

    def test_what_is_not_there_is_said(self, folder):
        assert "has no column 'question'" in refused(lambda: read(self.build(folder, column="question")))
        assert "'n'" in refused(lambda: read(self.build(folder, keep_columns={"n": "string"})))
        assert "cannot be read" in refused(lambda: read(self.build(folder, split="nowhere")))


class TestDigest:
    def test_content_and_name_of_each_file_count(self, source, tmp_path):
        write_lines(tmp_path / "in.jsonl", {"prompt": "a"})
        raw = (tmp_path / "in.jsonl").read_bytes()
        assert source().digest() == {"files": [["in.jsonl", hashlib.sha256(raw).hexdigest()]]}

    def test_the_recipes_folder_does_not_count(self, source):
        assert "base_folder" not in source().config.fingerprint_fields()

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("in.jsonl", "", "has no rows"),
            ("in.jsonl", "\n \n", "has no rows"),
            ("in.json", "[]", "has no rows"),
            ("in.parquet", "PAR1 no more", "cannot be read as parquet"),
            ("in.arrow", "no", "cannot be read as arrow"),
            ("in.csv", "prompt\na\n", "has the ending '.csv'; expected one of .parquet"),
            ("in.jsonl", '{"text": "a"}\n', "has no column 'prompt' in its first 1 records; found text"),
            ("in.jsonl", '{"prompt": 1}\n', "holds int; expected text or lists"),
        ],
    )
    def test_input_that_cannot_serve_is_refused_before_the_run(self, source, tmp_path, name, text, said):
        (tmp_path / name).write_text(text, "utf-8")
        assert said in refused(source(name).digest)

    def test_missing_and_mixed_and_empty_folders_are_refused(self, source, tmp_path):
        assert "is not there" in refused(source("nowhere.jsonl").digest)
        (tmp_path / "d").mkdir()
        assert "holds no .parquet, .jsonl or .json file" in refused(source("d").digest)
        (tmp_path / "d/a.jsonl").touch()
        assert "of split 'x'" in refused(source("d", split="x").digest)
        (tmp_path / "d/b.parquet").touch()
        assert "files of several kinds (json, parquet)" in refused(source("d").digest)

    def test_an_unreadable_file_is_refused(self, tmp_path):
        from stages.sources.arrowfiles import InputFile
        from stages.sources.inputs import file_digest

        assert "cannot be read" in refused(lambda: file_digest(InputFile("x", tmp_path, "json")))

    def test_a_parquet_file_without_rows_is_refused(self, source, tmp_path):
        pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "in.parquet")
        assert "has no rows" in refused(source("in.parquet").digest)

    def test_columns_of_a_wrong_type_are_refused(self, source, tmp_path):
        pq.write_table(pa.table({"prompt": [1], "tags": [["x"]], "n": [1], "m": [[1]]}), tmp_path / "in.parquet")
        assert "has type int64; expected text" in refused(source("in.parquet").digest)
        assert "expected text or a list of messages" in refused(source("in.parquet", column="m").digest)
        assert "has no column 'q'; found prompt, tags, n, m" in refused(source("in.parquet", column="q").digest)
        pq.write_table(pa.table({"prompt": ["a"], "n": [1]}), tmp_path / "in.parquet")
        assert "has no column 'key'" in refused(source("in.parquet", id_column="key").digest)
        assert "expected string" in refused(source("in.parquet", keep_columns={"n": "string"}).digest)
        assert "has no column 'z'" in refused(lambda: source("in.parquet", keep_columns=["z"]))

    def test_a_file_damaged_after_its_header_ends_the_run(self, source, tmp_path):
        path = tmp_path / "in.parquet"
        pq.write_table(pa.table({"prompt": [f"text {i}" for i in range(5000)]}), path)
        raw = bytearray(path.read_bytes())
        raw[4:2000] = b"\0" * 1996
        path.write_bytes(bytes(raw))
        assert "is damaged" in refused(lambda: read(source("in.parquet")))


class TestOptions:
    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"path": "a", "dataset": "b", "revision": "c"},
            {"dataset": "b"},
            {"dataset": "b", "revision": "main"},
            {"path": "a", "revision": "c"},
            {"path": "a", "keep_columns": ["id"]},
            {"path": "a", "keep_columns": {"n": "decimal"}},
        ],
    )
    def test_contradictions_are_refused(self, config):
        with pytest.raises(ValidationError):
            LoadPromptsConfig(**config)

    def test_json_needs_types_for_kept_columns(self, source, tmp_path):
        write_lines(tmp_path / "in.jsonl", {"prompt": "a"})
        said = refused(lambda: source(keep_columns=["topic", "level"]))
        assert "keep_columns: {topic: string, level: string}" in said
