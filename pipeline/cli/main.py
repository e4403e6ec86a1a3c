"""The command `prefmill`: registers the commands and turns every error into text and an exit code.

Exit codes: 0 done, 1 a bug, 2 a mistake in recipe, command or prerequisites, 3 the run folder contradicts the recipe,
4 an engine cannot go on, 5 too many rejects, 6 done with rejects below the allowed rate, 7 stopped but resumable,
8 a stored file is damaged.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import cast

import typer

from pipeline.cli import about, audit, fetch, inspect, publish, recipes, rows, runs, work
from pipeline.errors import PipelineError, StageBug

_CommandLineError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])
"""`ClickException`, the base of what typer raises for a mistake in the command line: click's own class in older
versions of typer, one of typer's in newer ones, which come without click."""

app = typer.Typer(
    name="prefmill",
    help="Turn a recipe into a preference dataset, resumably.",
    epilog="Exit codes: 0 done; 2 recipe or prerequisites; 3 contradicts the run folder; 4 engine; 5 too many rejects; "
    "6 done, some rows rejected; 7 stopped, can be resumed; 8 damaged file; 1 bug.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (recipes, fetch, runs, audit, inspect, rows, publish, about, work):
    module.register(app)


def main() -> None:
    """Run the command line; the entry point of the console script."""
    logging.basicConfig(level=os.environ.get("PREFMILL_LOG", "WARNING").upper(), format="%(name)s: %(message)s")
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors go to standard error."""
    try:
        _refuse_shadowed_packages()
        code = app(args=arguments, prog_name="prefmill", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except _CommandLineError as e:
        e.show()
        return e.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("stopped before anything was begun", file=sys.stderr)
        return 130
    except StageBug as e:
        traceback.print_exception(e.__cause__ or e, file=sys.stderr)
        print(f"bug: {e}", file=sys.stderr)
        return e.exit_code
    except PipelineError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code


def _refuse_shadowed_packages() -> None:
    """`pipeline` and `stages` are plain names: say so when another package of that name is in front of ours."""
    import pipeline
    import stages

    ours, theirs = (os.path.dirname(os.path.dirname(str(m.__file__))) for m in (pipeline, stages))
    if ours != theirs:
        raise PipelineError(
            f"'pipeline' comes from '{ours}' but 'stages' from '{theirs}': a package of that name shadows ours; "
            "start the command from another folder or uninstall it"
        )


if __name__ == "__main__":
    main()
