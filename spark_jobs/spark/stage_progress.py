"""How far a Spark stage is, told by its tasks as they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from catalog.progress import track

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def stage_progress(spark: SparkSession, label: str, total: int, unit: str) -> Generator[Callable[[int], None]]:
    """Track work that tasks do inside the block; each calls what is yielded with how many units it has done.

    Spark brings the counts along when a task ends, in an accumulator that is looked at here; a task that is repeated
    counts again, up to `total`. A Connect server has no accumulators: nothing is told until the block ends.
    """
    # A Connect session has no such attribute.
    context = getattr(spark, "sparkContext", None)
    if context is None:
        yield lambda units: None
        return
    counter = context.accumulator(0)
    over = threading.Event()
    with track(label, total, unit) as task:

        def tell() -> None:
            task.reach(min(counter.value, total))

        def look() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                tell()

        looking = threading.Thread(target=look, name=f"progress of {label}", daemon=True)
        looking.start()
        try:
            yield counter.add
        finally:
            over.set()
            looking.join()
        tell()
