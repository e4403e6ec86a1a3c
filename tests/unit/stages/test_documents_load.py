import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.api import PrerequisiteError, Reject
from stages.sources.documents import author_hash
from stages.sources.load_documents import LoadDocuments, LoadDocumentsConfig

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def source(tmp_path):
    def build(path="in.jsonl", **config):
        return LoadDocuments(LoadDocumentsConfig(path=path, base_folder=str(tmp_path), **config))

    return build


@pytest.fixture
def read(source, tmp_path):
    """Write a file, check it as the planner does, and return rows and rejects."""

    def go(name, content, **config):
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
        (tmp_path / name).write_bytes(data)
        return items_of(source(name, **config))

    return go


def items_of(stage):
    stage.digest()
    items = [item for part in stage.partitions() for item in stage.read(part)]
    rows = [row for item in items if not isinstance(item, Reject) for row in item.to_pylist()]
    return rows, [item for item in items if isinstance(item, Reject)]


def lines(*records):
    return "".join(json.dumps(r) + "\n" for r in records)


def refused(action):
    with pytest.raises(PrerequisiteError) as caught:
        action()
    return str(caught.value)


def wet(text, url="http://example.com/a", stated=None, kind="conversion"):
    body = text.encode("utf-8", "surrogateescape")
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-03-01T10:00:00Z\r\n"
    head += f"WARC-Record-ID: <urn:uuid:{len(url)}>\r\nWARC-Identified-Content-Language: eng\r\n"
    return f"{head}Content-Length: {stated or len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"


class TestJson:
    def test_all_fields_are_taken_and_absent_ones_are_null(self, read):
        full = {
            "title": "T", "text": " Body \n", "source": "forum", "url": "http://a", "created": 1700000000,
            "license": "CC0", "score": 7, "language": "en", "extra": [1],
        }  # fmt: skip
        (first, second), rejects = read("in.jsonl", lines(full, {"text": "b", "title": ""}))
        assert first == {
            "title": "T", "text": " Body \n", "source": "forum", "url": "http://a", "created": "1700000000",
            "author_hash": None, "license": "CC0", "score": 7.0, "language": "en",
        }  # fmt: skip
        assert not rejects and second == dict.fromkeys(first) | {"text": "b"}

    def test_columns_can_have_other_names(self, read):
        record = {"body": "a", "ups": 3, "key": 5, "score": "high"}
        rows, _ = read("in.json", json.dumps([record]), columns={"text": "body", "score": "ups"}, id_column="key")
        assert (rows[0]["id"], rows[0]["text"], rows[0]["score"]) == ("5", "a", 3.0)

    def test_a_field_can_be_left_out(self, read):
        assert read("in.jsonl", lines({"text": "a", "score": {}}), columns={"score": None})[0][0]["score"] is None

    def test_a_constant_source_takes_the_place_of_a_column(self, read):
        assert read("in.jsonl", lines({"text": "a", "source": 7}), source="mine")[0][0]["source"] == "mine"

    @pytest.mark.parametrize(
        ("record", "code"),
        [
            ({}, "source.empty_text"),
            ({"text": None}, "source.empty_text"),
            ({"text": " \n"}, "source.empty_text"),
            ({"text": 7}, "source.bad_record"),
            ({"text": "x" * 51}, "source.oversized"),
            ({"text": "a\ud800"}, "source.bad_text"),
            ({"text": "a", "title": "\udc00"}, "source.bad_text"),
            ({"text": "a", "title": 7}, "source.bad_record"),
            ({"text": "a", "score": "high"}, "source.bad_record"),
            ({"text": "a", "score": True}, "source.bad_record"),
            ({"text": "a", "score": 1e301}, "source.bad_record"),
            ({"text": "a", "created": True}, "source.bad_record"),
            ({"text": "a", "key": ""}, "source.bad_id"),
            ("text", "source.bad_record"),
        ],
    )
    def test_a_bad_record_is_rejected_alone(self, read, record, code):
        keyed = record | {"key": record.get("key", "k")} if isinstance(record, dict) else record
        rows, (reject,) = read("in.jsonl", lines({"text": "good", "key": 1}, keyed), id_column="key", max_characters=50)
        assert (len(rows), reject.code) == (1, code)
        json.dumps(reject.row, ensure_ascii=False).encode("utf-8")

    def test_an_oversized_text_is_shown_by_its_beginning(self, read):
        _, (reject,) = read("in.jsonl", lines({"text": "x" * 5000}), max_characters=2000)
        assert reject.row["text"] == "x" * 1000 and "5,000 characters; at most 2,000" in reject.message


