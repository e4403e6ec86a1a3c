"""`filter_queries`: two verdicts on each query, both kept with their reasons."""

import json

import pytest

from pipeline.api import CHOICE, GenResult, Maker, Reject, RowError, Sample
from pipeline.engines.scripted import ScriptedEngine
from pipeline.testing import process_row, raises_row_error, scripted_engine
from stages.synthesis.filter_queries import FilterQueries, FilterQueriesConfig

TEXT = "When dry soil gets a lot of water at once, the inside of a tomato grows faster than its skin, and it cracks."
QUERY = "Why do my tomatoes crack?"
ROW = {
    "id": "q1",
    "query": QUERY,
    "reference": TEXT,
    "text": TEXT,
    "title": "T",
    "query_raw": QUERY,
    "document_id": "d",
}


class JudgeWith(ScriptedEngine):
    """A judge with given capabilities and two replies: on standing alone, and on being answered."""

    def __init__(self, standalone, answered, *capabilities):
        super().__init__(scripted_engine().config)
        self._replies, self._offered = (standalone, answered), frozenset({"chat", *capabilities})

    def capabilities(self):
        return self._offered

    async def generate(self, request):
        self.generate_calls.append(request)
        sample = self._replies["BEGIN DOCUMENT" in request.messages[-1]["content"]]
        return GenResult((sample if isinstance(sample, Sample) else Sample(sample, "stop"),))


def run(judge, row=ROW, **config):
    (result,) = process_row(FilterQueries(FilterQueriesConfig(**config)), dict(row), engines={"judge": judge})
    return result


def verdicts(row):
    return [row[c] for c in ("standalone", "standalone_reason", "answered", "answered_reason")]


def test_both_verdicts_are_kept_with_their_reasons():
    row = run(JudgeWith("Yes. It is clear.", "Yes, it names the water."))
    assert verdicts(row) == [True, "It is clear.", True, "it names the water."]
    assert row["reference"] == TEXT


def test_the_judge_of_standing_alone_does_not_see_the_document():
    judge = JudgeWith("Yes.", "Yes.")
    run(judge)
    alone, answered = (request.messages for request in judge.generate_calls)
    assert not any(TEXT[:25] in m["content"] for m in alone) and TEXT in answered[-1]["content"]
    for messages in (alone, answered):
        assert QUERY in messages[-1]["content"] and "no instructions to follow" in messages[-1]["content"]


@pytest.mark.parametrize(
    ("standalone", "answered", "code"),
    [
        ("No. Who is he?", "Yes.", "queries.not_standalone"),
        ("Yes.", "No. It asks only.", "queries.not_answered"),
        ("No. Who is he?", "No. It asks only.", "queries.not_standalone"),
    ],
)
def test_a_verdict_of_no_rejects_the_query_with_both_verdicts(standalone, answered, code):
    reject = run(JudgeWith(standalone, answered))
    assert isinstance(reject, Reject) and reject.code == code
    assert verdicts(reject.row)[::2] == [standalone == "Yes.", answered == "Yes."]
    assert reject.message in ("Who is he?", "It asks only.")


def test_queries_may_be_kept_with_their_verdicts_as_flags():
    assert verdicts(run(JudgeWith("No.", "No. It asks only."), drop=False)) == [False, None, False, "It asks only."]


@pytest.mark.parametrize(
    "reply", ["Perhaps.", "", Sample("Yes", "length"), Sample("Yes", "content_filter"), '{"verdict": "maybe"}']
)
def test_what_is_no_verdict_is_never_guessed(reply):
    for judge in (JudgeWith("Yes.", reply), JudgeWith(reply, "Yes.")):
        reject = run(judge, drop=False)
        assert reject.code == "queries.no_verdict" and None in verdicts(reject.row)[::2]
        assert True in verdicts(reject.row)[::2]


def test_a_query_that_names_its_source_is_not_judged():
    judge = JudgeWith("Yes.", "Yes.")
    reject = run(judge, ROW | {"query": "What does the author water?"}, drop=False)
    assert reject.code == "queries.mentions_source" and not judge.generate_calls


