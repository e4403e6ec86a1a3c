"""The stage that verifies without a model: its columns, what is null, what is refused, and trusted answers."""

import json

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.api import MESSAGES, PrerequisiteError, Reject
from pipeline.testing import process_row, raises_row_error
from stages.verification.verify_responses import (
    VerifyResponses,
    VerifyResponsesConfig,
    _version,
    fraction_passed,
    weighted_mean,
)
from tests.unit.stages.books_in_memory import BooksInMemory
from tests.unit.stages.walls import need_walls_or_skip

SHORT = {"kind": "length", "most": 3}
COLUMN_OF_EACH = {
    "math": {"kind": "math", "answer_column": "gold"},
    "instructions": {"kind": "instructions"},
    "json_schema": {"kind": "json_schema", "schema_column": "schema"},
    "regex": {"kind": "regex", "pattern_column": "expression"},
    "code": {"kind": "code", "tests_column": "unit_tests"},
}


def stage(*checks, **config):
    return VerifyResponses(VerifyResponsesConfig(checks=checks, **config))


def verified(row, *checks, **config):
    [made] = process_row(stage(*checks, **config), {"id": "r", **row})
    return made


def figures(made, *names):
    return tuple(made[name] for name in names)


def test_every_check_has_its_place_and_the_figures_cover_all():
    made = verified({"response": "no comma here"}, {"kind": "regex", "pattern": "x", "name": "has_x"}, SHORT)
    assert figures(made, "check_names", "check_passed", "check_scores") == (
        ["has_x", "length"],
        [False, True],
        [0.0, 1.0],
    )
    assert made["check_notes"] == ["not found", "3 words"]
    assert figures(made, "verified_fraction", "all_passed", "verifier_reward") == (0.5, False, 0.5)
    assert figures(made, "instructions_strict", "instructions_loose") == (None, None)


def test_weights_enter_the_reward_only():
    made = verified({"response": "a b c d"}, SHORT, {"kind": "regex", "pattern": "a", "weight": 3})
    assert figures(made, "verified_fraction", "verifier_reward") == (0.5, 0.75)


def test_instructions_are_read_from_the_row_and_their_share_is_the_score():
    ids = ["punctuation:no_comma", "keywords:existence"]
    row = {"response": "**Here:**\na lake", "instruction_id_list": ids, "kwargs": [None, '{"keywords": ["sea"]}']}
    made = verified(row, {"kind": "instructions"})
    assert figures(made, "check_scores", "all_passed") == ([0.5], False)
    assert figures(made, "instructions_strict", "instructions_loose") == ([True, False], [True, False])


def test_instructions_of_the_recipe_need_no_columns():
    asked = [{"id": "length_constraints:number_words", "num_words": 2, "relation": "at least"}]
    assert stage({"kind": "instructions", "instructions": asked}).inputs.names == ["response"]
    assert verified({"response": "two words"}, {"kind": "instructions", "instructions": asked})["all_passed"]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("math", {"gold": None}),
        ("json_schema", {"schema": None}),
        ("regex", {"expression": None}),
        ("code", {"unit_tests": None}),
        ("instructions", {"instruction_id_list": None, "kwargs": None}),
    ],
)
def test_a_row_that_does_not_say_what_to_check_for_has_no_verdict(kind, columns):
    made = verified({"response": "```python\na = 1 + 22\n```", **columns}, COLUMN_OF_EACH[kind], SHORT)
    assert figures(made, "check_passed", "check_scores") == ([None, False], [None, 0.0])
    assert figures(made, "verified_fraction", "all_passed", "verifier_reward") == (0.0, False, None)
    assert set(columns) <= set(stage(COLUMN_OF_EACH[kind]).inputs.names)


def test_a_verdict_that_cannot_be_made_is_null_in_all_figures():
    pytest.importorskip("math_verify")
    made = verified({"response": "I do not know.", "answer": "3"}, {"kind": "math"})
    assert figures(made, "check_passed", "verified_fraction", "all_passed", "verifier_reward") == (
        [None],
        None,
        None,
        None,
    )


