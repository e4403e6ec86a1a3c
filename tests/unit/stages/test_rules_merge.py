"""Bringing rules together and merging them: no rule is lost, none is made up."""

import json
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api import EngineError, Factor, Reject, RowError, Sample
from pipeline.testing import process_row, process_table, raises_row_error
from stages.rules.collect_rules import CollectRules, CollectRulesConfig
from stages.rules.merge_rules import MergeRules, MergeRulesConfig
from stages.rules.rule_merging import Entry, applied, batches, joined
from stages.rules.rule_replies import Cited
from stages.rules.rule_texts import rule_id_of
from tests.unit.stages.books_in_memory import BooksInMemory
from tests.unit.stages.rules_parts import HOLDS_JSON, Model, last_turn

SHORT, BRIEF, KIND = "The response is short.", "The response is brief.", "The response is kind."
COLLECTED = {
    "id": "c",
    "pair_ids": ["p1", "p2", "p3"],
    "rules": [
        {"rule": SHORT, "sources": ["p1", "p2"]},
        {"rule": BRIEF, "sources": ["p2"]},
        {"rule": KIND, "sources": ["p3"]},
    ],
}


def merged(*entries):
    return json.dumps({"rules": [{"rule": rule, "from": list(numbers)} for rule, *numbers in entries]})


def merge(*replies, row=COLLECTED, offers=HOLDS_JSON, **config):
    model = Model(*replies, offers=offers)
    made = process_row(MergeRules(MergeRulesConfig(**config)), row, engines={"merger": model})
    kept = [r for r in made if not isinstance(r, Reject)]
    return kept, [r for r in made if isinstance(r, Reject)], model.generate_calls


def many(n):
    return COLLECTED | {"rules": [{"rule": f"The response keeps point {i}.", "sources": [f"p{i}"]} for i in range(n)]}


def texts(rows):
    return [r["rule"] for r in rows]


class TestCollecting:
    def collect(self, *lists):
        rows = [{"id": f"p{i}", "rules": rules} for i, rules in enumerate(lists)]
        return process_table(CollectRules(CollectRulesConfig()), rows)

    def test_equal_rules_of_all_pairs_are_joined_the_most_frequent_first(self):
        (row,) = self.collect([KIND, SHORT], [], ["the response is SHORT"], [SHORT, SHORT]).table.to_pylist()
        assert row["rules"] == [{"rule": SHORT, "sources": ["p0", "p2", "p3"]}, {"rule": KIND, "sources": ["p0"]}]
        assert row["pair_ids"] == ["p0", "p1", "p2", "p3"]

    def test_a_row_without_a_list_is_rejected_and_the_others_go_on(self):
        result = self.collect(None, [SHORT], [None])
        assert [(r.row["id"], r.code) for r in result.rejects] == [("p0", "rules.bad_row"), ("p2", "rules.bad_row")]
        assert result.table.to_pylist()[0]["pair_ids"] == ["p1"]

    def test_no_row_comes_of_no_row(self):
        assert self.collect().table.num_rows == 0

    def test_the_report_counts_what_was_joined(self):
        stage = CollectRules(CollectRulesConfig())
        (table,) = stage.report(BooksInMemory(2, self.collect([SHORT, KIND], [SHORT]).table))
        assert [n for _, n in table.rows] == [3, 2, 1]