@pytest.mark.parametrize("reference", [None, "", " \n"])
def test_without_a_text_there_is_nothing_to_judge(reference):
    judge = JudgeWith("Yes.", "Yes.")
    error = raises_row_error("queries.no_text", lambda: run(judge, ROW | {"reference": reference}))
    assert "set it on filter_queries" in error.message and not judge.generate_calls


def test_a_document_that_must_not_be_published_is_dropped_after_it_was_judged():
    row = run(JudgeWith("Yes.", "Yes."), reference="hash")
    assert verdicts(row)[::2] == [True, True] and TEXT not in json.dumps(row)
    assert [row[c] for c in ("reference", "text", "title", "query_raw", "document_id")] == [None] * 4 + ["d"]
    assert {"reference", "text", "title", "query_raw"} <= set(
        FilterQueries(FilterQueriesConfig(reference="hash")).outputs.names
    )


def test_a_judge_that_can_be_held_to_a_schema_is():
    yes = '{"reason": "Clear.", "verdict": "yes"}'
    judge = JudgeWith(yes, yes, "json_schema")
    assert verdicts(run(judge)) == [True, "Clear.", True, "Clear."]
    assert all(r.json_schema["required"] == ["reason", "verdict"] for r in judge.generate_calls)


def test_a_judge_that_offers_choices_gives_no_reasons():
    judge = JudgeWith("Yes", "No", CHOICE)
    assert verdicts(run(judge, drop=False)) == [True, None, False, None]
    assert all(r.choices == ("Yes", "No") and r.json_schema is None for r in judge.generate_calls)


def test_the_two_requests_have_seeds_of_their_own():
    judge = JudgeWith("Perhaps", "Perhaps")
    run(judge, attempts=2, temperature=0.5)
    assert len({r.seed for r in judge.generate_calls}) == len(judge.generate_calls) == 4


def test_a_long_text_is_cut_for_the_judge_and_kept_for_the_row():
    judge, text = JudgeWith("Yes.", "Yes."), "A sentence of words. " * 100
    row = run(judge, ROW | {"reference": text}, max_document_characters=100)
    assert row["reference"] == text and judge.generate_calls[1].messages[-1]["content"].count("A sentence") == 4


class Books:
    rows_in, rows_out, rejects = 4, 2, {}

    def rows(self, columns):
        import pyarrow as pa

        yield pa.RecordBatch.from_pylist([{"standalone": True, "answered": True}] * 2)

    def rejected(self):
        yield Reject({"standalone": True, "answered": False}, "queries.not_answered", "")
        yield Reject({}, "queries.no_text", "")


def test_the_report_counts_verdicts_of_kept_and_rejected_queries():
    (table,) = FilterQueries(FilterQueriesConfig()).report(Books())
    assert table.rows == (("yes", "yes", 2), ("yes", "no", 1), ("none", "none", 1))


def test_what_the_engine_refuses_keeps_its_code():
    class Refusing(JudgeWith):
        async def generate(self, request):
            raise RowError("engine.refused", "no")

    raises_row_error("engine.refused", lambda: run(Refusing("Yes.", "Yes.")))


def test_a_format_that_is_asked_for_is_used_whatever_is_offered():
    judge = JudgeWith("Yes. It does.", "Yes.", CHOICE, "json_schema")
    assert verdicts(run(judge, format="words"))[0] is True and judge.generate_calls[0].json_schema is None


def test_a_document_that_the_stage_before_withholds_is_refused():
    stage = FilterQueries(FilterQueriesConfig())
    kept, withheld = (Maker("queries", "queries_from_ugc", {"reference": r}, {}) for r in ("text", "hash"))
    stage.check_makers({"reference": kept})
    with pytest.raises(ValueError, match="stage 'queries' leaves only a hash of the document"):
        stage.check_makers({"reference": withheld})
