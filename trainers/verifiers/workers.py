"""Worker processes with a deadline, for libraries that a hostile input can hang or crash.

A worker is `python -m MODULE`: it prints `ready` as a line of JSON, then answers one line of JSON with one line. A
request that exceeds its CPU time or its time on the clock ends the worker, and the next request starts another. Unlike
an alarm signal this works in every thread, inside C code, and for any number of processes.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError

ROOT = Path(__file__).parents[2]
CLOCK = 4
"""Time on the clock over CPU time: a machine that is busy with other work does not change a verdict."""
START_S = 120.0


class WorkerDied(Exception):
    """The worker ended on a request; the message says by what."""


class Workers:
    """Idle workers of one module, shared by all threads of this process.

    A process that was forked from this one starts workers of its own.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._owner = os.getpid()
        atexit.register(self.close)

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer of a worker.

        Args:
            request: an object that JSON can hold.
            seconds: CPU time, in whole seconds or rounded up; CLOCK times as long on the clock.

        Raises:
            WorkerDied: the worker exceeded its time, its memory, or crashed.
        """
        worker = self._take()
        try:
            answer = worker.ask(request, seconds)
        except BaseException:
            worker.kill()
            raise
        with self._lock:
            self._idle.append(worker)
        return answer

    def _take(self) -> _Worker:
        with self._lock:
            if self._owner != os.getpid():
                self._idle, self._owner = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return _Worker(self._module)

    def close(self) -> None:
        """End the idle workers of this process."""
        if self._owner != os.getpid():
            return
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()


class _Worker:
    def __init__(self, module: str) -> None:
        # Sets of strings are ordered alike in every worker.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        try:
            self._line(START_S)
        except WorkerDied as death:
            raise TrainerError(
                f"the worker {module} does not start: {death}", f"run `python -m {module}` to see why, or install again"
            ) from None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        limit = max(1, -(-int(seconds * 1000) // 1000))
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"cpu_seconds": limit, **request}) + "\n")
            self._process.stdin.flush()
        return self._line(limit * CLOCK)

    def _line(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = threading.Timer(seconds, self._process.kill)
        late.daemon = True
        late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            late.cancel()
        if not line.endswith("\n"):
            raise WorkerDied(_death(self._process.wait()))
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


def _death(code: int) -> str:
    return "it took too long" if code in (-24, -9) else f"it crashed (exit code {code})"


def serve_lines(answer: Any, memory: int, lock: Callable[[], None]) -> None:
    """The loop of a worker: read requests from standard input, and write the answers to where standard output was.

    Args:
        answer: takes a request and returns an object.
        memory: bytes of address space.
        lock: called once, before the first request, to give up what answers do not need.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What a library prints is not an answer.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lock()
    out.write('{"ready": true}\n')
    out.flush()
    for line in sys.stdin:
        request = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + request.pop("cpu_seconds") + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        out.write(json.dumps(answer(request)) + "\n")
        out.flush()
