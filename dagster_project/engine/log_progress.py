"""Progress of work as log lines of a Dagster run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import dagster as dg

SECONDS_BETWEEN_LINES = 10.0


@dataclass
class _Work:
    label: str
    total: float
    unit: str
    began: float = field(default_factory=time.monotonic)
    last_line: float = field(default_factory=time.monotonic)


class LogLines:
    """A `catalog.progress.Listener` that logs a line every ten seconds, with the estimated time left."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self.log = log

    def begin(self, label: str, total: float, unit: str) -> object:
        """Start the clock of a piece of work; nothing is logged yet."""
        return _Work(label, total, unit)

    def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
        """Log how much is done, if the last line is ten seconds old."""
        assert isinstance(handle, _Work)
        handle.total, now = total or handle.total, time.monotonic()
        if now - handle.last_line < SECONDS_BETWEEN_LINES or not done or not handle.total:
            return
        handle.last_line = now
        left = (now - handle.began) * (handle.total - done) / done
        self.log.info(
            "%s: %s of %s %s, about %.0f s left %s", handle.label, done, handle.total, handle.unit, left, note
        )

    def end(self, handle: object) -> None:
        """Log how long the work took, whether it was finished or failed."""
        assert isinstance(handle, _Work)
        self.log.info("%s: ended after %.1f s", handle.label, time.monotonic() - handle.began)
