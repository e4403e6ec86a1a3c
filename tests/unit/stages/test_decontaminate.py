import json
import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.api import PrerequisiteError
from pipeline.testing import process_table
from stages.selection.benchmark_files import BenchmarkText
from stages.selection.decontaminate import Decontaminate, DecontaminateConfig
from stages.selection.generic_phrases import GENERIC_PHRASES
from stages.selection.ngram_index import Counting, NgramIndex
from stages.selection.words import fold, is_single_character, split_words

QUESTION = "Which river rises in the Black Forest and flows through ten countries before it meets the sea?"
ANSWER = "The Danube, whose springs lie near Donaueschingen and whose delta is shared by two countries."


def index(texts, **counting):
    named = (BenchmarkText("quiz", str(i), "question", t) for i, t in enumerate(texts))
    return NgramIndex(named, Counting(**counting))


def shares(texts, row, **counting):
    return [(m.text.item, round(m.share, 4)) for m in index(texts, **counting).matches([row])]


def words(n, start=0):
    return " ".join(f"w{i}" for i in range(start, start + n))


def test_a_whole_item_is_found_wherever_it_stands():
    (match,) = index([QUESTION]).matches([f"Please tell me: {QUESTION.upper()} Thank you!"])
    assert (match.row, match.share, match.text.text) == (0, 1.0, QUESTION)
    assert match.ngram == "which river rises in the black forest and"


def test_a_row_needs_half_of_the_words_of_an_item():
    item = words(20)
    assert shares([item], words(10)) == [("0", 0.5)]
    assert shares([item], words(9)) == []
    assert shares([item], words(9), share=0.45) == [("0", 0.45)]


def test_runs_may_lie_apart_in_the_row_but_all_in_one_row():
    item = words(20)
    apart = words(8) + " between " + words(8, 12)
    assert shares([item], apart) == [("0", 0.8)] and shares([item], apart, measure="ngrams", share=0.1) == [
        ("0", 0.1538)
    ]
    assert index([item]).matches([words(8), words(8, 12)]) == []


def test_a_run_that_occurs_twice_in_a_row_counts_once():
    assert shares([words(20)], words(8) + " x " + words(8), share=0.1) == [("0", 0.4)]


def test_a_short_item_is_one_run_and_the_shortest_only_a_whole_row():
    short = ["what flows through vienna today", "danube river"]
    assert shares(short, "Tell me what flows through Vienna today.") == [("0", 1.0)]
    assert shares(short, "The Danube River is long.") == []
    assert shares(short, "Danube  river!") == [("1", 1.0)]


def test_generic_phrases_do_not_count_and_a_copy_is_still_found():
    item = "Answer the following question: how deep is the lake at its northern end in spring"
    assert "answer the following question" in GENERIC_PHRASES
    row = "Answer the following question: how deep is the sea"
    assert shares([item], row) == [("0", 0.5333)] == shares([item], row, phrases=GENERIC_PHRASES)
    assert shares([item], row, share=0.01, phrases=("answer the following question how",)) == []
    assert shares([item], item, phrases=GENERIC_PHRASES) == [("0", 1.0)]
    assert shares(["Explain your reasoning"], "explain your reasoning", phrases=GENERIC_PHRASES) == []


def test_runs_of_single_characters_do_not_count():
    formula = "x 2 y 3 z 4 a b c equals seven plus nine"
    assert shares([formula], "we know that x 2 y 3 z 4 a b c holds", share=0.01) == []
    assert shares([formula], formula.replace(" ", "+")) == [("0", 1.0)]
    ideographs = "\u5199\u4e00\u9996\u5173\u4e8e\u6d77\u6d0b\u7684\u8bd7"
    assert shares([ideographs], "\u8bf7" + ideographs) == [("0", 1.0)]


def test_runs_of_many_items_do_not_count():
    items = [f"{words(9)} {words(8, 100 + 10 * i)}" for i in range(4)]
    assert index(items, max_items=3).matches([words(9)]) == []
    assert [round(m.share, 4) for m in index(items, max_items=None).matches([words(9)])] == [round(9 / 17, 4)]
    same = [QUESTION] * 20
    assert shares(same, QUESTION, max_items=3) == [("0", 1.0)]


