"""Which system calls a locked process may make: a seccomp filter, built for the process that installs it.

The numbers are those of the kernel's x86_64 and generic (aarch64) tables. A call of another architecture ends the
process, and one that is newer than this list is answered with ENOSYS.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

LD_W, JEQ, JGE, JSET, RET = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NR, ARCH, ARGS = 0, 4, 16
CLONE_THREAD = 0x10000
NEWEST = 470
"""System calls from this number on are unknown here."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

DENIED = {
    "x86_64": {
        "network": (41, 42, 43, 44, 46, 49, 50, 288, 307, 425, 426, 427),
        "processes": (57, 58, 59, 322, 101, 310, 311, 424, 434, 438, 200, 129, 297, 272, 308),
        "mounts": (161, 165, 166, 155, 167, 168, 428, 429, 430, 431, 432, 433, 442, 303, 304),
        "machine": (169, 246, 320, 175, 313, 176, 321, 298, 323, 172, 173, 164, 227, 159, 305, 170, 171, 163, 179),
        "keys and identity": (248, 249, 250, 105, 106, 113, 114, 117, 119, 122, 123, 116, 126, 135),
        "memory outside the limit": (29, 30, 31, 64, 68, 69, 240, 319, 447),
        "limits": (160, 141, 142, 144, 203, 314, 251),
        "attributes": (90, 91, 268, 452, 92, 93, 94, 260, 188, 189, 190, 197, 198, 199, 132, 235, 261, 280, 463, 466),
        "watching": (300, 301),
    },
    "aarch64": {
        "network": (198, 203, 202, 206, 211, 200, 201, 242, 269, 425, 426, 427),
        "processes": (221, 281, 117, 270, 271, 424, 434, 438, 130, 138, 240, 97, 268),
        "mounts": (51, 40, 39, 41, 224, 225, 428, 429, 430, 431, 432, 433, 442, 264, 265),
        "machine": (142, 104, 294, 105, 273, 106, 280, 241, 282, 170, 112, 171, 266, 161, 162, 89, 60),
        "keys and identity": (217, 218, 219, 146, 144, 145, 143, 147, 149, 151, 152, 159, 91, 92),
        "memory outside the limit": (194, 196, 195, 190, 186, 189, 180, 279, 447),
        "limits": (164, 140, 118, 119, 122, 274, 30),
        "attributes": (52, 53, 452, 54, 55, 5, 6, 7, 14, 15, 16, 88, 463, 466),
        "watching": (262, 263),
    },
}
"""Denied with EPERM, by what they would reach."""

NUMBERS = {
    "x86_64": {"clone": 56, "clone3": 435, "kill": 62, "tgkill": 234, "prlimit": 302, "open": 2, "openat": 257,
               "openat2": 437, "creat": 85},
    "aarch64": {"clone": 220, "clone3": 435, "kill": 129, "tgkill": 131, "prlimit": 261, "openat": 56, "openat2": 437},
}  # fmt: skip
WRITES = {
    "x86_64": (85, 82, 83, 84, 86, 87, 88, 76, 77, 133, 258, 259, 263, 264, 265, 266, 316, 285),
    "aarch64": (33, 34, 35, 36, 37, 38, 276, 45, 46, 47),
}
"""System calls that change the tree of files; denied too where Landlock cannot restrict them."""
WRITE_FLAGS = 0o3 | 0o100 | 0o1000
"""O_WRONLY, O_RDWR, O_CREAT and O_TRUNC."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def supported() -> bool:
    """Whether the filter is known for this machine."""
    return platform.system() == "Linux" and platform.machine() in ARCHITECTURES


def instructions(pid: int, writes: bool, limits: bool = False) -> bytes:
    """The filter of the process `pid` as BPF instructions of eight bytes.

    Args:
        pid: may signal itself and no other process.
        writes: False denies every call that opens a file for writing or changes the tree of files.
        limits: True lets the process change its own soft limits.
    """
    machine = platform.machine()
    numbers = NUMBERS[machine]
    code = [_op(LD_W, ARCH), _op(JEQ, ARCHITECTURES[machine], 1, 0), _op(RET, KILL), _op(LD_W, NR)]
    # x32 calls of x86_64 have bit 30 set and fall under this rule too.
    code += [_op(JGE, NEWEST, 0, 1), _op(RET, ERRNO | errno.ENOSYS)]
    for name in ("clone3", "openat2"):
        code += [_op(JEQ, numbers[name], 0, 1), _op(RET, ERRNO | errno.ENOSYS)]
    groups = DENIED[machine].items()
    denied = {number for name, group in groups if name != "limits" or not limits for number in group}
    for number in sorted(denied | (set() if writes else set(WRITES[machine]))):
        code += [_op(JEQ, number, 0, 1), _op(RET, ERRNO | errno.EPERM)]
    # A new thread is allowed, a new process is not.
    code += _when(numbers["clone"], 0, [_op(JSET, CLONE_THREAD, 1, 0), _op(RET, ERRNO | errno.EPERM)])
    for name in ("kill", "tgkill"):
        code += _when(numbers[name], 0, [_op(JEQ, pid, 1, 0), _op(RET, ERRNO | errno.EPERM)])
    # Limits may be read: a new limit is the third argument, a pointer whose lower half is not 0.
    if not limits:
        code += _when(numbers["prlimit"], 2, [_op(JEQ, 0, 1, 0), _op(RET, ERRNO | errno.EPERM)])
    if not writes:
        for name, argument in (("open", 1), ("openat", 2)):
            if name in numbers:
                refuse = [_op(JSET, WRITE_FLAGS, 0, 1), _op(RET, ERRNO | errno.EACCES)]
                code += _when(numbers[name], argument, refuse)
    return b"".join([*code, _op(RET, ALLOW)])


def install(writes: bool, pid: int, limits: bool = False) -> None:
    """Filter the calling process and all threads that it starts, for ever; see `instructions`.

    Raises:
        OSError: the kernel refuses the filter.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    program = instructions(pid, writes, limits)
    buffer = ctypes.create_string_buffer(program, len(program))
    filter = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refused the filter of system calls")


def _when(number: int, argument: int, then: list[bytes]) -> list[bytes]:
    """Instructions that look at the lower half of an argument of one system call and load its number again."""
    body = [_op(LD_W, ARGS + 8 * argument), *then, _op(LD_W, NR)]
    return [_op(JEQ, number, 0, len(body)), *body]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
