"""Which tables are read, so that a test can compare them with the upstream tables that a contract declares.

    with recording_reads() as names:
        lake.read("dclm.scores")
    assert names == {"dclm.scores"}

A table is recorded when its rows can be read: when it is opened with `Lake.table` or `Lake.read`, when Spark reads it
through `spark_jobs.spark.tables.read`, and when it is named in the SQL of a connection that `catalog.connect` opened
inside the block. A view counts as the tables that it reads. Commit notes (`Lake.written`), version numbers, and the
schema that a writer looks at are not rows. Outside such a block nothing is recorded, and a read costs one look at a
context variable.

The record belongs to the context of the block. A thread belongs to it only if it runs in a copy of that context
(`contextvars.copy_context`), as `asyncio` tasks do; another process never does.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_names: ContextVar[set[str] | None] = ContextVar("watershed_reads", default=None)


@contextmanager
def recording_reads() -> Generator[set[str]]:
    """Record the names of the tables that are read inside the block, in the set that it yields.

    Blocks may be nested: a table is then recorded in the innermost one, and in the outer ones when that ends.
    """
    outer = _names.get()
    names: set[str] = set()
    token = _names.set(names)
    try:
        yield names
    finally:
        _names.reset(token)
        if outer is not None:
            outer |= names


@contextmanager
def not_recorded() -> Generator[None]:
    """Record nothing inside the block, or, as a decorator, inside the function."""
    token = _names.set(None)
    try:
        yield
    finally:
        _names.reset(token)


def recording() -> bool:
    """Whether reads are recorded here."""
    return _names.get() is not None


def record_read(*names: str) -> None:
    """Record that the tables `names` are read."""
    recorded = _names.get()
    if recorded is not None:
        recorded.update(names)