def test_any_run_is_enough_for_the_strict_rule():
    item = words(100)
    assert shares([item], words(13, 50), size=13) == []
    assert shares([item], words(13, 50), size=13, any_run=True) == [("0", 0.13)]
    assert shares([item], words(12, 50), size=13, any_run=True) == []


def test_of_several_items_the_one_with_the_largest_share_is_named():
    assert shares([words(16), words(10)], words(9)) == [("1", 0.9)]


def test_without_items_nothing_matches():
    assert index([]).matches(["a b c", None]) == [] and index(["?!"]).matches(["?!", ""]) == []


def brute_force(items, row, counting):
    """Return (item, share) of the best match by comparing runs as lists of words, one by one."""
    n, best = counting.size, None
    cut = [tuple(split_words(fold(t))) for t in items]
    of_row = split_words(fold(row))

    def counts(text, i, size):
        run = text[i : i + size]
        held = sum(
            any(other[j : j + size] == run for j in range(len(other) - size + 1))
            for other in set(cut)
            if _size(other) == size
        )
        return sum(map(is_single_character, run)) * 2 <= size and held <= counting.max_items

    def _size(text):
        return min(n, len(text)) if len(text) >= counting.min_words else 0

    for at, text in enumerate(cut):
        size = _size(text)
        places = [i for i in range(len(text) - size + 1) if size and counts(text, i, size)]
        held = [i for i in places if any(tuple(of_row[j : j + size]) == text[i : i + size] for j in range(len(of_row)))]
        covered = [{j for i in group for j in range(i, i + size)} for group in (held, places)]
        share = len(covered[0]) / len(covered[1]) if places else float(bool(text) and tuple(of_row) == text)
        if share >= counting.share and (best is None or share > best[1]):
            best = (str(at), share)
    return best


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([3, 5]), share=st.sampled_from([0.3, 0.5, 1.0]))
def test_the_index_equals_brute_force(seed, size, share):
    source = random.Random(seed)
    alphabet = ["aa", "bb", "cc", "d", "e"][: source.randint(2, 5)]

    def text(longest):
        return " ".join(source.choices(alphabet, k=source.randint(0, longest)))

    items, rows = [text(15) for _ in range(20)], [text(25) for _ in range(20)]
    counting = Counting(size, share, min_words=2, max_items=4)
    found = {
        m.row: (m.text.item, m.share)
        for m in index(items, size=size, share=share, min_words=2, max_items=4).matches(rows)
    }
    expected = {i: b for i, r in enumerate(rows) if (b := brute_force(items, r, counting))}
    assert found == expected


def stage(folder, *benchmarks, **options):
    named = [{"name": "quiz", "path": "quiz.jsonl", "columns": ["question", "answer"]}, *benchmarks]
    return Decontaminate(
        DecontaminateConfig(**({"benchmarks": named, "column": "text", "base_folder": str(folder)} | options))
    )


def write(folder, name="quiz.jsonl", records=({"question": QUESTION, "answer": ANSWER, "key": "q7"},)):
    (folder / name).write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")


def run(folder, texts, *benchmarks, **options):
    rows = [{"id": f"r{i}", "text": t} for i, t in enumerate(texts)]
    return process_table(stage(folder, *benchmarks, **options), rows)


def test_a_match_is_rejected_with_its_evidence(tmp_path):
    write(tmp_path)
    result = run(tmp_path, ["A clean prompt.", f"So: {QUESTION}", None, ANSWER])
    assert result.table.column("id").to_pylist() == ["r0", "r2"]
    assert [r.code for r in result.rejects] == ["decontaminate.match"] * 2
    assert result.rejects[0].row == {
        "id": "r1",
        "benchmark": "quiz",
        "item": "quiz.jsonl#1",
        "field": "question",
        "share": 1.0,
        "ngram": "which river rises in the black forest and",
    }
    assert result.rejects[1].row["field"] == "answer"


def test_question_and_answer_are_looked_for_separately(tmp_path):
    write(tmp_path)
    assert run(tmp_path, [QUESTION[:45] + " " + ANSWER[:30]]).table.num_rows == 1


def test_user_turns_of_a_conversation_are_searched(tmp_path):
    write(tmp_path)
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "?"},
        {"role": "user", "content": "So?"},
    ]
    result = process_table(stage(tmp_path, column="prompt"), [{"id": "a", "prompt": turns}])
    assert [r.row["id"] for r in result.rejects] == ["a"]


