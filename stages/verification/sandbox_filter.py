"""Which system calls code behind walls may not make, as a filter that the kernel runs (seccomp, BPF).

Namespaces leave open what has none: sockets to the machine below (vsock) and other families, keys that the kernel
keeps for the user, memory that no limit of a process counts, and io_uring, which would make all of these calls in
another way. New namespaces and tracing are refused as well: no program to be judged needs them, and escapes begin
there. What a filter refuses fails with an error that programs know. It is a function of the machine only.
"""

from __future__ import annotations

import struct

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "arm64": (0xC00000B7, 1)}
_REFUSED = {
    1: {  # EPERM: escapes, tracing, keys
        "ptrace": (101, 117),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "pidfd_getfd": (438, 438),
        "mount": (165, 40),
        "umount2": (166, 39),
        "pivot_root": (155, 41),
        "chroot": (161, 51),
        "open_tree": (428, 428),
        "move_mount": (429, 429),
        "fsopen": (430, 430),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fspick": (433, 433),
        "mount_setattr": (442, 442),
        "open_by_handle_at": (304, 265),
        "unshare": (272, 97),
        "setns": (308, 268),
        "add_key": (248, 217),
        "request_key": (249, 218),
        "keyctl": (250, 219),
        "bpf": (321, 280),
        "perf_event_open": (298, 241),
        "userfaultfd": (323, 282),
    },
    38: {  # ENOSYS: programs then do without; clone3 has its flags where a filter cannot look
        "clone3": (435, 435),
        "io_uring_setup": (425, 425),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "memfd_create": (319, 279),
        "memfd_secret": (447, 447),
        "shmget": (29, 194),
        "semget": (64, 190),
        "msgget": (68, 186),
    },
}
"""Error number to system calls, with their numbers on x86-64 and on ARM64."""
_SOCKET, _CLONE = (41, 198), (56, 220)
_FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6 and netlink: all of these belong to a network namespace, and that one is empty."""
_NEW_USERS, _OTHER_NUMBERS = 0x10000000, 0x40000000
_NO_FAMILY, _NO_CALL, _NO_PERMISSION = 97, 38, 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def filter_program(machine: str) -> bytes | None:
    """Return the filter as instructions of classic BPF, 8 bytes each; None for a machine whose numbers are not known.

    Args:
        machine: as `platform.machine()` has it.
    """
    if machine not in _ARCHITECTURES:
        return None
    architecture, at = _ARCHITECTURES[machine]
    steps = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL)]
    steps += [(_LOAD, 0, 0, _NUMBER_AT), *_fails(_AT_LEAST, _OTHER_NUMBERS, _NO_CALL)]
    for error, calls in _REFUSED.items():
        for numbers in calls.values():
            steps += _fails(_EQUAL, numbers[at], error)
    families = [(_EQUAL, len(_FAMILIES) - i, 0, family) for i, family in enumerate(_FAMILIES)]
    socket = [(_LOAD, 0, 0, _FIRST_ARGUMENT_AT), *families, (_RETURN, 0, 0, _FAIL | _NO_FAMILY), _allowed()]
    clone = [(_LOAD, 0, 0, _FIRST_ARGUMENT_AT), *_fails(_ANY_BIT, _NEW_USERS, _NO_PERMISSION), _allowed()]
    steps += [(_EQUAL, 0, len(socket), _SOCKET[at]), *socket, (_EQUAL, 0, len(clone), _CLONE[at]), *clone, _allowed()]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _fails(test: int, value: int, error: int) -> list[tuple[int, int, int, int]]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, _FAIL | error)]


def _allowed() -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ALLOW)
