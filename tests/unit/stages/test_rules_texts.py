"""What a rule is, and what replies with rules and verdicts say."""

import json

import pytest

from stages.replies.asking import Unusable
from stages.rules.reasoning import split_reasoning
from stages.rules.rule_replies import Cited, parse_merged, parse_merged_lines, parse_rule_lines, parse_rules
from stages.rules.rule_texts import cleaned, folded, rule_id_of, sift, why_no_rule
from stages.rules.verdict_replies import parse_verdict, release_verdict
from tests.unit.stages.rules_parts import SHARED


class TestRules:
    def test_case_space_and_the_full_stop_make_no_other_rule(self):
        one, same, other = "The response is short.", " the  RESPONSE is\nshort", "The response is short and kind."
        assert folded(one) == folded(same) and rule_id_of(one) == rule_id_of(same) != rule_id_of(other)
        assert len(rule_id_of(one)) == 16

    @pytest.mark.parametrize(
        "text", ["- The answer is short.", "3) The answer is short.", '**"The answer is short."**']
    )
    def test_marks_of_lists_and_of_bold_type_are_taken_off(self, text):
        assert cleaned(text).strip(".") == "The answer is short"

    @pytest.mark.parametrize("text", ['It ends with "yes"', '"Yes" is said before "no"', "It has `code`"])
    def test_marks_that_belong_to_a_rule_stay(self, text):
        assert cleaned(f"1. {text}") == text

    @pytest.mark.parametrize(
        "text",
        [
            "Response A is shorter.",
            "It should be clearer than response B.",
            "Assistant B gives the steps.",
            "Response 2 has an example.",
            "The first response names a source.",
            "The response gives more detail than the other.",
            "The preferred answer is kind.",
            "Both responses should be short.",
            "The chosen one of A and B is short.",
            "It is clearer than B.",
            "A is more helpful.",
            "The other, longer response misses it.".replace(", longer", " longer"),
        ],
    )
    def test_a_text_about_one_of_two_responses_is_no_rule(self, text):
        assert why_no_rule(text) == "names_a_response"

    @pytest.mark.parametrize(
        "text",
        [
            "The response a reader gets is complete.",
            "The response first answers, then explains.",
            "The response names the first and the second step.",
            "A response should be short.",
            "The response says whether vitamin B helps.",
            "The response answers one question at a time.",
            "The response weighs option one against other options.",
        ],
    )
    def test_a_text_about_any_response_is_one(self, text):
        assert why_no_rule(text) is None

    def test_empty_and_long_texts_are_none(self):
        assert (why_no_rule("..."), why_no_rule("Short"), why_no_rule("word " * 101)) == ("empty", "empty", "too_long")

    @pytest.mark.parametrize("text", ["The response is kind.<|im_end|>", "The response [/INST] is kind"])
    def test_a_text_with_a_control_token_is_none_since_verifiers_read_it_unquoted(self, text):
        assert why_no_rule(text) == "control_token"

    def test_a_text_that_copies_its_pair_is_none(self):
        said = "Put it in a bright window and water it from below every second day."
        assert why_no_rule("The response says to put it in a bright window and water it.", [said]) == "copies_the_pair"
        assert why_no_rule("The response says where to put it and how to water it.", [said]) is None

    def test_entries_are_parted_and_what_is_refused_is_kept_with_its_reason(self):
        found = sift(["Be short.", 7, {"rule": "x"}, "be short", "Response A wins.", "Be kind."], shown={"be kind"})
        assert found.rules == ("Be short.",)
        assert found.refused == ("7", '{"rule":"x"}', "Response A wins.", "Be kind.")
        assert found.refused_for == ("not_text", "not_text", "names_a_response", "worked_example")


class TestReasoning:
    @pytest.mark.parametrize(
        ("reply", "parts"),
        [
            ("B is clearer.", (None, "B is clearer.")),
            ("<think>\nHm.\n</think>\n\nB is clearer.", ("Hm.", "B is clearer.")),
            ("Hm.\n</think>B is clearer.", ("Hm.", "B is clearer.")),
            ("<think></think>B is clearer.", (None, "B is clearer.")),
            ("<think>Hm.</think>", ("Hm.", "")),
        ],
    )
    def test_reasoning_is_parted_from_the_answer(self, reply, parts):
        assert split_reasoning(reply) == parts

    @pytest.mark.parametrize("reply", ["<think>Hm.", "So. <think>Hm.</think> B.", "<think>a</think><think>b</think>c"])
    def test_a_tag_in_the_wrong_place_is_refused(self, reply):
        with pytest.raises(Unusable):
            split_reasoning(reply)