def test_items_are_read_from_every_kind_of_file(tmp_path):
    write(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps([{"q": words(10)}]), "utf-8")
    (tmp_path / "b.csv").write_text(f'q,key\n"{words(10, 100)}",c1\n', "utf-8")
    pq.write_table(pa.table({"q": [[words(10, 200)]], "n": [7]}), tmp_path / "c.parquet")
    folder = tmp_path / "d"
    folder.mkdir()
    write(folder, "x.jsonl", [{"q": [{"role": "user", "content": words(10, 300)}]}])
    benchmarks = [{"name": p[0], "path": p, "columns": ["q"]} for p in ("a.json", "b.csv", "c.parquet", "d")]
    result = run(tmp_path, [words(10, 100 * i) for i in range(4)], *benchmarks)
    assert [(r.row["benchmark"], r.row["item"]) for r in result.rejects] == [
        ("a", "a.json#1"),
        ("b", "b.csv#1"),
        ("c", "c.parquet#1"),
        ("d", "x.jsonl#1"),
    ]


def test_items_are_named_by_their_id_column(tmp_path):
    write(tmp_path)
    named = {"name": "ids", "path": "quiz.jsonl", "columns": ["answer", "key"], "id_column": "key"}
    result = run(tmp_path, ["q7", ANSWER], benchmarks=[named])
    assert [(r.row["item"], r.row["field"]) for r in result.rejects] == [("q7", "key"), ("q7", "answer")]


@pytest.mark.parametrize(
    ("text", "benchmark", "message"),
    [
        ('{"question": "a"}\n{broken\n', {}, "record 2 .* cannot be read"),
        ('{"question": "a"}\n', {}, "no column 'answer' in any record; found question"),
        ('{"question": {"a": 1}, "answer": "b"}\n', {}, "column 'question' .* holds dict"),
        ('{"question": "a", "answer": "b"}\n', {"id_column": "key"}, "has no 'key', which 'id_column' names"),
        (None, {}, "is not there"),
    ],
)
def test_a_benchmark_that_cannot_be_read_ends_the_run_before_it_starts(tmp_path, text, benchmark, message):
    if text is not None:
        (tmp_path / "quiz.jsonl").write_text(text, "utf-8")
    one = {"name": "quiz", "path": "quiz.jsonl", "columns": ["question", "answer"]} | benchmark
    with pytest.raises(PrerequisiteError, match=message):
        stage(tmp_path, benchmarks=[one]).digest()


def test_the_digest_changes_with_the_content_of_a_benchmark(tmp_path):
    write(tmp_path)
    before = stage(tmp_path).digest()
    write(tmp_path, records=[{"question": QUESTION, "answer": "Another one."}])
    after = stage(tmp_path).digest()
    assert before.keys() == after.keys() == {"quiz"} and before != after


QUIZ = {"name": "quiz", "path": "q.jsonl", "columns": ["q"]}


@pytest.mark.parametrize(
    "config",
    [
        {"benchmarks": []},
        {"benchmarks": [QUIZ, QUIZ]},
        {"benchmarks": [QUIZ | {"columns": []}]},
        {"benchmarks": [QUIZ], "min_words": 9},
        {"benchmarks": [QUIZ], "any_ngram": True, "share": 0.3},
    ],
)
def test_options_that_make_no_sense_are_refused(config):
    with pytest.raises(ValidationError):
        DecontaminateConfig(**config)


class Books:
    """What is committed of a decontamination."""

    def __init__(self, result):
        self._result = result
        self.rejects = Counter(r.code for r in result.rejects)

    def rejected(self):
        return iter(self._result.rejects)


def test_the_report_names_items_rows_and_runs(tmp_path):
    write(tmp_path)
    other = {"name": "other", "path": "quiz.jsonl", "columns": ["key"]}
    result = run(tmp_path, [QUESTION, ANSWER, "clean", QUESTION], other)
    found, shown = stage(tmp_path, other).report(Books(result))
    assert found.rows == (("quiz", 1, 3), ("other", 0, 0))
    assert [r[:4] for r in shown.rows] == [
        ("r0", "quiz", "quiz.jsonl#1", "question"),
        ("r1", "quiz", "quiz.jsonl#1", "answer"),
        ("r3", "quiz", "quiz.jsonl#1", "question"),
    ]
    assert len(stage(tmp_path).report(Books(run(tmp_path, ["clean"])))) == 1
