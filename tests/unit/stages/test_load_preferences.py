"""Labelled files: formats are known by their columns, parts never share a prompt, labels survive every shape of row."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.api import PrerequisiteError, Reject, RowError
from stages.sources.load_preferences import LoadPreferences, LoadPreferencesConfig, subset_of
from stages.sources.preference_formats import hh_rlhf
from stages.sources.preference_formats.comparison import Comparison
from stages.sources.preference_formats.rows import pair_label, pair_rows

LLMBAR = Path(__file__).parents[4] / "shared/data/llmbar"


@pytest.fixture
def source(tmp_path):
    def build(path="in.jsonl", **config):
        return LoadPreferences(LoadPreferencesConfig(path=path, base_folder=str(tmp_path), **config))

    return build


@pytest.fixture
def lines(tmp_path):
    def write(*records, name="in.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")

    return write


def plain(number=0, label="a", **more):
    return {"prompt": f"Question {number}?", "response_a": "Yes.", "response_b": "No.", "label": label, **more}


def read(stage):
    """Check the input as the planner does, then return all rows and rejects."""
    stage.digest()
    items = [item for part in stage.partitions() for item in stage.read(part)]
    rows = [row for item in items if not isinstance(item, Reject) for row in item.to_pylist()]
    return rows, [item for item in items if isinstance(item, Reject)]


def refused(action):
    with pytest.raises(PrerequisiteError) as caught:
        action()
    return str(caught.value)


def test_both_responses_of_a_record_share_the_prompt_id(source, lines):
    lines(plain(id="q1", label="b", subset="facts"))
    first, second = read(source())[0]
    assert (first["id"], second["id"]) == ("q1-0", "q1-1") and first["prompt_id"] == second["prompt_id"] == "q1"
    assert (first["label"], second["label"], first["subset"]) == (0.0, 1.0, "facts")


def test_a_tie_is_kept_in_both_shapes(source, lines):
    lines(plain(label="tie"))
    assert [row["label"] for row in read(source())[0]] == [0.5, 0.5]
    assert [row["label"] for row in read(source(rows="pairs"))[0]] == ["tie"]


def test_a_record_without_a_label_stays_without(source, lines):
    lines(plain(label=None))
    assert [row["label"] for row in read(source())[0]] == [None, None]
    assert [row["label"] for row in read(source(rows="pairs"))[0]] == [None]


def test_a_record_without_subset_belongs_to_its_file(source, lines):
    lines(plain(), name="natural.jsonl")
    assert {row["subset"] for row in read(source("natural.jsonl"))[0]} == {"natural"}


@pytest.mark.parametrize(
    ("name", "path", "subset"),
    [
        ("natural.json", "x/natural.json", "natural"),
        ("Adversarial/Manual/dataset.json", "LLMBar", "Adversarial/Manual"),
        ("dataset.json", "LLMBar/Natural/dataset.json", "Natural"),
        ("dataset.json", "dataset.json", "dataset"),
    ],
)
def test_files_that_are_called_dataset_take_the_name_of_their_folder(name, path, subset):
    assert subset_of(name, path) == subset


def test_a_pair_names_the_responses_as_response_rows_do(source, lines):
    lines(*(plain(i, label="ab"[i % 2]) for i in range(6)))
    texts = {row["id"]: row["response"] for row in read(source())[0]}
    for row in read(source(rows="pairs"))[0]:
        assert texts[row["response_a_id"]] == row["response_a"] and texts[row["response_b_id"]] == row["response_b"]


def test_where_the_order_tells_the_winner_the_sides_are_drawn(source, lines):
    lines(*({"id": i, "prompt": f"Q{i}?", "chosen": "Right.", "rejected": "Wrong."} for i in range(40)))
    rows = read(source(rows="pairs"))[0]
    assert 10 < sum(row["swapped"] for row in rows) < 30
    assert all(row["label"] == ("b" if row["swapped"] else "a") for row in rows)
    assert all(row["response_" + row["label"]] == "Right." for row in rows)
    assert [r["swapped"] for r in read(source(rows="pairs", seed=1))[0]] != [r["swapped"] for r in rows]


@pytest.mark.parametrize("parts", [("half", ("first", "second")), ("fold", ("1/3", "2/3", "3/3"))])
def test_parts_make_the_whole_and_share_no_prompt(source, lines, parts):
    lines(*(plain(i // 2, id=f"r{i}") for i in range(60)))
    option, values = parts
    read_parts = [read(source(**{option: value}))[0] for value in values]
    prompts = [{row["prompt"][0]["content"] for row in rows} for rows in read_parts]
    assert all(prompts) and sum(map(len, prompts)) == len(set.union(*prompts)) == 30
    assert sum(map(len, read_parts)) == 120


def test_a_part_is_drawn_by_the_seed_and_not_by_the_place_in_the_file(source, lines):
    lines(*(plain(i) for i in range(40)))
    first = {row["id"] for row in read(source(half="first"))[0]}
    lines(*(plain(i) for i in reversed(range(40))))
    assert {row["id"] for row in read(source(half="first"))[0]} == first
    assert {row["id"] for row in read(source(half="first", seed=3))[0]} != first


def test_only_the_subsets_asked_for_are_read(source, lines):
    lines(plain(1, subset="maths"), plain(2, subset="chat"), plain(3, label="?"))
    rows, rejects = read(source(subsets=["chat"]))
    assert {row["subset"] for row in rows} == {"chat"} and [r.code for r in rejects] == ["preferences.bad_label"]


def test_a_subset_that_is_not_there_is_refused_before_the_run(source, lines):
    lines(plain(1, subset="maths"), plain(3, label="?"), ["no record"])
    assert "no subset 'code'; it has maths" in refused(source(subsets=["code"]).digest)


def test_an_id_column_goes_before_the_formats_own_id(source, lines):
    lines(plain(id="own", key=7), plain(2, id="other"))
    rows, rejects = read(source(id_column="key"))
    assert [row["id"] for row in rows] == ["7-0", "7-1"] and [r.code for r in rejects] == ["source.bad_id"]


def test_an_id_column_that_no_record_has_is_refused(source, lines):
    lines(plain())
    assert "no column 'key'; found" in refused(source(id_column="key").digest)


def test_csv_holds_plain_pairs_with_the_empty_label_as_none(source, tmp_path):
    (tmp_path / "in.csv").write_bytes(
        b"prompt,response_a,response_b,label\nQ1?,Yes.,No.,b\nQ2?,Yes.,No.,\nQ3?,\xff,,a\n"
    )
    rows, rejects = read(source("in.csv", rows="pairs"))
    assert [row["label"] for row in rows] == ["b", None] and [r.code for r in rejects] == ["source.bad_text"]


def test_parquet_holds_nested_formats_and_other_columns_are_not_read(source, tmp_path):
    record = {"id": "1", "prompt": "Q?", "chosen": ["4"], "rejected": ["5", "6", "7"], "num_correct": 1, "more": 1.5}
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "in.parquet")
    rows = read(source("in.parquet"))[0]
    assert [row["label"] for row in rows] == [1.0, 0.0, 0.0, 0.0]
    assert len(read(source("in.parquet", rows="pairs"))[0]) == 3


def test_a_parquet_record_with_bytes_that_are_no_text_is_rejected(source, tmp_path):
    table = pa.Table.from_pylist([plain(), plain(1)])
    spoilt = pa.array([b"Yes.", b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(table.set_column(1, "response_a", spoilt), tmp_path / "in.parquet")
    rows, rejects = read(source("in.parquet"))
    assert len(rows) == 2 and [r.code for r in rejects] == ["source.bad_text"]


def test_empty_files_beside_others_are_passed_over(source, lines, tmp_path):
    lines(plain(), name="b.jsonl")
    (tmp_path / "a.jsonl").write_text("")
    assert len(read(source("."))[0]) == 2
    (tmp_path / "b.jsonl").write_text("")
    assert "has no records" in refused(source(".").digest)


def test_many_records_come_in_several_batches(source, lines):
    lines(*(plain(i) for i in range(1200)))
    batches = list(source().read("in.jsonl"))
    assert len(batches) > 1 and sum(b.num_rows for b in batches) == 2400


def test_unknown_columns_are_refused_with_the_known_formats(source, lines):
    lines({"question": "Q?", "best": "Yes."})
    assert "columns of no known format: best, question" in refused(source().digest)
    assert "lacks prompt, response_a, response_b, label of format 'pairs'" in refused(source(format="pairs").digest)


def test_a_nested_format_in_csv_is_refused(source, tmp_path):
    (tmp_path / "in.csv").write_text("prompt,chosen,rejected\nQ?,a,b\n")
    assert "holds lists" in refused(source("in.csv", format="rewardbench2").digest)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fold": "3/2"}, "such as 1/5"),
        ({"fold": "0/2"}, "such as 1/5"),
        ({"fold": "1/2", "half": "first"}, "give one"),
    ],
)
def test_parts_that_make_no_sense_are_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        LoadPreferencesConfig(path="x", **options)


def test_mt_bench_conversations_that_are_too_short_or_end_otherwise_are_rejected(source, lines):
    talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    vote = {"question_id": 1, "model_a": "m", "model_b": "n", "winner": "model_a", "turn": 1}
    lines(
        vote | {"conversation_a": talk, "conversation_b": talk[:1]},
        vote | {"conversation_a": talk, "conversation_b": [talk[0], talk[0]]},
        vote | {"conversation_a": talk, "conversation_b": talk},
    )
    rows, rejects = read(source())
    assert [r.code for r in rejects] == ["source.bad_messages"] * 2 and len(rows[0]["prompt_id"]) == 32


@pytest.mark.parametrize("turn", [1.0, True, "1", None, 3])
def test_an_mt_bench_turn_that_is_no_whole_number_is_rejected(source, lines, turn):
    talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    vote = {"question_id": 1, "model_a": "m", "model_b": "n", "winner": "tie", "turn": turn}
    lines(vote | {"conversation_a": talk, "conversation_b": talk})
    rows, rejects = read(source())
    assert not rows and [r.code for r in rejects] == ["source.bad_record"]


def test_a_dialogue_is_cut_before_the_last_turn_of_the_assistant():
    messages, response = hh_rlhf.dialogue(
        "\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant: So. ", "chosen"
    )
    assert [m["role"] for m in messages] == ["user", "assistant", "user"] and response == "So."
    assert messages[2]["content"] == "Why?"


def test_pairs_of_unlike_conversations_say_what_to_do():
    one, other = ({"role": "user", "content": "A?"},), ({"role": "user", "content": "B?"},)
    with pytest.raises(RowError, match="take 'rows: responses'"):
        pair_rows(Comparison("x", (one, other), ("1", "2"), (1.0, 0.0)), "s", 0)


def test_the_label_of_a_pair_follows_the_labels_of_its_responses():
    assert [pair_label(*labels) for labels in ((1, 0), (0, 1), (0.5, 0.5), (None, 1))] == ["a", "b", "tie", None]


@pytest.mark.skipif(not LLMBAR.is_dir(), reason="the LLMBar files are not here")
@pytest.mark.parametrize(("name", "items"), [("natural", 100), ("faireval", 66)])
def test_llmbar_is_read_whole(name, items):
    stage = LoadPreferences(LoadPreferencesConfig(path=str(LLMBAR / f"{name}.json"), rows="pairs"))
    rows, rejects = read(stage)
    told = [r["label"] for r in json.loads((LLMBAR / f"{name}.json").read_text("utf-8"))]
    assert len({row["id"] for row in rows}) == items and not rejects
    assert [row["label"] for row in rows] == ["ab"[label - 1] for label in told]