class TestAuthor:
    def test_a_name_becomes_a_keyed_hash(self, read, tmp_path):
        (tmp_path / "key").write_text(f"{KEY}\n", "utf-8")
        records = [{"text": "a", "author": name} for name in ("jo", "jo", "al", 7, "[deleted]", None)]
        rows, _ = read("in.jsonl", lines(*records), author_key_file="key")
        one, two, three, four, gone, none = (r["author_hash"] for r in rows)
        assert one == two != three and len({one, three, four}) == 3 and len(one) == 32 and gone is none is None
        assert "jo" not in json.dumps(rows) and one != author_hash("jo", b"x" * 32)

    def test_without_a_key_there_is_no_hash(self, read):
        assert read("in.jsonl", lines({"text": "a", "author": "jo"}))[0][0]["author_hash"] is None

    def test_a_reject_does_not_name_the_author(self, read, tmp_path):
        (tmp_path / "key").write_text(KEY, "utf-8")
        record = {"text": "", "by": "jo_the_cook"}
        config = {"columns": {"author": "by"}, "author_key_file": "key"}
        _, rejects = read("in.jsonl", lines(record, record | {"text": "a", "by": [1]}), **config)
        assert [r.code for r in rejects] == ["source.empty_text", "source.bad_record"]
        assert not any("by" in r.row for r in rejects)

    @pytest.mark.parametrize(("content", "said"), [("short", "holds 5 characters"), (None, "cannot be read")])
    def test_a_weak_or_missing_key_is_refused(self, source, tmp_path, content, said):
        (tmp_path / "in.jsonl").write_text(lines({"text": "a"}), "utf-8")
        if content:
            (tmp_path / "key").write_text(content, "utf-8")
        assert said in refused(source(author_key_file="key").digest)

    def test_another_key_is_another_input(self, source, tmp_path):
        (tmp_path / "in.jsonl").write_text(lines({"text": "a"}), "utf-8")
        (tmp_path / "key").write_text(KEY, "utf-8")
        first = source(author_key_file="key").digest()
        (tmp_path / "key").write_text(KEY[::-1], "utf-8")
        assert first != source(author_key_file="key").digest() and KEY not in json.dumps(first)


