"""Code runs behind walls: what it may not do, how it ends, and that nothing of it stays."""

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from pipeline.api import PrerequisiteError
from stages.verification import sandbox_launcher
from stages.verification.code_checks import CodeCheck, blocks_of, code_of
from stages.verification.sandbox import Limits, need_pass, need_walls, read_answer, run_code, verdict_of
from stages.verification.sandbox_launcher import fault_of
from tests.unit.stages.walls import need_walls_or_skip

LIMITS = Limits(cpu_s=1, wall_s=20.0, memory_mb=256, disk_mb=8)


@pytest.fixture(scope="module", autouse=True)
def walls():
    need_walls_or_skip()


def run(code, tests="assert True", limits=LIMITS):
    return asyncio.run(run_code(code, tests, limits, "5ec4e7"))


def test_code_that_keeps_its_tests_passes():
    verdict = run("def double(x):\n    return 2 * x", "assert double(4) == 8\nassert double('a') == 'aa'")
    assert (verdict.passed, verdict.score) == (True, 1.0)


@pytest.mark.parametrize(
    ("code", "tests", "note"),
    [
        ("x = 1", "assert x == 2, 'x is one'", "the tests: AssertionError: x is one"),
        ("def f(:", "assert True", "the code: SyntaxError: invalid syntax (response.py, line 1)"),
        ("raise KeyError('a')", "assert True", "the code: KeyError: 'a'"),
        ("import numpy", "assert True", "the code: ModuleNotFoundError: No module named 'numpy'"),
        ("input()", "assert True", "the code: EOFError: EOF when reading a line"),
    ],
)
def test_an_error_is_told_with_its_place(code, tests, note):
    verdict = run(code, tests)
    assert (verdict.passed, verdict.note) == (False, note)


def test_the_main_part_of_a_program_does_not_run():
    assert run("if __name__ == '__main__':\n    raise SystemExit(1)").passed


def test_an_endless_loop_is_ended_by_processor_time_and_a_long_sleep_by_the_clock():
    assert run("while True:\n    pass").note == "used more than 1 s of processor time"
    sleeping = run("import time; time.sleep(60)", limits=Limits(wall_s=2.0))
    assert (sleeping.passed, sleeping.note) == (False, "did not end within 2 s")


def test_memory_has_an_end():
    assert run("a = ['x' * 10**8 + str(i) for i in range(100)]").note == "the code: MemoryError"


MAIN_ONLY = """
import unittest
class Cases(unittest.TestCase):
    def test_it(self):
        assert False
if __name__ == "__main__":
    unittest.main()
"""

FORKS = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(999)
        count += 1
except OSError:
    pass
"""


def test_processes_have_an_end_and_none_outlives_the_run():
    assert run(FORKS, "assert 1 < count < 16").passed
    assert none_is_left()


def walled_in():
    """Return the processes of the machine that run a response's code."""
    return [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"response.py" in _read(p)]


def none_is_left():
    """Return whether no such process is left; waits a little for those of other test runs."""
    end = time.monotonic() + 10
    while walled_in() and time.monotonic() < end:
        time.sleep(0.05)
    return not walled_in()


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_process_left_behind_does_not_hold_up_the_verdict():
    left = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(999)"
    assert run(left, "assert True").passed


def test_there_is_no_network_not_even_to_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert "Network is unreachable" in run(reach).note
    names = "import socket\nassert [name for _, name in socket.if_nameindex()] in (['lo'], [])"
    assert run(names).passed


def test_nothing_of_the_machine_is_written_and_no_file_of_the_user_is_seen(tmp_path):
    (tmp_path / "secret.txt").write_text("private")
    assert "FileNotFoundError" in run(f"open({str(tmp_path / 'secret.txt')!r})").note
    for place in ("/etc/passwd", "/proc/1/environ", "/sys/kernel", "/usr/src", "/dev/mem", "/tmp/../../etc/shadow"):
        assert "FileNotFoundError" in run(f"open({place!r})").note
    for place in ("/usr/lib/prefmill-was-here", f"{os.path.dirname(os.__file__)}/prefmill_was_here.py"):
        verdict = run(f"open({place!r}, 'w')")
        assert verdict.passed is False and not Path(place).exists()


def test_its_own_folder_can_be_written_within_bounds_and_is_gone_afterwards():
    assert run("open('a.txt', 'w').write('x')", "assert open('/tmp/a.txt').read() == 'x'").passed
    assert run("import os", "assert os.listdir('.') == []").passed
    assert run("with open('big', 'wb') as f:\n    for _ in range(99):\n        f.write(b'x' * 2**20)").passed is False


def test_it_has_no_privileges_and_cannot_take_any():
    assert run("import os", "assert os.getuid() > 0 and os.getgid() > 0 and not os.environ.get('HF_TOKEN')").passed
    assert run("import os", "assert os.system('mount -t tmpfs x /work') and os.system('chroot / true')").passed
    assert "PermissionError" in run("import os, signal\nos.kill(1, signal.SIGKILL)\nos.setuid(0)").note


