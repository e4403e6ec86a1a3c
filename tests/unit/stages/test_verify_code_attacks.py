"""Code that attacks: what is no pass although it tries to look like one, and calls that the kernel refuses."""

import asyncio
import struct
import sys
import types

import pytest

from stages.verification import sandbox_harness, sandbox_launcher
from stages.verification.sandbox import Limits, run_code
from stages.verification.sandbox_filter import filter_program
from tests.unit.stages.walls import need_walls_or_skip


@pytest.fixture(scope="module", autouse=True)
def walls():
    need_walls_or_skip()


def run(code, tests="assert False", wall_s=20.0):
    limits = Limits(cpu_s=2, wall_s=wall_s, memory_mb=256, disk_mb=8)
    return asyncio.run(run_code(code, tests, limits, "5ec4e7"))


LEAVING = [
    "import sys; sys.exit(0)",
    "exit()",
    "raise SystemExit(0)",
    "import os; os._exit(0)",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "import os; os.write(5, b'{}'); os._exit(0)",
    "import os; os.write(6, b'0' * 32); os.write(5, os.read(4, 64)); os._exit(0)",
    "import os; os.execv('/bin/true', ['true'])",
    "import os\nif os.fork():\n    os._exit(0)",
]


@pytest.mark.parametrize("code", LEAVING)
def test_code_that_leaves_before_its_tests_does_not_pass(code):
    assert run(code).passed is False


def test_waiting_for_the_secret_where_it_comes_from_brings_none():
    verdict = run("import os; os.write(5, os.read(4, 64)); os._exit(0)", wall_s=2.0)
    assert (verdict.passed, verdict.note) == (False, "did not end within 2 s")


def test_the_tests_cannot_be_read_before_they_run():
    looks = """
import gc, os, sys
seen = [str(v) for v in gc.get_objects() if isinstance(v, (dict, list))] + [str(sys.orig_argv)]
for folder, _, names in os.walk("/"):
    if folder.split("/")[1] not in ("usr", "lib", "lib64", "bin", "dev", "root", "home", "opt"):
        seen += [open(os.path.join(folder, name), errors="replace").read() for name in names if name != "ld.so.cache"]
"""
    assert run(looks, "assert not [s for s in seen if 'quince' in s]").passed


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("import builtins\nbuiltins.compile = lambda *a, **k: (lambda: 0).__code__", "assert False"),
        ("import builtins\nbuiltins.exec = lambda *a: None", "assert False"),
        ("import builtins\nbuiltins.abs = lambda x: 0", "assert abs(5) < 1"),
        ("__builtins__ = {'abs': lambda x: 0}", "assert abs(5) < 1"),
        ("import builtins\nbuiltins.AssertionError = None\nbuiltins.BaseException = KeyError", "assert False"),
        ("import math\nmath.isclose = lambda *a, **k: True", "import math\nassert math.isclose(1, 2)"),
        ("import unittest\nunittest.TestCase.fail = lambda *a: 0", "import unittest\nunittest.TestCase().fail()"),
        ("import sys\nsys.meta_path.insert(0, None)\nsys.path[:] = ['/work']", "import unittest\nassert False"),
        ("import json\njson.dumps = lambda *a: '5ec4e7'\nimport os\nos.write = os._exit = print", "assert False"),
        ("import atexit, os\natexit.register(os._exit, 0)", "assert False"),
        ("def f():\n    raise SystemExit(0)", "f()\nassert False"),
        ("import sys\nsys.settrace(lambda f, e, a: sys.exit(0))", "assert False"),
        ("import sys\nsys.excepthook = lambda *a: None", "assert False"),
    ],
)
def test_changes_under_the_tests_feet_are_no_pass(code, tests):
    assert run(code, tests).passed is False


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        ("def f():\n    return type('Any', (), {'__eq__': lambda a, b: True})()", "assert f() == 4"),
        ("abs = lambda x: 0", "assert abs(5) < 1"),
    ],
)
def test_what_the_page_says_can_still_be_forged(code, tests):
    assert run(code, tests).passed


@pytest.mark.parametrize("family", [17, 29, 30, 31, 38, 40], ids=["packet", "can", "tipc", "bluetooth", "alg", "vsock"])
def test_other_families_of_sockets_are_refused(family):
    code = f"import socket\nsocket.socket({family}, socket.SOCK_STREAM)"
    assert "OSError: [Errno 97] Address family not supported" in run(code).note


CALLS = "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("c.unshare(0x10000000)", 1),
        ("c.ptrace(16, 1, 0, 0)", 1),
        ("c.mount(b'x', b'/work', b'tmpfs', 0, None)", 1),
        ("c.chroot(b'/work')", 1),
        ("c.memfd_create(b'x', 0)", 38),
        ("c.shmget(0, 4096, 0o1600)", 38),
        ("c.clone(None, None, 0x10000000)", 22),
        ("c.setuid(0)", 1),
    ],
)
def test_calls_that_begin_an_escape_are_refused(call, error):
    assert run(f"{CALLS}r = {call}\nn = ctypes.get_errno()", f"assert (r, n) == (-1, {error}), (r, n)").passed


@pytest.mark.parametrize("program", [sandbox_launcher, sandbox_harness])
def test_the_programs_that_run_code_need_the_standard_library_only(program):
    found = {t for t in vars(program).values() if isinstance(t, types.ModuleType)}
    assert found and {t.__name__ for t in found} <= sys.stdlib_module_names


def test_there_is_one_root_and_no_process_but_its_own():
    assert run("import os", "assert os.path.samefile('/', '/../..') and 'given.json' not in os.listdir('/')").passed
    assert run("import os\nos.kill(-1, 9)").note == "the code: ProcessLookupError: [Errno 3] No such process"
    assert run("import os", "assert sorted(os.environ) == ['HOME', 'LANG', 'PATH'], sorted(os.environ)").passed


def outcome(machine, architecture, number, argument=0):
    """Return what the filter says of a call: 0 if it may be made, an error number, or None if the process is killed."""
    data = struct.pack("=IIQQ", number, architecture, 0, argument)
    program = list(struct.iter_unpack("=HBBI", filter_program(machine)))
    at = held = 0
    while True:
        code, jump, no_jump, value = program[at]
        if code == 0x06:
            return {0x7FFF0000: 0, 0x80000000: None}.get(value, value - 0x50000)
        if code == 0x20:
            held, jump, no_jump = struct.unpack_from("=I", data, value)[0], 0, 0
        holds = {0x20: True, 0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
        at += 1 + (jump if holds else no_jump)


@pytest.mark.parametrize(
    ("machine", "architecture", "socket", "clone", "keyctl", "execve"),
    [("x86_64", 0xC000003E, 41, 56, 250, 59), ("aarch64", 0xC00000B7, 198, 220, 219, 221)],
)
def test_the_filter_of_each_machine(machine, architecture, socket, clone, keyctl, execve):
    def told(number, argument=0):
        return outcome(machine, architecture, number, argument)

    assert [told(socket, family) for family in (1, 2, 10, 16, 0, 17, 38, 40)] == [0, 0, 0, 0, 97, 97, 97, 97]
    assert [told(clone, flags) for flags in (17, 0x3D0F00, 0x10000011)] == [0, 0, 1]
    assert [told(n) for n in (keyctl, 425, 435, execve, 0x40000000 | execve)] == [1, 38, 38, 0, 38]
    assert outcome(machine, 0x40000003, execve) is None and filter_program("riscv64") is None