class TestParquet:
    def test_large_and_dictionary_text_and_times_are_read(self, source, tmp_path):
        table = pa.table(
            {
                "text": pa.array(["a", "b"], pa.large_string()),
                "source": pa.array(["f", "f"]).dictionary_encode(),
                "created": pa.array([datetime.datetime(2024, 3, 1, 10, tzinfo=datetime.UTC), None], pa.timestamp("ms")),
                "score": pa.array([1.5, float("nan")]),
                "title": pa.nulls(2),
            }
        )
        pq.write_table(table, tmp_path / "in.parquet")
        first, second = items_of(source("in.parquet"))[0]
        assert (first["text"], first["source"], first["created"]) == ("a", "f", "2024-03-01T10:00:00")
        assert (first["score"], second["score"], second["created"], second["title"]) == (1.5, None, None, None)

    def test_bytes_that_are_not_utf8_reject_the_row(self, source, tmp_path):
        text = pa.array([b"good", b"bad \xff"]).cast(pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": text}), tmp_path / "in.parquet")
        rows, (reject,) = items_of(source("in.parquet"))
        assert (len(rows), reject.code, reject.row["text"]) == (1, "source.bad_text", "bad \ufffd")

    @pytest.mark.parametrize(
        ("table", "config", "said"),
        [
            ({"body": ["a"]}, {}, "has no column 'text'; found body"),
            ({"text": [1]}, {}, "has type int64, which is no text"),
            ({"text": ["a"], "score": [[1]]}, {}, "or null to leave it out"),
            ({"text": ["a"]}, {"columns": {"title": "head"}}, "has no column 'head'"),
            ({"text": ["a"]}, {"id_column": "key"}, "has no column 'key'"),
        ],
    )
    def test_columns_are_checked_before_the_run(self, source, tmp_path, table, config, said):
        pq.write_table(pa.table(table), tmp_path / "in.parquet")
        assert said in refused(source("in.parquet", **config).digest)

    def test_a_folder_of_files_is_read_in_order(self, source, tmp_path):
        for name in ("b", "a"):
            pq.write_table(pa.table({"text": [name]}), tmp_path / f"{name}.parquet")
        assert [r["text"] for r in items_of(source("."))[0]] == ["a", "b"]


def test_a_folder_that_datasets_saved_is_read(source, tmp_path):
    from datasets import Dataset

    Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(str(tmp_path / "saved"))
    assert [r["text"] for r in items_of(source("saved"))[0]] == ["a", "b"]


class TestCsv:
    def test_quotes_line_breaks_and_a_byte_order_mark(self, read):
        text = '\ufefftitle,text,score\r\n"Say ""hi""","one,\r\ntwo",3\r\n,plain,\r\n'
        (first, second), _ = read("in.csv", text)
        assert (first["title"], first["text"], first["score"]) == ('Say "hi"', "one,\r\ntwo", 3.0)
        assert (second["title"], second["score"]) == (None, None)

    def test_a_ragged_line_is_rejected_with_its_number(self, read):
        rows, rejects = read("in.csv", "title,text\na,b\nonly one\n1,2,3\n\nc,d\n")
        assert [r["text"] for r in rows] == ["b", "d"]
        assert [(r.code, r.row["line"], r.row["raw"]) for r in rejects] == [
            ("source.bad_record", 3, "only one"),
            ("source.bad_record", 4, "1,2,3"),
        ]

    def test_broken_quoting_costs_its_lines_and_is_said(self, read):
        rows, rejects = read("in.csv", 'text,title\na,b\n"x"y,z\nc,d\n"never closed\nlost\n')
        assert [r["text"] for r in rows] == ["a", "c"]
        assert [r.message.split(" are not")[0] for r in rejects] == ["lines 3 to 3", "lines 5 to 6"]

    def test_bytes_that_are_not_utf8_reject_the_line(self, read):
        rows, (reject,) = read("in.csv", b"text\ngood\nbad \xff\n")
        assert (len(rows), reject.code, reject.row["text"]) == (1, "source.bad_text", "bad \ufffd")

    def test_tabs_and_other_delimiters(self, read):
        assert read("in.tsv", "title\ttext\na,b\tc\n")[0][0]["title"] == "a,b"
        assert read("in.csv", "title;text\na;b\n", delimiter=";")[0][0]["text"] == "b"

    def test_a_document_longer_than_the_library_allows_by_itself(self, read):
        assert len(read("in.csv", f"text\n{'x' * 200_000}\n")[0][0]["text"]) == 200_000

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "must name the columns"),
            ("text,text\n", "names the columns text more than once"),
            ("body\na\n", "has no column 'text'"),
            ("text\n", "has no documents"),
            ('"te"xt\n', "is not CSV"),
        ],
    )
    def test_a_first_row_that_cannot_be_used_is_refused(self, read, content, said):
        assert said in refused(lambda: read("in.csv", content))


