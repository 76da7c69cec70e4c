"""Progress reports for the parent process.

On stdout, at most once a second, one line a report: the word "progress", a space, and a JSON object. So a parent
can draw a bar, and a person can read it. When the process was started through Dagster Pipes, the same object goes
there every few seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

PREFIX = "progress "
STDOUT_SECONDS = 1.0
PIPES_SECONDS = 5.0
PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"


class Progress:
    """Reports on work of a known number of steps; `done_before` were made by an earlier process.

    A `silent` one prints nothing: of the ranks of a run, only the first reports.
    """

    def __init__(
        self, kind: str, run: str, steps: int, done_before: int = 0, pipes: Any = None, *, silent: bool = False
    ) -> None:
        self._silent = silent
        self._fixed = {"kind": kind, "run": run}
        self._steps, self._done_before = steps, done_before
        self._pipes = pipes
        self._began = time.monotonic()
        self._last_stdout = self._last_pipes = -float("inf")

    def step(self, step: int, **fields: Any) -> None:
        """Report that `step` of the steps are done; most calls do nothing, so call it every step."""
        now = time.monotonic()
        if self._silent:
            return
        if now - self._last_stdout < STDOUT_SECONDS and step < self._steps:
            return
        self._last_stdout = now
        done = step - self._done_before
        eta = (now - self._began) / done * (self._steps - step) if done > 0 else None
        report = self._fixed | {"step": step, "steps": self._steps} | fields
        report["eta_s"] = None if eta is None else round(eta, 1)
        _write(report)
        if self._pipes is not None and (now - self._last_pipes >= PIPES_SECONDS or step >= self._steps):
            self._last_pipes = now
            self._pipes.report_custom_message(report)
            self._pipes.log.info(PREFIX + json.dumps(report))

    def event(self, name: str, **fields: Any) -> None:
        """Report a single event, such as a checkpoint, immediately."""
        if self._silent:
            return
        report = self._fixed | {"event": name} | fields
        _write(report)
        if self._pipes is not None:
            self._pipes.report_custom_message(report)

    def warn(self, cause: str, mend: str) -> None:
        """Report what is probably not meant, and print it on stderr."""
        if self._silent:
            return
        self.event("warning", cause=cause, mend=mend)
        print(f"warning: {cause}\nmend: {mend}", file=sys.stderr, flush=True)
        if self._pipes is not None:
            self._pipes.log.warning(f"{cause}; {mend}")


_open: list[Any] = []
"""The context of this process, while it is open."""


@contextmanager
def pipes_session() -> Generator[Any]:
    """An open Dagster Pipes context when this process was started through Pipes, else None.

    A process has one context, which cannot be opened again once it is closed: several runs of one process share the
    session that is opened around them.
    """
    if _open:
        yield _open[0]
        return
    if PIPES_VARIABLE not in os.environ:
        yield None
        return
    try:
        from dagster_pipes import open_dagster_pipes
    except ImportError:
        print("started through Dagster Pipes, but dagster-pipes is not installed here", file=sys.stderr)
        yield None
        return
    with open_dagster_pipes() as context:
        _open.append(context)
        try:
            yield context
        finally:
            _open.clear()


def _write(report: dict[str, Any]) -> None:
    print(PREFIX + json.dumps(report, separators=(",", ":")), flush=True)
