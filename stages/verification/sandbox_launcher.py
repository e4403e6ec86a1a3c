"""The program that walls untrusted code in: started by `sandbox.py` as a process of its own, never imported for use.

It reads one JSON object from its standard input and writes one to its standard output. Between the two it takes new
namespaces (mounts, processes, network, IPC, host name; of users too, where it is not root), builds a root folder in
memory that holds the system's libraries and the Python installation, read-only, and nothing else of the machine, gives
up all privileges, sets limits, and runs the code. The code has no network (an empty network namespace), sees no file of
the user, and can write only into a folder in memory of bounded size. When the first process of the namespace ends, or
the time is up, the kernel kills every process that the code has started.

The tests and the secret of a success are handed over only when the code has ended, so that it can neither read nor send
them before (`sandbox_harness.py`). Standard library only, Linux only. What the code prints is thrown away.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_NEW_MOUNTS, _NEW_NAME, _NEW_IPC, _NEW_USERS = 0x00020000, 0x04000000, 0x08000000, 0x10000000
_NEW_PROCESSES, _NEW_NETWORK = 0x20000000, 0x40000000
_NO_SUID, _BIND, _RECURSIVE, _PRIVATE = 2, 4096, 16384, 1 << 18
_READ_ONLY_ATTRIBUTES = 0x1 | 0x2
"""Of `mount_setattr`: read-only, no set-user-id programs."""
_MOUNT_SETATTR, _AT_RECURSIVE = 442, 0x8000
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES, _FILTER_CALLS, _BY_PROGRAM, _DETACH = 1, 38, 22, 2, 2
_ROOT = "/tmp"
"""Where the new root is mounted, inside the namespace only."""
_SYSTEM = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/bin", "/usr/share/zoneinfo"),  # people keep work in /usr/src
    *("/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_REPORT_BYTES = 4096
_FIRST_USER, _USERS = 20_000, 40_000

_HARNESS = Path(__file__).with_name("sandbox_harness.py").read_text("utf-8")


def main() -> None:
    """Run what standard input says and tell how it ended."""
    given = json.load(sys.stdin)
    try:
        told = run(given)
    except OSError as error:  # pragma: no cover - only where the system forbids namespaces
        told = {"outcome": "refused", "text": str(error)}
    sys.stdout.write(json.dumps(told))


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Run code and tests behind walls.

    Args:
        given: `code`, `tests`, `secret` (at most 64 characters), `filter` (hexadecimal, from `sandbox_filter`),
            `cpu_s`, `wall_s`, `memory_mb`, `disk_mb`, `processes`.

    Returns:
        `outcome`: `ended` with `status` (exit code, or minus a signal) and `report`, `time`, or `refused` (a wall) or
            `tests` (the tests cannot judge) with `text`.

    Raises:
        OSError: the system forbids one of the walls.
    """
    given = {**given, "user": _FIRST_USER + os.getpid() % _USERS}  # its own, so that limits count its processes only
    _separate()
    faults, fault_end = os.pipe()
    report, report_end = os.pipe()
    init = os.fork()
    if init == 0:
        _first_process(given, fault_end, report_end)  # pragma: no cover - ends in another process
    os.close(fault_end)
    os.close(report_end)
    in_time = _wait(init, float(given["wall_s"]))
    status = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])  # all others have been ended by then
    fault = os.read(faults, _REPORT_BYTES).decode("utf-8", "replace")
    if fault:
        outcome, _, text = fault.partition(": ")
        return {"outcome": outcome, "text": text}
    if not in_time:
        return {"outcome": "time"}
    os.set_blocking(report, False)
    text = os.read(report, _REPORT_BYTES).decode("utf-8", "replace")
    return {"outcome": "ended", "status": status, "report": text}


def _wait(init: int, seconds: float) -> bool:
    """Wait for the first process of the namespace; kill it, and with it all others, when the time is up."""
    watched = os.pidfd_open(init)
    ended, _, _ = select.select([watched], [], [], seconds)
    if not ended:
        os.kill(init, signal.SIGKILL)
    os.close(watched)
    return bool(ended)


def _separate() -> None:
    """Leave the machine's namespaces; without root, by a user namespace in which this user is the only one."""
    spaces = _NEW_NAME | _NEW_IPC | _NEW_PROCESSES | _NEW_NETWORK
    user, group = os.geteuid(), os.getegid()
    _call("unshare", spaces if user == 0 else spaces | _NEW_USERS)
    if user != 0:  # pragma: no cover - either this or the other, as the user is
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _first_process(given: Mapping[str, Any], faults: int, report: int) -> NoReturn:  # pragma: no cover
    """Build the root, start the code as another process, and end with it; runs where coverage cannot follow."""
    try:
        _die_with_parent()
        os.umask(0o022)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this goes first
        socket.sethostname("sandbox")
        python = _build_root(given)
        if fault := fault_of(str(given["tests"])):
            os.write(faults, f"tests: {fault}".encode("utf-8", "replace")[:_REPORT_BYTES])
            os._exit(1)
        told, tell = os.pipe()
        asked, ask = os.pipe()
        code = os.fork()
        if code == 0:
            _become_the_code(given, python, (told, report, ask))
        for end in (faults, report, told, ask):
            os.close(end)
        _answer(code, given, asked, tell)
        status = os.waitstatus_to_exitcode(os.waitpid(code, 0)[1])
    except BaseException as error:  # noqa: BLE001 - whatever fails here is told, never swallowed
        with contextlib.suppress(OSError):
            os.write(faults, f"refused: {type(error).__name__}: {error}".encode("utf-8", "replace")[:_REPORT_BYTES])
        os._exit(1)
    os._exit(status if 0 <= status < 128 else 128 - status if status < 0 else 127)


