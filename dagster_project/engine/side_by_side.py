"""Parallel work on several items, such as the training runs of one step."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from catalog.settings import Settings

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Sequence[T], workers: int) -> list[R]:
    """Apply `work` to the items in `workers` threads, and return the results in the order of the items."""
    if workers == 1 or len(items) == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        seen = [contextvars.copy_context() for _ in items]
        return list(pool.map(lambda context, item: context.run(work, item), seen, items))


def as_they_end(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Apply `work` to the items in `workers` threads, and return each result when it is there."""
    if workers == 1 or len(items) <= 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        contexts = [contextvars.copy_context() for _ in items]
        begun = [
            pool.submit(lambda context, item: context.run(work, item), *each)
            for each in zip(contexts, items, strict=True)
        ]
        for ended in as_completed(begun):
            yield ended.result()


def parallel_runs(settings: Settings) -> int:
    """Return `[trainer] parallel_runs`, or, if it is not set, the number of GPUs, or of CPU cores on a CPU."""
    if settings.trainer.parallel_runs:
        return settings.trainer.parallel_runs
    import os

    gpus = len(list(Path("/dev").glob("nvidia[0-9]*"))) if settings.trainer.device != "cpu" else 0
    return gpus or len(os.sched_getaffinity(0))


def worker_threads(settings: Settings, runs: int) -> int:
    """The `workers` of a trainer among `runs` that train at the same time: 0 (a thread for each core) if it is alone.

    The number of threads decides the speed of a run on a CPU, and never its weights.
    """
    return 0 if min(runs, parallel_runs(settings)) == 1 else 1
