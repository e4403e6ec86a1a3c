"""The error tree: exit codes as documented, and row errors that survive a process border."""

from __future__ import annotations

import re

import pytest

from pipeline import errors
from pipeline.errors import PipelineError, RowError

CODES = {
    "PipelineError": 1,
    "RecipeError": 2,
    "PlanError": 2,
    "PrerequisiteError": 2,
    "ResumeError": 3,
    "EngineError": 4,
    "RejectRateError": 5,
    "Stopped": 7,
    "CorruptStore": 8,
    "StageBug": 1,
}
KINDS = {n: k for n, k in vars(errors).items() if isinstance(k, type) and issubclass(k, PipelineError)}


def test_every_error_has_its_exit_code():
    assert {n: k.exit_code for n, k in KINDS.items()} == CODES
    assert (errors.EXIT_OK, errors.EXIT_BUG, errors.EXIT_FINISHED_WITH_REJECTS) == (0, 1, 6)


@pytest.mark.parametrize("name", sorted(CODES.keys() - {"PipelineError"}))
def test_the_tree_in_the_docstring_names_every_error_and_its_code(name):
    drawn = re.findall(rf"^ +{name} .*?exit (\d)$", errors.__doc__ or "", re.MULTILINE)
    assert drawn == [str(CODES[name])]


def test_a_row_error_is_no_pipeline_error_and_says_code_and_message():
    error = RowError("score.nonfinite", "got nan")
    assert not isinstance(error, PipelineError)
    assert (error.code, error.message, str(error)) == ("score.nonfinite", "got nan", "score.nonfinite: got nan")


def test_a_row_error_is_rebuilt_from_its_parts():
    make, parts = RowError("a.b", "c").__reduce__()[:2]
    again = make(*parts)
    assert (again.code, again.message) == ("a.b", "c")
