"""Locks on the calling process that it cannot open again: rlimits, Landlock, no capabilities, filtered system calls.

No privilege is needed, and none helps: a process of root drops its capabilities first. The module imports the standard
library alone, so that the locked process starts quickly.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from trainers.verifiers.code import filters

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
OLDEST_LANDLOCK = 3
"""The version that restricts the truncation of files."""
READ_FILE, READ_DIR, EXECUTE = 1 << 2, 1 << 3, 1 << 0
OF_FILES = EXECUTE | 1 << 1 | READ_FILE | 1 << 14 | 1 << 15
"""Rights that a rule on a file, rather than on a folder, may grant."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
SIGKILL = 9

READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/random", "/dev/zero")
WRITABLE_DEVICES = ("/dev/null",)


def landlock_version() -> int:
    """The version of Landlock that this kernel offers; 0 where it offers none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(int(libc.syscall(CREATE_RULESET, None, 0, 1)), 0)


def restricts_files() -> bool:
    """Whether Landlock can hold a process to the folders that it may read and write."""
    return landlock_version() >= OLDEST_LANDLOCK


def lock(*, scratch: Path, memory: int, cpu_seconds: int, file_bytes: int, open_files: int) -> None:
    """Lock this process.

    Args:
        scratch: the only folder that it may write to, where Landlock is available; else it may write nowhere.
        memory: bytes of address space.
        cpu_seconds: CPU time until the kernel ends it.
        file_bytes: size of the largest file.
        open_files: open files at a time.

    Raises:
        OSError: the kernel lacks a lock that is needed: the filter of system calls.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _lower(limit, value)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    libc.prctl(38, 1, 0, 0, 0)
    writes = restricts_files()
    if writes:
        _restrict_files(libc, scratch)
    _drop_capabilities(libc)
    filters.install(writes, os.getpid())


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _restrict_files(libc: ctypes.CDLL, scratch: Path) -> None:
    version = landlock_version()
    rights = (1 << (16 if version >= 5 else 15)) - 1
    network = 0b11 if version >= 4 else 0
    scopes = 0b11 if version >= 6 else 0
    attributes = struct.pack("=QQQ", rights, network, scopes)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused its rules")
    _allow(libc, rules, (*READABLE, sys.prefix, sys.base_prefix), READ_FILE | READ_DIR | EXECUTE)
    _allow(libc, rules, WRITABLE_DEVICES, READ_FILE | 1 << 1)
    _allow(libc, rules, (str(scratch),), rights & ~EXECUTE & ~(1 << 6 | 1 << 9 | 1 << 10 | 1 << 11))
    if libc.syscall(RESTRICT_SELF, rules, 0):
        raise OSError(ctypes.get_errno(), "Landlock refused to restrict this process")
    os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        granted = rights if stat.S_ISDIR(os.fstat(handle).st_mode) else rights & OF_FILES
        rule = struct.pack("=Qi", granted, handle)
        if libc.syscall(ADD_RULE, rules, 1, rule, 0):
            raise OSError(ctypes.get_errno(), f"Landlock refused the rule on {path}")
        os.close(handle)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root keeps its name and loses its powers."""
    header = struct.pack("=Ii", 0x20080522, 0)
    if libc.capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "the capabilities could not be dropped")
