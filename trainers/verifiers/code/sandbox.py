"""One program in one locked process, watched from outside.

What is held, by what, and what is not, stands in docs/scoring.md. Without a filter of system calls nothing is run.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

from trainers.process.errors import TrainerError
from trainers.verifiers.code import filters
from trainers.verifiers.code.locks import restricts_files

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("child.py")
LOOK_S = 0.05
"""How often files and threads of a running process are counted."""
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
Ending = Literal["passed", "failed", "time", "memory", "output", "files", "threads"]


@dataclass(frozen=True)
class Limits:
    """What one program may use."""

    seconds: float = 5.0
    """Of time on the clock, and of CPU time rounded up."""
    memory: int = 1 << 30
    """Bytes of address space."""
    output: int = 1 << 20
    """Bytes of standard output and standard error together."""
    disk: int = 16 << 20
    """Bytes of all its files together; also of the largest."""
    files: int = 256
    """Files and folders that it may make."""
    threads: int = 32


@dataclass(frozen=True)
class Run:
    """How a program ended."""

    ending: Ending
    stdout: str
    reason: str
    """One sentence; of an exception its last line, without addresses."""


def can_lock() -> bool:
    """Whether programs can be run here: Linux on x86_64 or aarch64, with seccomp."""
    return filters.supported() and Path("/proc/sys/kernel/seccomp/actions_avail").exists()


@cache
def protections() -> dict[str, bool]:
    """Which locks this machine offers.

    Example:
        >>> sorted(protections())
        ['landlock', 'seccomp']
    """
    return {"seccomp": can_lock(), "landlock": filters.supported() and restricts_files()}


def run_program(program: str, *, tests: str = "", stdin: str = "", limits: Limits = Limits()) -> Run:
    """Run a Python program, then `tests` in the same scope, in a locked process of its own.

    Raises:
        TrainerError: this machine cannot lock a process.

    Example:
        >>> run_program("def double(x): return 2 * x", tests="assert double(2) == 4").ending
        'passed'
    """
    if not can_lock():
        raise TrainerError(
            "this machine cannot lock a process down: code is run on Linux with seccomp, on x86_64 or aarch64",
            "score code on such a machine",
        )
    folder = Path(tempfile.mkdtemp(prefix="watershed-code-"))
    try:
        return _Watched(program, tests, stdin, limits, folder).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Watched:
    """A locked process with what it has written so far."""

    def __init__(self, program: str, tests: str, stdin: str, limits: Limits, folder: Path) -> None:
        self.limits, self.folder = limits, folder
        self.token = secrets.token_hex(16)
        self.written = {"stdout": bytearray(), "stderr": bytearray(), "report": bytearray()}
        self.ending: Ending | None = None
        self.request: dict[str, Any] = {
            "root": str(ROOT),
            "scratch": str(folder),
            "program": program,
            "tests": tests,
            "stdin": stdin,
            "token": self.token,
            "limits": {
                "memory": limits.memory,
                "cpu_seconds": max(1, -(-int(limits.seconds * 1000) // 1000)),
                "file_bytes": limits.disk,
                "open_files": 64,
            },
        }

    def run(self) -> Run:
        reads, writes = os.pipe()
        environment = {
            **{"PATH": "/nonexistent", "HOME": str(self.folder), "TMPDIR": str(self.folder), "LANG": "C.UTF-8"},
            **{"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        }
        with os.fdopen(reads, "rb") as report:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-B", str(CHILD)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(writes,),
                    env=environment,
                    cwd=self.folder,
                    start_new_session=True,
                )
            finally:
                self.request["report"] = writes
                os.close(writes)
            with process:
                try:
                    self._send(process)
                    self._watch(process, report)
                finally:
                    process.kill()
            return self._outcome(process.returncode)

    def _send(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(self.request).encode() + b"\n")
            process.stdin.flush()
        with suppress(BrokenPipeError):
            process.stdin.close()

    def _watch(self, process: subprocess.Popen[bytes], report: IO[bytes]) -> None:
        """Read what the process writes until it ends or exceeds a limit."""
        ends = time.monotonic() + self.limits.seconds
        assert process.stdout is not None and process.stderr is not None
        with selectors.DefaultSelector() as selector:
            for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr), ("report", report)):
                selector.register(pipe, selectors.EVENT_READ, name)
            while selector.get_map() and self.ending is None:
                for key, _ in selector.select(min(LOOK_S, max(0.0, ends - time.monotonic()))):
                    data = os.read(key.fd, 1 << 16)
                    self.written[key.data] += data
                    if not data:
                        selector.unregister(key.fileobj)
                self.ending = self._excess(process.pid, time.monotonic() > ends)

    def _excess(self, pid: int, late: bool) -> Ending | None:
        if late:
            return "time"
        if len(self.written["stdout"]) + len(self.written["stderr"]) > self.limits.output:
            return "output"
        with suppress(OSError):
            if sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()) > self.limits.threads:
                return "threads"
        count = size = 0
        for folder, folders, files in os.walk(self.folder):
            count += len(folders) + len(files)
            for name in files:
                with suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
            if count > self.limits.files or size > self.limits.disk:
                return "files"
        return None

    def _outcome(self, returncode: int) -> Run:
        report = bytes(self.written["report"])
        if report.startswith(b"unlocked: "):
            raise TrainerError(report.decode(), "score code on a machine whose kernel has seccomp")
        stdout = self.written["stdout"][: self.limits.output].decode(errors="replace")
        error = ADDRESS.sub("0x…", self.written["stderr"].decode(errors="replace").strip().split("\n")[-1])[:300]
        if self.ending is None and returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            self.ending = "time"
        if self.ending is None and error.startswith("MemoryError"):
            self.ending = "memory"
        if self.ending is None and report == self.token.encode() and returncode == 0:
            return Run("passed", stdout, "the program ran to its end")
        reasons = {
            "time": f"it ran longer than {self.limits.seconds:g} s",
            "memory": f"it used more than {self.limits.memory >> 20:,} MiB of memory",
            "output": f"it wrote more than {self.limits.output:,} bytes",
            "files": f"it made more than {self.limits.files:,} files or {self.limits.disk >> 20:,} MiB of them",
            "threads": f"it started more than {self.limits.threads} threads",
        }
        if self.ending is not None:
            return Run(self.ending, stdout, reasons[self.ending])
        died = f"signal {signal.Signals(-returncode).name}" if returncode < 0 else ""
        return Run("failed", stdout, error or died or "it ended before its tests did")
