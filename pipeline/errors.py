"""Every error that prefmill raises on purpose, drawn as a tree.

    PipelineError
      RecipeError          the user must edit the recipe                    exit 2
        PlanError          columns, roles or stages do not fit              exit 2
      PrerequisiteError    a package, key, model or device is missing       exit 2
      ResumeError          existing output contradicts this run             exit 3
      EngineError          an engine cannot go on                           exit 4
      RejectRateError      more rows rejected than the recipe allows        exit 5
      Stopped              stopped on purpose, can be resumed               exit 7
      CorruptStore         a committed file is not what its record says     exit 8
      StageBug             a stage broke its contract, shown with traceback exit 1
    RowError               one row cannot be done: becomes a reject, never leaves the runner

A text says what, where, observed against expected, and what to do. `PipelineError` and its children except
`StageBug` are shown without a traceback. Exit 6 is not an error: the run finished, some rows were rejected.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_BUG = 1
EXIT_FINISHED_WITH_REJECTS = 6


class PipelineError(Exception):
    """Base of every error with a text for the user; `exit_code` is what the command returns."""

    exit_code: int = EXIT_BUG


class RecipeError(PipelineError):
    """The recipe is wrong and the user must edit it."""

    exit_code = 2


class PlanError(RecipeError):
    """The recipe reads well, but its columns, roles or stages do not fit together."""


class PrerequisiteError(PipelineError):
    """Something outside the recipe is missing: a package, an environment variable, a model, a device."""

    exit_code = 2


class ResumeError(PipelineError):
    """What lies in the run folder contradicts what this run would write."""

    exit_code = 3


class EngineError(PipelineError):
    """An engine cannot go on: bad credentials, unknown model, dead process.

    Engines retry what is worth retrying themselves (`engines/retry.py`); what reaches the runner ends the run.
    """

    exit_code = 4


class RejectRateError(PipelineError):
    """More rows were rejected than `limits.max_reject_rate` allows."""

    exit_code = 5


class Stopped(PipelineError):
    """The run stopped before its end (signal, full disk, a server that keeps refusing) and can be resumed."""

    exit_code = 7


class CorruptStore(PipelineError):
    """A committed file or record is missing or is not what was written; nothing is deleted or guessed."""

    exit_code = 8


class StageBug(PipelineError):
    """A stage broke its contract or raised something that is not a `RowError`; shown with its traceback."""

    exit_code = EXIT_BUG


class RowError(Exception):
    """One row cannot be done; the runner turns it into a reject.

    Args:
        code: `<area>.<snake_case>`, listed in the stage's docstring.
        message: what was seen against what was expected, without the row's own text where that is long.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        return (RowError, (self.code, self.message))


def error_of(exit_code: int, text: str) -> PipelineError:
    """Return the error that another process ended with, from its exit code and its text."""
    kinds: tuple[type[PipelineError], ...] = (
        PrerequisiteError,
        ResumeError,
        EngineError,
        RejectRateError,
        Stopped,
        CorruptStore,
        StageBug,
    )
    return next((kind(text) for kind in kinds if kind.exit_code == exit_code), PipelineError(text))
