"""The rules of published pairs: each breach stops the export and names the pair; nothing is dropped."""

from __future__ import annotations

import math
import os

import pyarrow as pa
import pytest

from pipeline.errors import CorruptStore, PrerequisiteError
from pipeline.publish.export import export_run
from pipeline.publish.pairs import published_batch, published_schema, texts_of
from pipeline.publish.show import first_pair, show_pair
from pipeline.schema import MESSAGES, columns

BREACHES = {
    "same text": ({"chosen": "a  b\n", "rejected": " a b"}, "chosen and rejected have the same text"),
    "empty chosen": ({"chosen": " \n"}, "'chosen' is empty"),
    "empty rejected": ({"rejected": ""}, "'rejected' is empty"),
    "null chosen": ({"chosen": None}, "'chosen' must be messages"),
    "equal scores": ({"score_rejected": 1.0, "margin": 0.0}, "score_chosen - score_rejected must be above 0"),
    "wrong order": ({"score_rejected": 2.0}, "score_chosen - score_rejected must be above 0"),
    "negative margin": ({"margin": -1.0}, "margin must be above 0"),
    "nan": ({"score_chosen": math.nan}, "'score_chosen' is no finite number"),
    "infinity": ({"score_rejected": -math.inf}, "'score_rejected' is no finite number"),
    "null margin": ({"margin": None}, "'margin' is no finite number"),
    "no prompt id": ({"prompt_id": None}, "it has no prompt_id"),
    "null prompt": ({"prompt": None}, "'prompt' must be messages"),
    "empty prompt": ({"prompt": []}, "'prompt' must be messages"),
    "odd role": ({"prompt": [{"role": "tool", "content": "x"}]}, "'prompt' must be messages"),
    "no content": ({"prompt": [{"role": "user", "content": None}]}, "'prompt' must be messages"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_stops_the_export_and_names_the_pair(builder, pair, tmp_path, breach):
    changes, text = BREACHES[breach]
    builder.replace_pairs([pair(0), pair(1, **changes), pair(2)])
    with pytest.raises(CorruptStore, match=f"pair 'pair1' of stage 'pairs' cannot be published: {text}"):
        export_run(builder.write(), tmp_path / "out")
    assert os.listdir(tmp_path) == ["run"]


def test_equal_scores_are_fine_where_candidates_are_tied(builder, pair, tmp_path):
    builder.replace_pairs([pair(0, score_rejected=1.0, margin=0.0, tied=2)])
    assert export_run(builder.write(), tmp_path / "out").pairs == 1


def test_texts_that_share_their_first_words_only_are_different(builder, pair, tmp_path):
    begin = "one two three four five six seven eight nine"
    builder.replace_pairs([pair(0, chosen=f"{begin} ten", rejected=f"{begin}  eleven")])
    assert export_run(builder.write(), tmp_path / "out").pairs == 1


def batch_of(schema: pa.Schema, **values: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"id": "x", "prompt_id": "p", **values}], schema=schema)


TEXTS = columns(id=str, prompt_id=str, prompt=str, chosen=str, rejected=str)


def test_a_prompt_that_is_text_becomes_a_user_turn():
    batch = batch_of(TEXTS, prompt="hi", chosen="a", rejected="b")
    out = published_batch(batch, published_schema(batch.schema), "pairs").to_pylist()[0]
    assert out["prompt"] == [{"role": "user", "content": "hi"}]


def test_responses_that_are_messages_stay_as_they_are():
    turns = {n: [{"role": "assistant", "content": n}] for n in ("chosen", "rejected")}
    batch = batch_of(
        columns(id=str, prompt_id=str, prompt=str, chosen=MESSAGES, rejected=MESSAGES), prompt="hi", **turns
    )
    out = published_batch(batch, published_schema(batch.schema), "pairs").to_pylist()[0]
    assert {n: out[n] for n in turns} == turns


def test_scores_become_float64_and_further_scalars_are_kept():
    schema = pa.schema([*TEXTS, pa.field("score_chosen", pa.float32()), pa.field("kind", pa.string()),
                        pa.field("seen", pa.bool_()), pa.field("many", pa.list_(pa.string()))])  # fmt: skip
    out = published_schema(schema)
    assert out.field("score_chosen").type == pa.float64()
    assert out.names == ["id", "prompt_id", "prompt", "chosen", "rejected", "score_chosen", "kind", "seen"]


def test_a_further_float_column_may_be_null_but_not_nan():
    schema = pa.schema([*TEXTS, pa.field("extra", pa.float64())])
    batch = batch_of(schema, prompt="hi", chosen="a", rejected="b")
    assert published_batch(batch, published_schema(schema), "pairs").num_rows == 1
    batch = batch_of(schema, prompt="hi", chosen="a", rejected="b", extra=math.nan)
    with pytest.raises(CorruptStore, match="'extra' is no finite number"):
        published_batch(batch, published_schema(schema), "pairs")


@pytest.mark.parametrize(("column", "kind"), [("chosen", pa.int64()), ("margin", pa.string())])
def test_a_column_of_another_type_is_refused(column, kind):
    with pytest.raises(PrerequisiteError, match=f"column '{column}' holds {kind}"):
        published_schema(pa.schema([f for f in TEXTS if f.name != column] + [pa.field(column, kind)]))


def test_rules_hold_in_a_slice_of_a_batch():
    rows = [{"id": f"x{i}", "prompt_id": "p", "prompt": [{"role": "user", "content": "q"}] * i, "chosen": "a",
             "rejected": "b"} for i in range(3)]  # fmt: skip
    schema = columns(id=str, prompt_id=str, prompt=MESSAGES, chosen=str, rejected=str)
    batch = pa.RecordBatch.from_pylist([*rows, rows[0]], schema=schema).slice(1)
    with pytest.raises(CorruptStore, match="pair 'x0'"):
        published_batch(batch, published_schema(schema), "pairs")
    assert published_batch(batch.slice(1, 1), published_schema(schema), "pairs")["prompt"].to_pylist() == [
        rows[2]["prompt"]
    ]


def test_texts_of_joins_turns_and_reads_null_as_empty():
    messages = pa.array([[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], None, []], MESSAGES)
    assert texts_of(messages).to_pylist() == ["a\nb", "", ""]


def test_a_pair_stage_without_prompt_is_refused(builder, tmp_path):
    builder.add("bare", "other", columns(id=str, chosen=str, rejected=str), [[]])
    with pytest.raises(PrerequisiteError, match="stage 'bare' lacks column 'prompt_id', 'prompt'"):
        export_run(builder.write(), tmp_path / "out")


def test_first_pair_is_shown_as_published(view):
    row = first_pair(view)
    assert (row["id"], row["margin"]) == ("pair0", 1.0)
    assert row["chosen"] == [{"role": "assistant", "content": "Answer 1 and more"}]


def test_show_pair_finds_a_pair_by_id_in_an_unfinished_run(builder):
    assert show_pair(builder.write(unfinished=("pairs",)), "pair7")["prompt_id"] == "p7"


def test_show_pair_says_what_is_there_when_the_id_is_not(view):
    with pytest.raises(PrerequisiteError, match="stage 'pairs' of run 'demo' has no pair 'nope'; 12 pairs"):
        show_pair(view, "nope")


def test_show_pair_says_when_there_are_none(builder):
    builder.replace_pairs([])
    with pytest.raises(PrerequisiteError, match="has no pairs yet; 0 pairs"):
        show_pair(builder.write())