def test_a_row_without_all_its_verdicts_can_be_set_aside_with_them():
    row = {"response": "a", "expression": "("}
    [made] = process_row(stage(COLUMN_OF_EACH["regex"], SHORT, unmade="reject"), {"id": "r", **row})
    assert isinstance(made, Reject) and made.code == "verify.no_verdict"
    assert made.row["check_passed"] == [None, True] and made.message.startswith("regex: no regular expression")


def test_columns_can_carry_a_prefix():
    made = verified({"response": "a"}, SHORT, prefix="strict_")
    assert made["strict_all_passed"] is True and "all_passed" not in made


def test_maths_and_code_are_verified_in_their_own_processes():
    pytest.importorskip("math_verify")
    made = verified({"response": "\\boxed{0.5}", "gold": "\\frac{1}{2}"}, COLUMN_OF_EACH["math"])
    assert made["all_passed"] is True
    made = verified({"response": "none", "unit_tests": "assert True"}, COLUMN_OF_EACH["code"])
    assert made["check_notes"] == ["no block of code in the response"]


def test_code_of_a_response_is_run_with_the_rows_tests():
    need_walls_or_skip()
    row = {"response": "```python\ndef f(x):\n    return x + 1\n```", "unit_tests": "assert f(1) == 2"}
    several = [{**COLUMN_OF_EACH["code"], "name": f"run_{i}"} for i in range(3)]
    assert verified(row, *several, sandboxes=1)["check_passed"] == [True] * 3


def test_a_null_response_is_rejected():
    raises_row_error("verify.no_response", lambda: verified({"response": None}, SHORT))


def test_a_trusted_answer_passes_its_own_verifier_or_the_row_goes():
    row = {"response": "a b c d", "reference_response": "a b"}
    assert verified(row, SHORT, check_reference=True)["all_passed"] is False
    error = raises_row_error(
        "verify.reference_fails",
        lambda: verified(row | {"reference_response": "a b c d e"}, SHORT, check_reference=True),
    )
    assert error.message == "the trusted answer does not pass: length: 5 words"
    missing = row | {"reference_response": None}
    raises_row_error("verify.reference_fails", lambda: verified(missing, SHORT, check_reference=True))


NO_COMMA = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [None]}


@pytest.mark.parametrize(
    ("check", "columns", "good", "bad"),
    [
        (COLUMN_OF_EACH["instructions"], NO_COMMA, "a b", "a, b"),
        (COLUMN_OF_EACH["json_schema"], {"schema": '{"type": "array"}'}, "[1]", "{}"),
        (COLUMN_OF_EACH["regex"], {"expression": "^a"}, "a b", "b"),
        ({**COLUMN_OF_EACH["regex"], "forbid": True}, {"expression": "^a"}, "b", "a b"),
        (SHORT, {}, "a b", "a b c d"),
    ],
)
def test_the_trusted_answer_of_every_kind_is_put_to_its_own_check(check, columns, good, bad):
    row = {"response": bad, "reference_response": good, **columns}
    assert verified(row, check, check_reference=True)["all_passed"] is False
    wrong = {**row, "response": good, "reference_response": bad}
    raises_row_error("verify.reference_fails", lambda: verified(wrong, check, check_reference=True))


def test_a_trusted_answer_without_a_verdict_does_not_pass():
    row = {"response": "a", "reference_response": "a", "expression": "("}
    raises_row_error("verify.reference_fails", lambda: verified(row, COLUMN_OF_EACH["regex"], check_reference=True))


@pytest.mark.parametrize("gold", ["\\frac{1}{2}", "#### 0.5", "$0.5$"])
def test_a_known_answer_of_maths_is_its_own_trusted_answer(gold):
    pytest.importorskip("math_verify")
    check = stage(COLUMN_OF_EACH["math"], check_reference=True)
    assert check.inputs.names == ["response", "gold"]
    row = {"response": "It is \\boxed{\\frac{2}{4}}", "gold": gold}
    assert verified(row, COLUMN_OF_EACH["math"], check_reference=True)["all_passed"]


