"""The process in which checks run whose time cannot be foreseen: computer algebra, foreign patterns and schemas.

Reads requests from standard input, a line of JSON each (`function`, `arguments`, `cpu_s`), and writes a line when the
function's module is loaded and a line with its result. A request that uses more processor time than it may ends this
process, also in the middle of a regular expression, which nothing else can interrupt; processor time, so that a busy
machine does not change verdicts. Started by `bounded.py`; it ends when its input does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from importlib import import_module

FUNCTIONS = {
    "math": "stages.verification.maths:compare_answers",
    "regex": "stages.verification.patterns:match_pattern",
    "json_schema": "stages.verification.schemas:fit_schema",
}
_MEMORY = 4 << 30


def main() -> None:
    """Answer until the input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what a library prints must not come between
        for line in sys.stdin:
            request = json.loads(line)
            module, _, name = FUNCTIONS[request["function"]].partition(":")
            function = getattr(import_module(module), name)
            out.write("loaded\n")
            out.flush()
            signal.setitimer(signal.ITIMER_PROF, request["cpu_s"])
            try:
                result = function(**request["arguments"])
            except (MemoryError, RecursionError) as error:
                result = {"passed": None, "note": f"not decided: {type(error).__name__}"}
            signal.setitimer(signal.ITIMER_PROF, 0)
            out.write(json.dumps(result) + "\n")
            out.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    main()
