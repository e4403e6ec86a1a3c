"""Verify responses by rules, without a model: maths answers, instructions, JSON, patterns, length, code.

Sources: math-verify; IFEval, arXiv:2311.07911; JSON schema; tests run behind walls. Verifiable rewards as in Tulu 3
(arXiv:2411.15124). All checks of the recipe run on every row. A verdict that cannot be made is null and
never a failure, and a trusted answer that does not pass its own verifier rejects the row. It does not know whether a
response that passes is good: only that it passes.
"""

from __future__ import annotations

import asyncio
import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    ExecutionOnly,
    Json,
    PrerequisiteError,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
)
from stages.verification.check_report import check_table
from stages.verification.instruction_lists import InstructionsCheck
from stages.verification.judging import Check, Checker
from stages.verification.maths import MathCheck, as_response
from stages.verification.sandbox import need_walls
from stages.verification.verdicts import NAME, Verdict

_LIBRARIES = {"math": ("math-verify", "pip install 'prefmill[verify]'"), "json_schema": ("jsonschema", "")}


class VerifyResponsesConfig(StageConfig):
    """Options of `verify_responses`."""

    checks: tuple[Annotated[Check, Field(discriminator="kind")], ...] = Field(min_length=1)
    """What is checked; each with its `kind` and the options of that kind."""
    prefix: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """Put before the names of all output columns, so that a recipe can verify twice."""
    check_reference: bool = False
    """Verify the trusted answer of each row first; a row whose trusted answer does not pass is rejected."""
    reference_column: str = Field("reference_response", pattern=NAME)
    """The trusted answer. Checks of kind math take the known answer itself."""
    unmade: Literal["keep", "reject"] = "keep"
    """What becomes of a row in which a verdict could not be made."""
    sandboxes: Annotated[int, ExecutionOnly(), Field(ge=1, le=256)] = 4
    """How many responses' code runs at once."""

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = [name_of(check) for check in self.checks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"checks: the name {', '.join(twice)} stands twice; give each its own by 'name'")
        if [check.kind for check in self.checks].count("instructions") > 1:
            raise ValueError("checks: one check of kind instructions is all; put what they ask for into one list")
        return self


