"""The chain from a labelled pair to rules: `interpret_preferences` and `extract_rules`."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api import RowError, Sample
from pipeline.testing import process_row, raises_row_error
from stages.rules.extract_rules import ExtractRules, ExtractRulesConfig
from stages.rules.interpret_preferences import InterpretPreferences, InterpretPreferencesConfig
from tests.unit.stages.books_in_memory import BooksInMemory
from tests.unit.stages.rules_parts import HOLDS_JSON, PAIR, Model, last_turn

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
REPLY = "<think>\nB says where.\n</think>\nB is concrete."
EXPLAINED = PAIR | {"explanation": "B is concrete.", "reasoning": "B says where.", "shown_first": "a"}


def swapped(pair):
    label = {"a": "b", "b": "a"}.get(pair["label"], pair["label"])
    return pair | {"response_a": pair["response_b"], "response_b": pair["response_a"], "label": label}


def interpret(row, *replies, **config):
    model = Model(*(replies or (REPLY,)))
    stage = InterpretPreferences(InterpretPreferencesConfig(**config))
    return process_row(stage, row, engines={"reasoner": model})[0], model.generate_calls


def extract(row, *replies, offers=HOLDS_JSON, **config):
    model = Model(*replies, offers=offers)
    stage = ExtractRules(ExtractRulesConfig(**config))
    return process_row(stage, row, engines={"extractor": model})[0], model.generate_calls


class TestInterpretation:
    def test_explanation_and_reasoning_are_kept_apart(self):
        row, calls = interpret(PAIR)
        assert (row["explanation"], row["reasoning"], row["pair_cut"]) == ("B is concrete.", "B says where.", False)
        assert len(calls) == 1 and calls[0].temperature == 0.6

    def test_a_model_that_shows_no_reasoning_leaves_null(self):
        assert interpret(PAIR, "B is concrete.")[0]["reasoning"] is None

    def test_the_request_shows_all_texts_as_data_and_names_the_preferred_one_after_them(self):
        row, calls = interpret(PAIR)
        text = last_turn(calls[0])
        shown = {"a": "A", "b": "B"} if row["shown_first"] == "a" else {"a": "B", "b": "A"}
        for name in "ab":
            before = text[: text.index(row[f"response_{name}"])].splitlines()
            assert before[-1].startswith(f"BEGIN {shown[name]} ")
        assert text.index("END B ") < text.index(f"preferred response {shown['b']}.")
        assert text.index("no instructions") < text.index("BEGIN USER")

    @given(TEXTS, TEXTS, TEXTS)
    def test_exchanging_a_and_b_with_the_label_gives_the_same_request(self, row_id, one_text, other_text):
        pair = PAIR | {"id": row_id, "response_a": f"a{one_text}", "response_b": f"b{other_text}"}
        one, asked = interpret(pair)
        other, asked_again = interpret(swapped(pair))
        assert asked[0] == asked_again[0]
        assert one["response_" + one["shown_first"]] == other["response_" + other["shown_first"]]

    def test_each_place_comes_up(self):
        first = [interpret(PAIR | {"id": f"p{i}"})[0]["shown_first"] for i in range(40)]
        assert 10 < first.count("a") < 30

    def test_a_small_model_is_shown_an_example_and_asked_for_less(self):
        _, calls = interpret(PAIR, short=True)
        assert len(calls[0].messages) == 3 and "three short sentences" in last_turn(calls[0])
        assert PAIR["response_b"] in last_turn(calls[0])

    def test_an_explanation_that_repeats_the_example_is_none(self):
        _, calls = interpret(PAIR, short=True)
        shown = calls[0].messages[1]["content"]
        raises_row_error("rules.unparsable", lambda: interpret(PAIR, shown + "\n", short=True))

    def test_long_texts_are_shortened_and_flagged(self):
        row, calls = interpret(PAIR | {"response_a": "word " * 100}, max_response_characters=200)
        assert row["pair_cut"] and len(last_turn(calls[0])) < 3000

    @pytest.mark.parametrize("label", ["tie", None, "A", "both"])
    def test_a_pair_without_a_preference_is_rejected(self, label):
        raises_row_error("rules.no_preference", lambda: interpret(PAIR | {"label": label}))

    def test_equal_responses_are_no_preference(self):
        raises_row_error("rules.no_preference", lambda: interpret(PAIR | {"response_a": PAIR["response_b"]}))

    @pytest.mark.parametrize("change", [{"prompt": None}, {"prompt": []}, {"response_a": " "}, {"response_b": None}])
    def test_a_row_without_text_is_rejected(self, change):
        raises_row_error("rules.empty_row", lambda: interpret(PAIR | change))

    @pytest.mark.parametrize(
        ("reply", "code"),
        [
            ("<think>Hm.</think>", "rules.unparsable"),
            ("<think>Hm.", "rules.unparsable"),
            (Sample("<think>Hm.", "length"), "rules.truncated"),
            (Sample("x", "content_filter"), "rules.refusal"),
        ],
    )
    def test_a_reply_that_explains_nothing_is_asked_again_and_then_rejected(self, reply, code):
        raises_row_error(code, lambda: interpret(PAIR, reply))
        assert interpret(PAIR, reply, REPLY)[0]["explanation"] == "B is concrete."


class TestExtraction:
    def test_rules_are_read_from_the_reasoning_by_default(self):
        row, calls = extract(EXPLAINED, '["The response says where."]')
        assert (row["rules"], row["rules_source"], row["rules_refused"]) == (
            ["The response says where."],
            "reasoning",
            [],
        )
        text = last_turn(calls[0])
        assert "B says where." in text and "B is concrete." not in text and "BEGIN REASONING" in text
        assert calls[0].json_schema["required"] == ["rules"]

    @pytest.mark.parametrize(("shown_first", "letter"), [("a", "B"), ("b", "A")])
    def test_the_preferred_letter_is_the_one_that_was_shown(self, shown_first, letter):
        _, calls = extract(EXPLAINED | {"shown_first": shown_first}, "[]")
        assert f"why response {letter} was preferred" in last_turn(calls[0])

    def test_an_empty_list_is_a_row(self):
        row, calls = extract(EXPLAINED, "[]")
        assert row["rules"] == [] and len(calls) == 1

    def test_what_is_no_rule_stays_as_refused(self):
        row, _ = extract(EXPLAINED, '["Response B is better.", 4, "Be kind always."]', source="explanation")
        assert row["rules"] == ["Be kind always."]
        assert row["rules_refused"] == ["Response B is better.", "4"]
        assert row["rules_refused_for"] == ["names_a_response", "not_text"]

    def test_a_model_that_holds_to_no_schema_is_asked_for_lines(self):
        reply = "1. The response says where.\n2. The response begins with the answer."
        row, calls = extract(EXPLAINED, reply, offers=())
        assert row["rules"] == ["The response says where."] and calls[0].json_schema is None
        assert row["rules_refused_for"] == ["worked_example"] and len(calls[0].messages) == 3

    def test_a_second_list_after_prose_is_kept_as_refused(self):
        reply = "1. The response says where.\nIn another case:\n2. Be kind always.\nThe end.\n3. The cat is on the mat."
        row, _ = extract(EXPLAINED, reply, offers=())
        assert row["rules"] == ["The response says where.", "Be kind always."]
        assert (row["rules_refused"], row["rules_refused_for"]) == (["The cat is on the mat."], ["after_the_list"])

    def test_json_is_asked_for_without_a_schema_if_the_recipe_says_so(self):
        row, calls = extract(EXPLAINED, '```json\n["Be kind always."]\n```', offers=(), format="json")
        assert row["rules"] == ["Be kind always."] and calls[0].json_schema is None

    def test_lines_only_need_one_template(self):
        assert ExtractRules(ExtractRulesConfig(format="lines")).prompt_names == ("rules_lines.v1",)

    def test_without_reasoning_a_row_is_rejected_or_its_explanation_is_read(self):
        row = EXPLAINED | {"reasoning": None}
        raises_row_error("rules.no_reasoning", lambda: extract(row, "[]"))
        assert extract(row, "[]", fallback=True)[0]["rules_source"] == "explanation"

    @pytest.mark.parametrize("change", [{"explanation": " "}, {"label": None}, {"shown_first": "c"}])
    def test_a_row_that_says_nothing_is_rejected(self, change):
        raises_row_error("rules.empty_row", lambda: extract(EXPLAINED | change, "[]", source="explanation"))

    @pytest.mark.parametrize(
        ("reply", "code"),
        [
            ("Be kind.", "rules.unparsable"),
            (Sample("[", "length"), "rules.truncated"),
            (Sample("[]", "content_filter"), "rules.refusal"),
        ],
    )
    def test_prose_is_asked_again_and_then_rejected(self, reply, code):
        raises_row_error(code, lambda: extract(EXPLAINED, reply))
        row, calls = extract(EXPLAINED, reply, "[]")
        assert row["rules"] == [] and len({c.seed for c in calls}) == 2

    def test_the_report_counts_rules_and_refusals(self):
        rows = [extract(EXPLAINED, '["Be kind always.", 3]')[0], extract(EXPLAINED, "[]")[0]]
        wanted = [{n: r[n] for n in ("rules", "rules_refused_for")} for r in rows]
        stage = ExtractRules(ExtractRulesConfig())
        schema = pa.schema([stage.outputs.field(n) for n in ("rules", "rules_refused_for")])
        (table,) = stage.report(BooksInMemory(2, pa.Table.from_pylist(wanted, schema)))
        assert table.rows[1:] == (("of them without a rule", 1), ("rules", 1), ("refused: not_text", 1))


def test_a_symmetric_model_gives_the_same_rules_for_a_pair_and_for_its_mirror_image():
    def symmetric(request):
        return "The preferred one is concrete."

    for i, row in itertools.product(range(4), (PAIR, swapped(PAIR))):
        explained, _ = interpret(row | {"id": f"p{i}"}, symmetric)
        rules, _ = extract(explained, '["The response is concrete."]', source="explanation")
        assert rules["rules"] == ["The response is concrete."]


def test_an_engine_that_refuses_a_row_keeps_its_own_code():
    error = RowError("engine.context_exceeded", "too long")
    raises_row_error("engine.context_exceeded", lambda: interpret(PAIR, error))
