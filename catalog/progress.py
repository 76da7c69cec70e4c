"""How long work tells how far it is, without knowing who listens.

Jobs call `track(label, total)` and advance what it yields. The command line listens with bars, Dagster with
log lines; with nobody listening nothing is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol


class Listener(Protocol):
    """Who hears of progress."""

    def begin(self, label: str, total: float, unit: str) -> object:
        """A piece of work begins; returns its handle."""
        ...

    def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
        """`done` is done, in absolute terms; of `total`, where that has only become known."""
        ...

    def end(self, handle: object) -> None:
        """The piece of work ended, well or not."""
        ...


_listener: ContextVar[Listener | None] = ContextVar("watershed_progress", default=None)


@dataclass
class Task:
    """A piece of work under way: `advance` by an amount, or `reach` an absolute one."""

    report: Callable[[float, float | None, str], None]
    done: float = field(default=0.0)

    def advance(self, amount: float = 1, note: str = "") -> None:
        """`amount` more is done."""
        self.reach(self.done + amount, note)

    def reach(self, done: float, note: str = "", *, total: float | None = None) -> None:
        """`done` is done in all; `total` where the total has only become known."""
        self.done = done
        self.report(done, total, note)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Work inside the block reports to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def heard() -> bool:
    """Somebody listens already."""
    return _listener.get() is not None


@contextmanager
def track(label: str, total: float, unit: str = "") -> Generator[Task]:
    """A piece of work of `total` units; advance the task that it yields."""
    listener = _listener.get()
    if listener is None:
        yield Task(lambda done, total, note: None)
        return
    handle = listener.begin(label, total, unit)
    try:
        yield Task(lambda done, total, note: listener.advance(handle, done, total, note))
    finally:
        listener.end(handle)
