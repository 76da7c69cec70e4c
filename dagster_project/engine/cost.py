"""Cost of a piece of work: its time and peak memory, including child processes (Spark's JVM and workers, trainers)."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

SAMPLE_SECONDS = 0.25


@dataclass
class Cost:
    """Wall-clock seconds, and the peak resident memory in bytes, summed over the process tree."""

    seconds: float = 0.0
    peak_bytes: int = 0


@contextmanager
def measured() -> Generator[Cost]:
    """Measure the cost of the block. The returned `Cost` is complete when the block has ended."""
    import psutil

    me, cost, over = psutil.Process(), Cost(), threading.Event()

    def sample() -> None:
        total = 0
        with suppress(psutil.Error):
            for process in (me, *me.children(recursive=True)):
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        cost.peak_bytes = max(cost.peak_bytes, total)

    def watch() -> None:
        while not over.wait(SAMPLE_SECONDS):
            sample()

    sample()
    watcher = threading.Thread(target=watch, daemon=True)
    began = time.monotonic()
    watcher.start()
    try:
        yield cost
    finally:
        over.set()
        watcher.join()
        cost.seconds = time.monotonic() - began
