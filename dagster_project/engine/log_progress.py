"""Progress of work as log lines of a Dagster run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import dagster as dg

from catalog.printable import one_line

SECONDS_BETWEEN_LINES = 10.0
LINE = 300
"""Most characters of a line. A note may quote the crawl."""


@dataclass
class _Work:
    label: str
    total: float
    unit: str
    done: float = 0.0
    began: float = field(default_factory=time.monotonic)
    last_line: float = field(default_factory=time.monotonic)


class LogLines:
    """A `catalog.progress.Listener` that logs a line at once, and then every ten seconds with the time left."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self.log = log

    def begin(self, label: str, total: float, unit: str) -> object:
        """Log that a piece of work starts, and start its clock."""
        self.log.info("%s", one_line(f"{label}: {_amount(0, total, unit)}started", LINE))
        return _Work(label, total, unit)

    def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
        """Log how much is done, if the last line is ten seconds old."""
        assert isinstance(handle, _Work)
        handle.total, handle.done, now = total or handle.total, done, time.monotonic()
        if now - handle.last_line < SECONDS_BETWEEN_LINES or not done or not handle.total:
            return
        handle.last_line = now
        left = (now - handle.began) * (handle.total - done) / done
        line = f"{handle.label}: {_amount(done, handle.total, handle.unit)}about {left:,.0f} s left {note}"
        self.log.info("%s", one_line(line, LINE))

    def end(self, handle: object) -> None:
        """Log how long the work took, or, if it was not finished, how much of it was done."""
        assert isinstance(handle, _Work)
        seconds = time.monotonic() - handle.began
        if handle.total and handle.done < handle.total:
            amount = _amount(handle.done, handle.total, handle.unit)
            line = f"{handle.label}: {amount}not finished; stopped after {seconds:,.1f} s"
        else:
            line = f"{handle.label}: finished in {seconds:,.1f} s"
        self.log.info("%s", one_line(line, LINE))


def _amount(done: float, total: float, unit: str) -> str:
    """Return how much is done, as "1 of 2 partitions, "; empty if the total is not known or is a single thing."""
    return f"{done:,.0f} of {total:,.0f} {unit}, ".replace(" ,", ",") if total > 1 or unit else ""