def test_a_known_answer_that_is_no_mathematics_goes():
    pytest.importorskip("math_verify")
    row = {"response": "\\boxed{1}", "gold": ""}
    raises_row_error("verify.reference_fails", lambda: verified(row, COLUMN_OF_EACH["math"], check_reference=True))


def test_trusted_code_passes_its_own_tests():
    need_walls_or_skip()
    good, bad = ("```python\nx = 1\n```", "```python\nx = 2\n```")
    row = {"response": bad, "reference_response": good, "unit_tests": "assert x == 1"}
    assert verified(row, COLUMN_OF_EACH["code"], check_reference=True)["all_passed"] is False
    swapped = row | {"response": good, "reference_response": bad}
    error = raises_row_error(
        "verify.reference_fails", lambda: verified(swapped, COLUMN_OF_EACH["code"], check_reference=True)
    )
    assert "the tests: AssertionError" in error.message


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        ([], "at least 1 item"),
        ([SHORT, SHORT], "the name length stands twice"),
        ([{"kind": "instructions"}, {"kind": "instructions", "name": "more"}], "one check of kind instructions is all"),
        ([{"kind": "spelling"}], "does not match any of the expected tags"),
        ([{**SHORT, "weight": 0}], "greater than 0"),
    ],
)
def test_checks_that_make_no_sense_are_refused(checks, told):
    with pytest.raises(ValidationError, match=told):
        stage(*checks)


def test_what_decides_is_part_of_the_fingerprint():
    pytest.importorskip("math_verify")
    assert stage(SHORT).digest() == {}
    found = stage({"kind": "math"}, {"kind": "json_schema"}).digest()
    assert set(found) == {"math-verify", "jsonschema"}
    need_walls_or_skip()
    assert set(stage({"kind": "code"}).digest()) == {"python"}


def test_a_library_that_is_not_there_is_named_with_what_to_install():
    with pytest.raises(PrerequisiteError, match=r"no-such-package not installed; pip install 'prefmill\[verify\]'"):
        _version("no-such-package", "pip install 'prefmill[verify]'")
    with pytest.raises(PrerequisiteError, match="pip install no-such-package"):
        _version("no-such-package", "")


def test_figures_over_checks():
    assert (fraction_passed([True, None, False]), fraction_passed([None])) == (0.5, None)
    assert weighted_mean([1.0, 0.0], [1.0, 3.0]) == 0.25 and weighted_mean([1.0, None], [1.0, 1.0]) is None


def test_it_asks_no_engine_and_keeps_other_columns():
    row = {"response": "a", "prompt": [{"role": "user", "content": "Hi"}], "kept": json.dumps({})}
    made = verified(row, SHORT)
    assert row.items() <= made.items() and not stage(SHORT).engine_roles and MESSAGES


def test_the_report_counts_verdicts_of_each_check():
    checks = stage(SHORT, {"kind": "regex", "pattern_column": "expression", "name": "pattern"})
    rows = [{"id": str(i), "response": "a", "expression": e} for i, e in enumerate(("a", "b", "("))]
    made = [row for r in rows for row in process_row(checks, r)]
    table = pa.Table.from_pylist([{n: row[n] for n in checks.outputs.names} for row in made], checks.outputs)
    [told] = checks.report(BooksInMemory(3, table))
    assert told.rows == (
        ("length", 3, 0, 0, 1.0, "0.439 to 1.000"),
        ("pattern", 1, 1, 1, 0.5, "0.095 to 0.905"),
    )


def test_the_report_of_a_check_without_any_verdict_has_no_share():
    checks = stage({"kind": "regex", "pattern_column": "expression"})
    [made] = process_row(checks, {"id": "r", "response": "a", "expression": "("})
    table = pa.Table.from_pylist([{n: made[n] for n in checks.outputs.names}], checks.outputs)
    assert checks.report(BooksInMemory(1, table))[0].rows == (("regex", 0, 0, 1, None, None),)