class TestBookkeeping:
    def test_batches_keep_to_both_bounds_and_to_the_order(self):
        entries = [Entry(t, (t,), ()) for t in ("aaaa", "bbbb", "cc", "dddddddddddd", "e")]
        assert [[e.rule[0] for e in b] for b in batches(entries, 2, 9)] == [["a", "b"], ["c"], ["d"], ["e"]]
        assert [[e.rule[0] for e in b] for b in batches(entries, 3, 99)] == [["a", "b", "c"], ["d", "e"]]

    def test_a_merged_rule_stands_for_all_it_cites(self):
        batch = [Entry(SHORT, (SHORT,), ("p1", "p2")), Entry(BRIEF, (BRIEF,), ("p2",))]
        assert applied(batch, [Cited("1. " + BRIEF, (0, 1))]) == ([Entry(BRIEF, (SHORT, BRIEF), ("p1", "p2"))], [])

    @given(st.lists(st.tuples(st.sampled_from([SHORT, BRIEF, KIND, "Response A."]), st.sets(st.integers(0, 3)))))
    def test_no_rule_and_no_source_is_lost_whatever_the_reply_cites(self, reply):
        batch = [Entry(f"The response keeps point {i}.", (f"text {i}",), (f"p{i}", "p9")) for i in range(4)]
        kept, refused = applied(batch, [Cited(rule, tuple(sorted(places))) for rule, places in reply])
        assert {t for e in joined(kept) for t in e.merged_from} == {t for e in batch for t in e.merged_from}
        assert {s for e in joined(kept) for s in e.sources} == {s for e in batch for s in e.sources}
        assert len(refused) == sum(rule == "Response A." or not places for rule, places in reply)

    def test_rules_of_the_same_text_are_one(self):
        one, other = Entry(SHORT, (SHORT,), ("p1",)), Entry(SHORT.upper(), (BRIEF,), ("p2",))
        assert joined([one, other]) == [Entry(SHORT, (SHORT, BRIEF), ("p1", "p2"))] and joined([one]) == [one]


class TestMerging:
    def test_merged_rules_name_what_they_stand_for(self):
        kept, rejects, calls = merge(merged((BRIEF, 1, 2), (KIND, 3)))
        assert not rejects and len(calls) == 1
        first, second = kept
        assert (first["rule"], first["support"], first["rule_id"]) == (BRIEF, 2, rule_id_of(BRIEF))
        assert (first["merged_from"], first["sources"]) == ([SHORT, BRIEF], ["p1", "p2"])
        assert (second["merged_from"], second["levels"], second["in_one"]) == ([KIND], 1, True)
        assert first["rules"] is None and first["pair_ids"] is None

    def test_the_request_numbers_the_rules_as_data(self):
        _, _, calls = merge(merged((KIND, 1, 2, 3)))
        text = last_turn(calls[0])
        found = re.search(r"BEGIN RULES (\w{16})\n(.*)\nEND RULES \1", text, re.DOTALL)
        assert found[2].splitlines() == [f"1. {SHORT}", f"2. {BRIEF}", f"3. {KIND}"]
        assert "from 1 to 3" in text[: found.start()] and calls[0].json_schema["required"] == ["rules"]

    def test_a_rule_that_no_merged_rule_cites_stays_as_it_is(self):
        kept, rejects, _ = merge(merged((BRIEF, 1, 2)))
        assert texts(kept) == [BRIEF, KIND] and not rejects

    def test_a_rule_that_cites_nothing_it_was_shown_is_an_invention(self):
        kept, rejects, _ = merge(merged((BRIEF, 1, 2), (KIND, 3), ("The response rhymes.", 9)))
        assert texts(kept) == [BRIEF, KIND]
        assert [(r.code, r.row["rule"]) for r in rejects] == [("rules.invented", "The response rhymes.")]

    def test_a_merged_rule_that_is_none_leaves_its_sources_as_they_are(self):
        kept, rejects, _ = merge(merged(("Response A is short.", 1, 2), (KIND, 3)))
        assert texts(kept) == [SHORT, KIND, BRIEF]
        assert [r.code for r in rejects] == ["rules.unfit"] and "names_a_response" in rejects[0].message

    @pytest.mark.parametrize("reply", ["I merged them.", Sample("[", "length"), "[]"])
    def test_a_batch_whose_replies_cannot_be_read_stays_as_it_was(self, reply):
        kept, rejects, calls = merge(reply, attempts=2)
        assert texts(kept) == [SHORT, BRIEF, KIND] and len({c.seed for c in calls}) == 2
        assert [(r.code, r.row["merged_from"]) for r in rejects] == [("rules.unmerged", [SHORT, BRIEF, KIND])]

    def test_a_small_model_is_asked_for_lines(self):
        kept, _, calls = merge("1. The response is brief. [1, 2]\n2. The response is kind. [3]", offers=())
        assert texts(kept) == [BRIEF, KIND] and calls[0].json_schema is None and len(calls[0].messages) == 3

    def test_a_rule_of_the_worked_example_is_none_unless_it_was_there_before(self):
        copied = "The response names every step."
        kept, rejects, _ = merge(f"1. {copied} [1, 2]\n2. The response is kind. [3]", offers=())
        assert texts(kept) == [SHORT, KIND, BRIEF] and "worked_example" in rejects[0].message
        row = COLLECTED | {"rules": [{"rule": copied, "sources": ["p1"]}, {"rule": SHORT, "sources": ["p2"]}]}
        kept, rejects, _ = merge(f"1. {copied} [1]\n2. {SHORT} [2]", row=row, offers=())
        assert texts(kept) == [copied, SHORT] and not rejects

    def test_one_rule_is_not_asked_about(self):
        kept, _, calls = merge("", row=many(1))
        assert (kept[0]["levels"], kept[0]["in_one"], len(calls)) == (0, True, 0)

    @pytest.mark.parametrize("rules", [[], None])
    def test_no_rule_is_a_reject(self, rules):
        raises_row_error("rules.none", lambda: merge("", row=COLLECTED | {"rules": rules}))

    def test_an_engine_that_refuses_keeps_its_own_code(self):
        raises_row_error("engine.context_exceeded", lambda: merge(RowError("engine.context_exceeded", "too long")))

    def test_what_ends_the_run_comes_before_what_refuses_a_row(self):
        with pytest.raises(EngineError):
            merge(RowError("engine.refused", "x"), EngineError("gone"), row=many(8), max_rules_per_call=4)