def test_a_crash_is_a_failure():
    assert run("import ctypes; ctypes.string_at(0)").note == "ended with status 139 before its tests were through"


def test_an_error_whose_text_cannot_be_made_is_told_without_it():
    hostile = "class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E"
    assert run(hostile).note == "the code: E"


def test_a_run_that_is_cancelled_leaves_nothing():
    async def work():
        task = asyncio.ensure_future(run_code("import time; time.sleep(60)", "assert True", Limits(wall_s=60.0), "s"))
        while not walled_in():
            await asyncio.sleep(0.05)
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    [ended] = asyncio.run(work())
    assert isinstance(ended, asyncio.CancelledError)
    assert none_is_left()


def test_a_system_that_forbids_the_walls_is_told_to_the_user():
    for system, machine in (("darwin", "arm64"), ("linux", "riscv64")):
        with pytest.raises(PrerequisiteError, match=f"need Linux on x86-64 or ARM64.*this is {system} on {machine}"):
            need_walls(system, machine)
    with pytest.raises(PrerequisiteError, match="unshare: Operation not permitted.*allow user namespaces"):
        read_answer(b'{"outcome": "refused", "text": "[Errno 1] unshare: Operation not permitted"}')
    with pytest.raises(PrerequisiteError, match="without an answer"):
        read_answer(b"")
    with pytest.raises(PrerequisiteError, match="an empty program: did not end within 20 s"):
        need_pass(verdict_of({"outcome": "time"}, LIMITS, "s"))


def test_a_wall_that_cannot_be_built_refuses_and_runs_nothing():
    with pytest.raises(PrerequisiteError, match="mount: "):
        run("raise SystemExit", limits=Limits(disk_mb=-1))
    with pytest.raises(OSError, match="mount: "):
        sandbox_launcher._mount("none", "/no/such/folder", "no-such-kind", 0)


@pytest.mark.parametrize("report", ["", "null", "[]", "{", '{"part": "else"}', "5ec4e7 ", '"5ec4e7"'])
def test_only_the_secret_itself_is_a_pass(report):
    assert verdict_of({"outcome": "ended", "status": 0, "report": report}, LIMITS, "5ec4e7").passed is False


@pytest.mark.parametrize("tests", ["", "# nothing", "import os", "def check(f):\n    assert f(1) == 2", MAIN_ONLY])
def test_tests_that_check_nothing_give_no_verdict(tests):
    verdict = run("raise SystemExit", tests)
    assert verdict.passed is None and verdict.note.startswith("the row's tests check nothing")


@pytest.mark.parametrize("tests", ["assert f(", "(" * 100_000, "a = 1\0"])
def test_tests_that_are_no_python_give_no_verdict(tests):
    verdict = run("a = 1", tests)
    assert verdict.passed is None and verdict.note.startswith("the row's tests are no Python")


@pytest.mark.parametrize("tests", ["assert True", "check = int\ncheck(1)", "r = int('1')", "for i in 'a':\n    pass"])
def test_tests_that_run_something_can_judge(tests):
    assert fault_of(tests) is None and run("a = 1", tests).passed
    within = "def f():\n    " + tests.replace("\n", "\n    ")
    assert fault_of(f"{tests}\n(") and fault_of(within) and fault_of(MAIN_ONLY)


def test_an_error_with_half_a_character_can_be_written_to_a_table():
    assert run("raise ValueError('\\ud800')").note == "the code: ValueError: ?"


def test_long_code_and_long_tests_arrive_whole():
    lines = "\n".join(f"a{i} = {i}" for i in range(30_000))
    assert run(lines, "\n".join(f"assert a{i} == {i}" for i in range(0, 30_000, 3)), Limits()).passed


BLOCKS = "Text\n```python\na = 1\n```\nmore\n```sh\nls\n```\n  ```py\nb = 2\n  ```\n"


def test_the_code_of_a_response_is_in_its_blocks():
    assert code_of(BLOCKS, "last", False) == "b = 2\n" and code_of(BLOCKS, "first", False) == "a = 1\n"
    assert code_of(BLOCKS, "joined", False) == "a = 1\n\nb = 2\n"
    assert code_of("```\nc = 3\n```", "last", False) == "c = 3\n"
    assert code_of("```sh\nls\n```", "last", True) is None


def test_blocks_are_read_line_by_line():
    assert blocks_of("```Python title\na\n```\n``` sh\nb\n```\r\n```py\nnot closed") == [
        ("python", "a\n"),
        ("sh", "b\n"),
    ]
    assert blocks_of("```x `y`\na\n```\nb\n```") == [("", "b\n")]
    assert blocks_of("```x\n" * 20_000) == []


def test_a_response_without_a_block_is_code_only_where_the_recipe_says_so():
    assert code_of("a = 1", "last", False) is None and code_of("a = 1", "last", True) == "a = 1"
    assert code_of("  ", "last", True) is None and CodeCheck().limits() == Limits()
