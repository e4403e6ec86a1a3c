"""Maths answers, patterns, JSON and lengths; and the process in which the first three run under a time limit."""

import asyncio
import subprocess
import sys
import time

import pytest
from pydantic import ValidationError

from pipeline.api import EngineError
from stages.verification.bounded import BoundedWorker, _finish
from stages.verification.lengths import LengthCheck, length_of, within_bounds
from stages.verification.maths import as_response, compare_answers, last_boxes
from stages.verification.patterns import RegexCheck, match_pattern
from stages.verification.schemas import SchemaCheck, fault_of, fit_schema, json_part

POINT = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("response", "answer", "passed"),
    [
        ("So the answer is $\\frac{1}{2}$.", "0.5", True),
        ("It is \\boxed{\\frac{3}{6}}", "\\frac{1}{2}", True),
        ("The result: 1,234", "#### 1234", True),
        ("I get \\boxed{12}.", "We add.\n#### 13", False),
        ("\\boxed{x = 3}", "3", True),
        ("\\boxed{(1, 2)}", "$(1,2)$", True),
        ("\\boxed{2(x+1)}", "2x+2", True),
        ("First \\boxed{3}, then \\boxed{4}", "4", True),
        ("First \\boxed{3}, then \\boxed{4}", "3", False),
        ("$\\boxed{2}$ and $\\boxed{1}$", "1, 2", True),
        ("\\boxed{50\\%}", "0.5", True),
        ("\\boxed{[1, 2)}", "[1, 2]", False),
        ("\\boxed{\\{2, 1\\}}", "\\{1, 2\\}", True),
        ("\\boxed{x > 3}", "x < 3", False),
        ("\\boxed{0.3333}", "\\frac{1}{3}", False),
        ("I do not know.", "3", None),
        ("\\boxed{3}", "", None),
    ],
)
def test_answers_are_compared_as_mathematics(response, answer, passed):
    pytest.importorskip("math_verify")
    assert compare_answers(response, answer)["passed"] is passed


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no box: $4$", "no box: $4$"),
        ("\\boxed{3}\n\\boxed{4}", "$\\boxed{4}$"),
        ("\\boxed{3}, \\boxed{4}", "$\\boxed{3}$, $\\boxed{4}$"),
        ("\\boxed{1} so \\boxed{3} \\text{ or } $\\boxed{4}$.", "$\\boxed{3}$, $\\boxed{4}$"),
        ("\\boxed{3} \\boxed{ } \\boxed{4", "$\\boxed{3}$"),
        ("}} \\boxed {\\boxed{\\{1\\}}} {", "$\\boxed {\\boxed{\\{1\\}}}$"),
        ("\\\\boxed{3}", "\\\\boxed{3}"),
        ("\\boxed{}", "\\boxed{}"),
    ],
)
def test_the_last_box_counts_with_those_it_is_listed_with(text, kept):
    assert last_boxes(text) == kept


def test_many_boxes_take_no_long_time():
    start = time.process_time()
    assert last_boxes("\\boxed{" * 50_000 + "1" + "}" * 50_000).startswith("$\\boxed{\\boxed{")
    assert last_boxes("\\boxed{1} " * 50_000) == "$\\boxed{1}$"
    assert time.process_time() - start < 2


@pytest.mark.parametrize("hostile", ["9^{9^{9^{9}}}", "2^{2^{2^{2^{2^{2}}}}}", "(" * 5_000 + "1" + ")" * 5_000])
def test_a_result_that_takes_for_ever_is_ended(hostile):
    pytest.importorskip("math_verify")
    [verdict] = asked(("math", {"response": f"\\boxed{{{hostile}}}", "answer": "3"}, 1.0))
    assert verdict.passed is None and verdict.note == "not decided within 1 s"


KNOWN = ["42", "\\frac{1}{2}", "$x^2$", "text\n#### 7", "\\boxed{5}", "(1, 2]", "\\text{B}", "50\\%", "x < 3"]