def halve(request):
    """Merge each two neighbours of the rules shown, and cite both."""
    shown = re.findall(r"^(\d+)\. (.+)$", last_turn(request).split("BEGIN RULES")[-1], re.MULTILINE)
    pairs = [shown[i : i + 2] for i in range(0, len(shown), 2)]
    return merged(*((p[0][1], *(int(n) for n, _ in p)) for p in pairs))


class TestLevels:
    def test_rules_that_outgrow_a_request_are_merged_level_by_level(self):
        kept, rejects, calls = merge(halve, row=many(16), max_rules_per_call=4)
        # 4 batches of 4, 2 of 4, one of 4
        assert len(calls) == 7 and not rejects
        assert [len(r["merged_from"]) for r in kept] == [8, 8] and kept[0]["levels"] == 3 and kept[0]["in_one"]
        assert sorted(s for r in kept for s in r["sources"]) == sorted(f"p{i}" for i in range(16))
        assert len({c.seed for c in calls}) == 7

    def test_merging_stops_where_it_makes_rules_no_fewer(self):
        kept, _, calls = merge("no", row=many(6), max_rules_per_call=4, attempts=1)
        assert (len(kept), len(calls), kept[0]["levels"], kept[0]["in_one"]) == (6, 2, 1, False)

    def test_a_batch_of_one_rule_is_not_asked_about(self):
        _, _, calls = merge(halve, row=many(5), max_rules_per_call=4)
        assert [c.messages[-1]["content"].count("The response keeps") for c in calls] == [4, 3]


def test_the_plan_knows_neither_batches_nor_rules():
    stage = MergeRules(MergeRulesConfig(format="json"))
    assert stage.prompt_names == ("merge.v1",)
    assert stage.calls() == {"merger": (Factor("merge_batches"),)} and stage.yields().factors == (Factor("K"),)


def test_the_report_shows_rules_by_support():
    stage = MergeRules(MergeRulesConfig())
    kept, rejects, _ = merge("no", row=many(3), max_rules_per_call=2, attempts=1)
    names = ("rule", "support", "merged_from", "in_one")
    table = pa.Table.from_pylist(
        [{n: r[n] for n in names} for r in kept], pa.schema(stage.outputs.field(n) for n in names)
    )
    counts, listed = stage.report(BooksInMemory(1, table, refused=rejects))
    assert dict(counts.rows)["rejected: rules.unmerged"] == 1 and "same" in counts.note
    assert listed.rows[0] == (1, 1, "The response keeps point 0.")