class VerifyResponses(RowStage):
    """Adds, for each check in order, its name, verdict, score and note, and figures over all of them.

    `check_passed` and `check_scores` hold null where no verdict could be made, with the reason in `check_notes`.
    `verified_fraction` is the share passed of the checks with a verdict, null if there is none; `all_passed` is false
    if one failed, true if all passed, else null; `verifier_reward` is the weighted mean of all scores, 0 to 1, null if
    one is missing. A check of kind instructions fills `instructions_strict` and `instructions_loose`.

    Reject codes:
        verify.no_response: the response is null.
        verify.reference_fails: the trusted answer does not pass its own verifier, or is missing.
        verify.no_verdict: a verdict could not be made, with `unmade: reject`.
    """

    name: ClassVar[str] = "verify_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = VerifyResponsesConfig

    config: VerifyResponsesConfig

    def __init__(self, config: VerifyResponsesConfig) -> None:
        """Read the columns of the checks."""
        super().__init__(config)
        given: dict[str, Any] = {"response": str}
        for check in config.checks:
            given |= columns_of(check)
        if config.check_reference and any(check.kind != "math" for check in config.checks):
            given[config.reference_column] = str
        self.inputs = columns(**given)
        made: dict[str, Any] = {
            "check_names": list[str],
            "check_passed": list[bool],
            "check_scores": list[float],
            "check_notes": list[str],
            "verified_fraction": float,
            "all_passed": bool,
            "verifier_reward": float,
            "instructions_strict": list[bool],
            "instructions_loose": list[bool],
        }
        self.outputs = columns(**{config.prefix + name: kind for name, kind in made.items()})
        self._checker: Checker | None = None

    def digest(self) -> Mapping[str, Json]:
        """Return the versions of what decides: libraries and, for code, Python.

        Raises:
            PrerequisiteError: a library is missing, or the system forbids to wall code in.
        """
        kinds = {check.kind for check in self.config.checks}
        found: dict[str, Json] = {}
        for kind, (library, how) in _LIBRARIES.items():
            if kind in kinds:
                found[library] = _version(library, how)
        if "code" in kinds:
            need_walls()
            found["python"] = platform.python_version()
        return found

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Run all checks of one response."""
        if row["response"] is None:
            raise RowError("verify.no_response", "the response is null")
        checker = self._checker = self._checker or Checker(self.config.sandboxes)
        secret = f"{ctx.seed(row['id']):x}"
        if self.config.check_reference:
            await self._trust(checker, row, secret)
        verdicts = await asyncio.gather(*(checker.judge(c, row, row["response"], secret) for c in self.config.checks))
        new = {self.config.prefix + name: value for name, value in self._columns(verdicts).items()}
        if self.config.unmade == "reject" and any(v.passed is None for v in verdicts):
            return [Reject({**row, **new}, "verify.no_verdict", "; ".join(self._notes(verdicts, None)))]
        return [{**row, **new}]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Tell how often each check passed, failed, or had no verdict."""
        return [check_table(books.rows([self.config.prefix + n for n in ("check_names", "check_passed")]))]

    async def _trust(self, checker: Checker, row: Row, secret: str) -> None:
        """Reject the row if what is trusted does not pass; null does not pass."""
        verdicts = []
        for check in self.config.checks:
            text = row[check.answer_column] if isinstance(check, MathCheck) else row[self.config.reference_column]
            if text is None:
                raise RowError("verify.reference_fails", f"check '{name_of(check)}': the row has no trusted answer")
            text = as_response(text) if isinstance(check, MathCheck) else text
            verdicts.append(await checker.judge(check, row, text, secret))
        failed = [*self._notes(verdicts, False), *self._notes(verdicts, None)]
        if failed:
            raise RowError("verify.reference_fails", f"the trusted answer does not pass: {'; '.join(failed)}")

    def _notes(self, verdicts: Sequence[Verdict], passed: bool | None) -> list[str]:
        named = zip(self.config.checks, verdicts, strict=True)
        return [f"{name_of(check)}: {v.note}" for check, v in named if v.passed is passed]

    def _columns(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        passed, scores = [v.passed for v in verdicts], [v.score for v in verdicts]
        strict, loose = next((v.parts for v in verdicts if v.parts is not None), (None, None))
        return {
            "check_names": [name_of(check) for check in self.config.checks],
            "check_passed": passed,
            "check_scores": scores,
            "check_notes": [v.note for v in verdicts],
            "verified_fraction": fraction_passed(passed),
            "all_passed": False if False in passed else None if None in passed else True,
            "verifier_reward": weighted_mean(scores, [check.weight for check in self.config.checks]),
            "instructions_strict": None if strict is None else list(strict),
            "instructions_loose": None if loose is None else list(loose),
        }


def name_of(check: Check) -> str:
    """Return what a check is called."""
    return check.name or check.kind


def columns_of(check: Check) -> dict[str, Any]:
    """Return the columns that a check reads besides the response, with their types."""
    if isinstance(check, InstructionsCheck):
        return (
            {} if check.instructions is not None else {check.ids_column: list[str], check.arguments_column: list[str]}
        )
    names = [getattr(check, n, None) for n in ("answer_column", "schema_column", "pattern_column", "tests_column")]
    return {name: str for name in names if name is not None}


def fraction_passed(passed: Sequence[bool | None]) -> float | None:
    """Return the share of verdicts that are True; those that could not be made are not counted."""
    made = [p for p in passed if p is not None]
    return sum(made) / len(made) if made else None


def weighted_mean(scores: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """Return the weighted mean of scores; None if one is missing."""
    if None in scores:
        return None
    return math.fsum(w * s for w, s in zip(weights, scores, strict=True) if s is not None) / math.fsum(weights)


def _version(library: str, how: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        raise PrerequisiteError(f"package {library} not installed; {how or f'pip install {library}'}") from None