class TestRuleReplies:
    @pytest.mark.parametrize(
        ("reply", "entries"),
        [
            ('["Be short."]', ["Be short."]),
            ('```json\n["Be short.", 3]\n```', ["Be short.", 3]),
            ('Here they are:\n```\n["Be short."]\n```\nDone.', ["Be short."]),
            ('{"rules": ["Be short."]}', ["Be short."]),
            ("[]", []),
            ('<think>Hm.</think>["Be short."]', ["Be short."]),
        ],
    )
    def test_an_array_is_read(self, reply, entries):
        assert parse_rules(reply) == entries

    @pytest.mark.parametrize(
        "reply", ["Be short.", '["Be short."', '{"rule": "Be short."}', "{}", '"Be short."', "1. Be short.", "[NaN}"]
    )
    def test_anything_else_is_not(self, reply):
        with pytest.raises(Unusable):
            parse_rules(reply)

    @pytest.mark.parametrize("reply", ["[NaN]", '["\\ud83d is a face"]', "[1e999]", "[" * 5000 + "]" * 5000])
    def test_json_that_no_row_can_hold_is_refused(self, reply):
        with pytest.raises(Unusable):
            parse_rules(reply)

    @pytest.mark.parametrize(
        ("reply", "entries"),
        [
            ("1. Be short.\n2. Be kind.", ["Be short.", "Be kind."]),
            ("The rules are:\n- Be short.\n\n- Be kind.\nI hope this helps!", ["Be short.", "Be kind."]),
            ("None.", []),
            ("There are no rules", []),
        ],
    )
    def test_a_list_of_lines_is_read(self, reply, entries):
        assert parse_rule_lines(reply) == entries

    def test_a_list_in_parts_and_lines_that_go_on_are_read_to_the_end(self):
        reply = "Form:\n1. Be short,\n   if you can.\n\n**Tone:**\n2. Be kind.\nThat is all.\n3. Be gone."
        assert parse_rule_lines(reply) == ["Be short, if you can.", "Be kind."]
        assert parse_merged_lines("1. Be short,\n   if you can. [1, 2]", 2) == [Cited("Be short, if you can.", (0, 1))]

    @pytest.mark.parametrize("reply", ["Be short.", "Rules:", "Be short.\n1. Be kind."])
    def test_prose_is_no_list_of_lines(self, reply):
        with pytest.raises(Unusable):
            parse_rule_lines(reply)

    def test_sources_of_merged_rules_are_places_that_exist(self):
        reply = '[{"rule": "Be short.", "from": [2, 1, 2, 9, 0, true, "1"]}, {"rule": "Fly.", "from": []}]'
        assert parse_merged(reply, 2) == [Cited("Be short.", (0, 1)), Cited("Fly.", ())]

    @pytest.mark.parametrize("reply", ["[]", '["Be short."]', '[{"rule": "Be short."}]', '[{"rule": 1, "from": [1]}]'])
    def test_merged_rules_without_form_are_refused(self, reply):
        with pytest.raises(Unusable):
            parse_merged(reply, 2)

    def test_sources_stand_in_brackets_after_a_line(self):
        reply = "1. Be short. [1, 3]\n2. Be kind (2).\n3. Fly."
        assert parse_merged_lines(reply, 3) == [Cited("Be short.", (0, 2)), Cited("Be kind", (1,)), Cited("Fly.", ())]
        with pytest.raises(Unusable):
            parse_merged_lines("none", 3)


class TestVerdicts:
    @pytest.mark.parametrize(
        ("reply", "verdict"),
        [
            ("[[Yes]]", 1),
            ("It does. [[yes]]", 1),
            ("[[Yes]] because ... so [[Yes]]", 1),
            ("No.", 0),
            ("**No**", 0),
            ("[[ No ]]", 0),
            ("[[N/A]]", -1),
            ("not applicable", -1),
            ('{"verdict": "not_applicable"}', -1),
            ('```json\n{"verdict": "yes"}\n```', 1),
            ("<think>[[No]]? Rather yes.</think>[[Yes]]", 1),
        ],
    )
    def test_one_verdict_is_read(self, reply, verdict):
        assert parse_verdict(reply) == verdict

    @pytest.mark.parametrize(
        "reply",
        [
            "",
            "Yes, it is short.",
            "[Yes]",
            "[[Yes]] or [[No]]",
            'It says "[[Yes]]", but [[No]]',
            "[[Maybe]]",
            '{"verdict": "maybe"}',
            '{"verdict": 1}',
            '{"score": 1}',
            "{",
            "<think>[[Yes]]",
        ],
    )
    def test_no_verdict_or_several_are_none(self, reply):
        with pytest.raises(Unusable):
            parse_verdict(reply)

    @pytest.mark.parametrize("reply", ["[[Ye\u017f]]", "Ye\u017f", "[[not appl\u0131cable]]", "[[N/\uff21]]"])
    def test_letters_that_only_look_like_those_of_a_verdict_are_none(self, reply):
        with pytest.raises(Unusable):
            parse_verdict(reply)

    @pytest.mark.parametrize("blank", [" ", "\n", "*", ".", "[", "[[ "])
    def test_a_long_run_of_marks_is_read_in_time(self, blank):
        run = blank * 50_000
        with pytest.raises(Unusable):
            parse_verdict(f"{run}yes{run}x")
        with pytest.raises(Unusable):
            parse_merged_lines(f"{run}x", 1)
        assert parse_merged_lines(f"1. Be{run}kind.", 1)[0].sources == ()
        assert split_reasoning(f"{run}x") == (None, f"{run}x".strip())

    @pytest.mark.parametrize(
        ("reply", "verdict"), [("[[Yes]]", 1), ("[[yes]]", 0), ("Yes", 0), ("", 0), ("[[No]], in part [[Yes]]", 1)]
    )
    def test_the_release_looks_for_one_exact_string(self, reply, verdict):
        assert release_verdict(reply) == verdict

    def test_the_golden_replies_of_the_release_are_read_as_it_reads_them(self):
        if not SHARED.is_dir():
            pytest.skip("needs the golden vectors of the shared data")
        golden = json.loads((SHARED / "golden_autorule.json").read_text("utf-8"))["release_verifier_parse"]
        assert [release_verdict(g["output"]) for g in golden] == [g["expected"] for g in golden]
