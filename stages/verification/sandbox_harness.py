"""The program that runs a response's code, and then tests, in one name space, behind walls; never imported for use.

It reads messages from pipe 4: eight bytes of length, a word, a line feed, and text. The first brings the code. When the
code has ended it sends the word back through pipe 6, and only then gets the tests, with the secret of a success; where
the tests end as well it sends the secret through pipe 5, else what went wrong. So leaving early is no success, and the
tests can neither be read nor be answered in advance. Between the two it takes back what the code may have changed
under the tests' feet: built-in functions, importers, tracing, timers, and the modules that tests compare with. What
it needs itself is taken before the code runs, so that replacing a function changes nothing here.

It does not stop code that looks for the word in the frames of this process, hides a built-in function behind a name of
its own, or returns objects that are equal to everything: code and tests share one process. Standard library only.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_COMPARED_WITH = ("unittest", "doctest", "math")


def harness() -> None:  # pragma: no cover - runs where coverage cannot follow
    """Run code and tests, tell how it went, and leave."""
    read, write, leave, dumps, run, compiled = os.read, os.write, os._exit, json.dumps, exec, compile
    length, number, kind, text_of, anything, clean = len, int.from_bytes, type, str, BaseException, _cleaner()

    def given() -> tuple[bytes, str]:
        message, missing = b"", number(read(4, 8), "big")
        while missing:
            part = read(4, missing)
            message, missing = message + part, missing - length(part)
        word, _, text = message.partition(b"\n")
        return word, text.decode()

    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    sys.setrecursionlimit(5000)
    space: dict[str, Any] = {"__name__": "response"}
    place = "code"
    try:
        word, text = given()
        run(compiled(text, "response.py", "exec", dont_inherit=True), space)
        place = "tests"
        clean(space)
        write(6, word)
        word, text = given()
        run(compiled(text, "tests.py", "exec", dont_inherit=True), space)
    except anything as error:
        try:
            text = text_of(error)[:300]
        except anything:
            text = ""
        write(5, dumps({"part": place, "error": kind(error).__name__[:60], "text": text}).encode()[:4000])
        leave(1)
    write(5, word)
    leave(0)


def _cleaner() -> Callable[[dict[str, Any]], None]:  # pragma: no cover - as above
    """Return what takes the code's changes back, with all that it needs for it."""
    names, own, modules, forget = vars(builtins), dict(vars(builtins)), sys.modules, sys.modules.pop
    lists: list[list[Any]] = [sys.meta_path, sys.path_hooks, sys.path]
    kept = [(those, those[:]) for those in lists]
    trace, profile, alarm, begins, copied = sys.settrace, sys.setprofile, signal.setitimer, str.startswith, list
    compared_with = _COMPARED_WITH

    def clean(space: dict[str, Any]) -> None:
        trace(None)
        profile(None)
        alarm(0, 0)  # real time
        names.update(own)
        space["__builtins__"] = builtins
        for those, before in kept:
            those[:] = before
        for name in copied(modules):
            if begins(name, compared_with):
                forget(name, None)

    return clean


if __name__ == "__main__":  # pragma: no cover - as above
    harness()