def _answer(code: int, given: Mapping[str, Any], asked: int, tell: int) -> None:  # pragma: no cover - as above
    """Give the code with a word; and tests with the secret to who says the word, once."""
    word = os.urandom(16).hex().encode()
    with contextlib.suppress(BrokenPipeError):  # the process has ended, which its status tells
        _send(tell, word, given["code"])
        select.select([os.pidfd_open(code), asked], [], [])
        os.set_blocking(asked, False)
        with contextlib.suppress(BlockingIOError):
            if os.read(asked, 64) == word:
                _send(tell, str(given["secret"]).encode(), given["tests"])
    os.close(tell)


def _send(pipe: int, word: bytes, text: str) -> None:  # pragma: no cover - as above
    message = word + b"\n" + text.encode("utf-8", "replace")
    message = len(message).to_bytes(8, "big") + message
    while message:
        message = message[os.write(pipe, message) :]


def fault_of(tests: str) -> str | None:
    """Return why tests cannot judge any code: they are no Python, or hold nothing that runs; None if they can."""
    warnings.simplefilter("ignore")
    try:
        tree = ast.parse(tests)
        compile(tree, "tests.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the row's tests are no Python: {error}"
    if all(_only_defines(statement) for statement in tree.body):
        return "the row's tests check nothing: they define, and call none of it"
    return None


def _only_defines(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If):  # under `if __name__ == "__main__"`, which does not hold here
        return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(statement.test))
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
        return not any(isinstance(n, ast.Call | ast.Await) for n in ast.walk(statement))
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Pass)
    return isinstance(statement, kinds)


def _build_root(given: Mapping[str, Any]) -> str:  # pragma: no cover - see `_first_process`
    """Build the new root, make it the only one there is, and return where Python is in it."""
    _call("unshare", _NEW_MOUNTS)  # its own: a new root becomes that of every process in the same namespace
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    shown = [Path(p) for p in (*_SYSTEM, *(f"{sys.base_prefix}/{folder}" for folder in ("bin", "lib", "lib64")))]
    opened = [(p, os.open(p, os.O_PATH)) for p in dict.fromkeys(shown) if p.exists() and not p.is_symlink()]
    linked = [(p, os.readlink(p)) for p in shown if p.is_symlink()]
    devices = [(Path(p), os.open(p, os.O_PATH)) for p in _DEVICES]
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", _ROOT, "tmpfs", _NO_SUID, f"size={given['disk_mb']}m,mode=755,nr_inodes=20000")
    for path, source in [*opened, *devices]:
        target = Path(_ROOT + str(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        is_folder = path.is_dir() and path not in [p for p, _ in devices]
        target.mkdir(exist_ok=True) if is_folder else target.touch()
        _mount(f"/proc/self/fd/{source}", str(target), None, _BIND | _RECURSIVE)
        os.close(source)
        if path not in [p for p, _ in devices]:
            _read_only(str(target))
    for path, target_of in linked:
        os.symlink(target_of, _ROOT + str(path))
    for folder in ("/work", "/dev/shm"):  # noqa: S108 - inside the new root
        Path(_ROOT + folder).mkdir(mode=0o777)
        Path(_ROOT + folder).chmod(0o777)
    os.symlink("/work", f"{_ROOT}/tmp")
    os.chdir(_ROOT)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)  # the old root, which lies over the new one at this moment
    os.chdir("/work")
    return str(python)


def _read_only(target: str) -> None:  # pragma: no cover - see `_first_process`
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY_ATTRIBUTES, 0, 0, 0)
    arguments = (ctypes.c_long(-100), target.encode(), ctypes.c_uint(_AT_RECURSIVE), ctypes.byref(attributes), 32)
    _call("syscall", ctypes.c_long(_MOUNT_SETATTR), *arguments)


def _become_the_code(given: Mapping[str, Any], python: str, pipes: Sequence[int]) -> NoReturn:  # pragma: no cover
    """Give up privileges, set limits, close everything, and become the interpreter that runs the code."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(given["user"], given["user"], given["user"])
            os.setresuid(given["user"], given["user"], given["user"])
        except OSError as error:
            raise OSError(error.errno, f"becoming user {given['user']}: {error.strerror}") from None
    _die_with_parent()
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    seconds, disk = int(given["cpu_s"]), int(given["disk_mb"]) << 20
    limits = {"AS": int(given["memory_mb"]) << 20, "NPROC": int(given["processes"]), "FSIZE": disk, "NOFILE": 64}
    for name, most in {**limits, "CORE": 0}.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    nothing = os.open("/dev/null", os.O_RDWR)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (nothing, nothing, nothing, *pipes)]
    for place, fd in zip((0, 1, 2, 4, 5, 6), moved, strict=True):
        os.dup2(fd, place, inheritable=True)
    _filter_calls(bytes.fromhex(given["filter"]))
    os.execve(
        python, [python, "-I", "-S", "-c", _HARNESS], {"HOME": "/work", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    )


def _filter_calls(program: bytes) -> None:  # pragma: no cover - see `_first_process`
    held = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    _call("prctl", _FILTER_CALLS, ctypes.c_ulong(_BY_PROGRAM), described, 0, 0)


def _die_with_parent() -> None:  # pragma: no cover - see `_first_process`
    _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _call("mount", *texts[:3], ctypes.c_ulong(flags), texts[3])


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library; `OSError` with its name if it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