@pytest.mark.parametrize("answer", KNOWN)
def test_a_known_answer_equals_itself(answer):
    pytest.importorskip("math_verify")
    assert compare_answers(as_response(answer), answer)["passed"] is True


@pytest.mark.parametrize(
    ("text", "pattern", "full", "flags", "passed"),
    [
        ("a b", "b", False, [], True),
        ("a B", "b", False, [], False),
        ("a B", "b", False, ["ignore_case"], True),
        (" ab\n", "ab", True, [], True),
        ("abc", "ab", True, [], False),
        ("x\ny", "^y$", False, ["multiline"], True),
        ("x\ny", "x.y", False, ["dot_all"], True),
    ],
)
def test_a_pattern_is_looked_for_as_told(text, pattern, full, flags, passed):
    assert match_pattern(text, pattern, full, flags, forbid=False)["passed"] is passed
    assert match_pattern(text, pattern, full, flags, forbid=True)["passed"] is not passed


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}"])
def test_a_row_whose_pattern_is_none_has_no_verdict(pattern):
    assert match_pattern("a", pattern, False, [], False)["passed"] is None


def test_a_check_of_kind_regex_has_one_pattern_that_compiles():
    for options in ({}, {"pattern": "a", "pattern_column": "p"}):
        with pytest.raises(ValidationError, match="either pattern or pattern_column"):
            RegexCheck(**options)
    with pytest.raises(ValidationError, match="no regular expression"):
        RegexCheck(pattern="(")


@pytest.mark.parametrize(
    ("text", "part", "passed", "note"),
    [
        ('{"x": 1}', "whole", True, "fits the schema"),
        ('```json\n{"x": 1}\n```', "whole", True, "fits the schema"),
        ('Sure:\n```json\n{"x": 1}\n```', "whole", False, "no JSON"),
        ('Sure:\n```json\n[]\n```\nor\n```json\n{"x": 1}\n```', "fenced", True, "fits the schema"),
        ('{"x": 1}', "fenced", False, "no JSON"),
        ('{"x": "1"}', "whole", False, "$.x: '1' is not of type 'integer'"),
        ("{}", "whole", False, "$: 'x' is a required property"),
        ("[" * 100_000, "whole", False, "no JSON"),
        ('{"x": NaN}', "whole", False, "no JSON: NaN is none of its values"),
    ],
)
def test_a_response_is_read_as_json_and_held_against_the_schema(text, part, passed, note):
    found = fit_schema(text, POINT, part)
    assert found["passed"] is passed and found["note"].startswith(note)


def test_without_a_schema_any_json_passes_and_a_row_may_bring_its_own():
    assert fit_schema("[1]", None, "whole") == {"passed": True, "note": "JSON"}
    assert fit_schema("[1]", '{"type": "array"}', "whole")["passed"] is True
    assert fit_schema("[1]", "false", "whole")["passed"] is False


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("{", "no JSON"),
        ("3", "an object, true or false"),
        ('{"type": "no such type"}', "cannot be used: $.type"),
        ('{"anyOf": [{"$ref": "http://127.0.0.1/x.json"}]}', "nothing is fetched"),
    ],
)
def test_a_schema_that_cannot_be_used_leaves_no_verdict(schema, told):
    found = fit_schema("[1]", schema, "whole")
    assert found["passed"] is None and told in found["note"]


def test_references_within_the_schema_are_followed():
    schema = {"$defs": {"n": {"type": "number"}}, "items": {"$ref": "#/$defs/n"}}
    assert fault_of(schema) is None
    assert [fit_schema(t, schema, "whole")["passed"] for t in ("[1, 2]", '["a"]')] == [True, False]


def test_a_reference_that_leads_nowhere_is_told_and_stops_nothing():
    found = fit_schema("[1]", {"items": {"$ref": "#/$defs/n"}}, "whole")
    assert found["passed"] is None and "refers to" in found["note"]
    with pytest.raises(RecursionError):
        fit_schema("[1]", {"$ref": "#"}, "whole")


