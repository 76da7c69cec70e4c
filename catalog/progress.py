"""Progress of long work, reported to whoever listens.

A job calls `track(label, total)` and advances the task that it yields. The command line shows progress as bars and
Dagster as log lines. Without a listener nothing is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol


class Listener(Protocol):
    """Receives reports of progress."""

    def begin(self, label: str, total: float, unit: str) -> object:
        """Called when a piece of work begins; returns a handle of it."""
        ...

    def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
        """Called with the amount done so far, and with the total if it has only become known."""
        ...

    def end(self, handle: object) -> None:
        """Called when the piece of work has ended, with or without an error."""
        ...


_listener: ContextVar[Listener | None] = ContextVar("watershed_progress", default=None)


@dataclass
class Task:
    """A piece of work in progress: `advance` it by an amount, or let it `reach` an absolute one."""

    report: Callable[[float, float | None, str], None]
    done: float = field(default=0.0)

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Report that `amount` more is done."""
        self.reach(self.done + amount, note)

    def reach(self, done: float, note: str = "", *, total: float | None = None) -> None:
        """Report that `done` is done in all, and the total if it has only become known."""
        self.done = done
        self.report(done, total, note)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Report the progress of work inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def heard() -> bool:
    """Whether a listener is set."""
    return _listener.get() is not None


@contextmanager
def track(label: str, total: float, unit: str = "") -> Generator[Task]:
    """Report a piece of work of `total` units; the block advances the task that this yields."""
    listener = _listener.get()
    if listener is None:
        yield Task(lambda done, total, note: None)
        return
    handle = listener.begin(label, total, unit)
    try:
        yield Task(lambda done, total, note: listener.advance(handle, done, total, note))
    finally:
        listener.end(handle)
