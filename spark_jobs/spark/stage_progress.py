"""The progress of a Spark stage, reported by its tasks when they end."""

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
    """Track the work of tasks inside the block. A task calls the yielded function with the units that it has done.

    The counts are in a Spark accumulator, which is updated when a task ends and polled here. A repeated task counts
    again, up to `total`. A Connect server has no accumulators, so progress is reported only when the block ends.
    """
    # A Connect session has no such attribute.
    context = getattr(spark, "sparkContext", None)
    if context is None:
        yield lambda units: None
        return
    counter = context.accumulator(0)
    over = threading.Event()
    with track(label, total, unit) as task:

        def report() -> None:
            task.reach(min(counter.value, total))

        def look() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                report()

        looking = threading.Thread(target=look, name=f"progress of {label}", daemon=True)
        looking.start()
        try:
            yield counter.add
        finally:
            over.set()
            looking.join()
        report()