def test_a_schema_of_the_recipe_is_checked_when_it_is_read():
    with pytest.raises(ValidationError, match="no schema that can be used"):
        SchemaCheck(json_schema={"type": 3})
    with pytest.raises(ValidationError, match="not both"):
        SchemaCheck(json_schema={}, schema_column="schema")


def test_the_json_of_a_response_is_all_of_it_or_its_last_block():
    assert json_part(" 1 ", "whole") == "1" and json_part("no block", "fenced") == ""


@pytest.mark.parametrize(
    ("unit", "count"), [("words", 6), ("characters", 33), ("sentences", 3), ("paragraphs", 2), ("lines", 3)]
)
def test_the_length_of_a_text_has_a_unit(unit, count):
    assert length_of("One two.\nThree, four!\n\nFive, six.", unit) == count


def test_bounds_include_their_ends_and_one_of_them_is_enough():
    both = LengthCheck(least=2, most=3)
    assert [within_bounds(t, both).passed for t in ("a", "a b", "a b c", "a b c d")] == [False, True, True, False]
    assert within_bounds("", LengthCheck(most=0)).passed and within_bounds("a", LengthCheck(least=1)).note == "1 words"


@pytest.mark.parametrize(("options", "told"), [({}, "needs least, most"), ({"least": 3, "most": 2}, "above most 2")])
def test_a_check_of_kind_length_has_bounds_in_order(options, told):
    with pytest.raises(ValidationError, match=told):
        LengthCheck(**options)


def asked(*requests):
    """Ask one worker after another, and return the verdicts."""

    async def work():
        worker = BoundedWorker()
        try:
            return [await worker.ask(*request) for request in requests]
        finally:
            worker.close()
            worker.close()

    return asyncio.run(work())


def pattern(text, expression):
    return {"text": text, "pattern": expression, "full": False, "flags": [], "forbid": False}


def test_a_pattern_without_end_is_ended_and_the_next_check_runs():
    endless, next_one, other = asked(
        ("regex", pattern("a" * 60 + "!", "(a+)+$"), 0.2),
        ("regex", pattern("a!", "a!"), 2.0),
        ("json_schema", {"text": "[1]", "schema": None, "part": "whole"}, 2.0),
    )
    assert (endless.passed, endless.note) == (None, "not decided within 0.2 s")
    assert next_one.passed and other.passed


def test_a_check_that_only_waits_is_ended_by_the_clock():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"], stdout=subprocess.PIPE, text=True)
    assert BoundedWorker()._line(process, 0.2) == ""
    process.wait()
    process.stdout.close()


def test_a_process_that_does_not_end_by_itself_is_ended():
    command = [sys.executable, "-c", "import time; time.sleep(99)"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _finish(process, 0.1)
    assert process.returncode == -9


def test_recursion_without_end_is_not_decided():
    deep = '{"items": ' * 300 + "true" + "}" * 300
    [found] = asked(("json_schema", {"text": "[" * 300 + "]" * 300, "schema": deep, "part": "whole"}, 5.0))
    assert found.passed is None and found.note == "not decided: RecursionError"


def test_a_process_that_ended_meanwhile_is_started_again():
    async def work():
        worker = BoundedWorker()
        first = await worker.ask("regex", pattern("a", "a"), 2.0)
        worker._process.kill()
        worker._process.wait()
        second = await worker.ask("regex", pattern("a", "a"), 2.0)
        worker.close()
        return first, second

    first, second = asyncio.run(work())
    assert first.passed and second.passed


def test_a_process_that_ends_otherwise_says_with_what():
    assert BoundedWorker._why_none(1, 2.0) == "not decided: its process ended with 1"
    assert BoundedWorker._why_none(-9, 2.0) == BoundedWorker._why_none(-27, 2.0) == "not decided within 2 s"


def test_a_check_that_the_process_does_not_know_ends_the_run():
    with pytest.raises(EngineError, match="kind 'no such check' did not start"):
        asked(("no such check", {}, 1.0))