class TestWet:
    INFO = wet("software: x\r\n", kind="warcinfo")

    def test_conversion_records_are_documents(self, read):
        (row,), _ = read("in.warc.wet", self.INFO + wet("Two\nlines é"), id_column="record_id", source="web")
        assert (row["id"], row["text"], row["url"]) == ("<urn:uuid:20>", "Two\nlines é", "http://example.com/a")
        assert (row["created"], row["language"], row["source"]) == ("2024-03-01T10:00:00Z", "eng", "web")

    def test_compressed_files_are_read(self, read):
        rows, _ = read("in.warc.wet.gz", b"".join(map(gzip.compress, (self.INFO, wet("a"), wet("b")))))
        assert [r["text"] for r in rows] == ["a", "b"]

    def test_a_record_that_is_cut_off_is_rejected(self, read):
        rows, (reject,) = read("in.wet", self.INFO + wet("a") + wet("cut", stated=900))
        assert (len(rows), reject.code) == (1, "source.bad_record") and "is cut off after" in reject.message

    def test_bytes_that_are_not_utf8_reject_the_record(self, read):
        rows, (reject,) = read("in.wet", wet("a") + wet("bad \udcff"))
        assert (len(rows), reject.code, reject.row["text"]) == (1, "source.bad_text", "bad \ufffd")

    def test_a_record_beyond_the_limit_is_rejected_unread(self, read):
        _, (reject,) = read("in.wet", wet("a") + wet("b", stated=1 << 28))
        assert "at most 134,217,728 are read" in reject.message

    def test_what_is_no_archive_is_refused(self, read):
        assert "cannot be read as a web archive" in refused(lambda: read("in.wet", b"Once upon a time\n"))
        assert "has no documents" in refused(lambda: read("in.wet", self.INFO))

    def test_fields_of_a_record_are_known(self, read):
        assert "has no column 'key'" in refused(lambda: read("in.wet", wet("a"), id_column="key"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"source": "a", "columns": {"source": "b"}}, "give one of them"),
        ({"columns": {"author": "by"}}, "columns.author needs author_key_file"),
        ({"columns": {"text": None}}, "columns.text is null"),
        ({"columns": {"body": "text"}}, "columns"),
    ],
)
def test_a_mistake_in_the_options_is_explained(config, said):
    with pytest.raises(ValidationError, match=said):
        LoadDocumentsConfig(path="in.jsonl", **config)


def test_files_of_several_kinds_and_other_endings_are_refused(source, tmp_path):
    (tmp_path / "a.csv").write_text("text\na\n", "utf-8")
    (tmp_path / "a.jsonl").write_text(lines({"text": "a"}), "utf-8")
    (tmp_path / "a.warc").write_bytes(b"")
    assert "several kinds (csv, json)" in refused(source(".").digest)
    assert "ending '.warc'" in refused(source("a.warc").digest)


def test_batches_stay_small(source, tmp_path):
    (tmp_path / "in.jsonl").write_text(lines(*({"text": str(i)} for i in range(2500))), "utf-8")
    assert [b.num_rows for b in source().read("in.jsonl")] == [1000, 1000, 500]


def test_the_real_posts_are_all_read(source):
    path = Path(__file__).parents[4] / "shared/data/ugc_reddit_dev.parquet"
    if not path.is_file():
        pytest.skip("the shared posts are not here")
    rows, rejects = items_of(source(str(path), id_column="doc_id"))
    assert (len(rows), rejects, len({r["id"] for r in rows})) == (326, [], 326)


def test_a_file_without_records_beside_others_is_no_mistake(source, tmp_path):
    (tmp_path / "posts").mkdir()
    (tmp_path / "posts/a.jsonl").write_text(lines({"text": "A text."}))
    (tmp_path / "posts/b.jsonl").write_text("")
    assert len(items_of(source("posts"))[0]) == 1


def test_a_time_that_is_not_a_number_is_null(source, tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "created": [float("nan"), 1.5]}), tmp_path / "in.parquet")
    rows, _ = items_of(source("in.parquet"))
    assert [r["created"] for r in rows] == [None, "1.5"]


def test_a_web_record_without_a_length_is_rejected(read):
    rows, rejects = read("in.wet", wet("a") + wet("b", stated="x9"))
    assert len(rows) == 1 and "says no length" in rejects[0].message
