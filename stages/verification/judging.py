"""Put one response to one check of any kind, in the place where that kind runs."""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline.api import Row
from stages.verification.bounded import BoundedWorker
from stages.verification.code_checks import CodeCheck, code_of
from stages.verification.instruction_lists import InstructionsCheck, follow, instructions_of, verdict_of
from stages.verification.lengths import LengthCheck, within_bounds
from stages.verification.maths import MathCheck
from stages.verification.patterns import RegexCheck
from stages.verification.sandbox import run_code
from stages.verification.schemas import SchemaCheck
from stages.verification.verdicts import Verdict, judged

Check = MathCheck | InstructionsCheck | SchemaCheck | RegexCheck | LengthCheck | CodeCheck


class Checker:
    """What checks need to run: a process for those without a foreseeable time, and room for those that run code.

    Args:
        sandboxes: how many run code at once.
    """

    def __init__(self, sandboxes: int) -> None:
        """Start nothing yet."""
        self._worker = BoundedWorker()
        self._sandboxes = sandboxes
        self._room: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None

    async def judge(self, check: Check, row: Row, response: str, secret: str) -> Verdict:
        """Return the verdict of a check on a response; a null in a column it reads leaves none.

        Raises:
            EngineError: the process for checks does not start.
            PrerequisiteError: the system forbids to wall code in.
        """
        if isinstance(check, LengthCheck):
            return within_bounds(response, check)
        if isinstance(check, InstructionsCheck):
            return _instructions(check, row, response)
        if isinstance(check, CodeCheck):
            return await self._code(check, row, response, secret)
        return await self._bounded(check, row, response)

    async def _bounded(self, check: MathCheck | RegexCheck | SchemaCheck, row: Row, response: str) -> Verdict:
        needed: Any = ""
        if isinstance(check, MathCheck):
            needed = row[check.answer_column]
            arguments: dict[str, Any] = {"response": response, "answer": needed}
        elif isinstance(check, RegexCheck):
            needed = check.pattern if check.pattern_column is None else row[check.pattern_column]
            arguments = {"text": response, "pattern": needed, "full": check.match == "full"}
            arguments |= {"flags": list(check.flags), "forbid": check.forbid}
        else:
            schema = check.json_schema
            if check.schema_column is not None:
                needed = schema = row[check.schema_column]
            arguments = {"text": response, "schema": schema, "part": check.part}
        if needed is None:
            return judged(None, "the row does not say what to check for")
        return await self._worker.ask(check.kind, arguments, check.time_limit_s)

    async def _code(self, check: CodeCheck, row: Row, response: str, secret: str) -> Verdict:
        tests, code = row[check.tests_column], code_of(response, check.block, check.bare)
        if tests is None:
            return judged(None, "the row has no tests")
        if code is None:
            return judged(None, "no block of code in the response")
        async with self._sandbox_room():
            return await run_code(code, tests, check.limits(), secret)

    def _sandbox_room(self) -> asyncio.Semaphore:
        """Return the semaphore of the running loop; one belongs to a loop."""
        loop = asyncio.get_running_loop()
        if self._room is None or self._room[0] is not loop:
            self._room = (loop, asyncio.Semaphore(self._sandboxes))
        return self._room[1]


def _instructions(check: InstructionsCheck, row: Row, response: str) -> Verdict:
    try:
        return verdict_of(follow(response, _wanted(check, row)), check.mode)
    except ValueError as e:
        return judged(None, str(e))


def _wanted(check: InstructionsCheck, row: Row) -> list[tuple[str, Any]]:
    if check.instructions is not None:
        return [(one["id"], one) for one in check.instructions]
    return instructions_of(row[check.ids_column], row[check.arguments_column])
