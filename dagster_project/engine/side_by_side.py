"""Work on several items at a time, such as training runs of one step."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from catalog.settings import Settings

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Sequence[T], workers: int) -> list[R]:
    """`work` of each item, so many at a time, in the items' order; what listens to progress here hears all of them."""
    if workers == 1 or len(items) == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        seen = [contextvars.copy_context() for _ in items]
        return list(pool.map(lambda context, item: context.run(work, item), seen, items))


def parallel_runs(settings: Settings) -> int:
    """`[trainer] parallel_runs`, or one run a GPU, or one a core where there is none."""
    if settings.trainer.parallel_runs:
        return settings.trainer.parallel_runs
    import os

    gpus = len(list(Path("/dev").glob("nvidia[0-9]*"))) if settings.trainer.device != "cpu" else 0
    return gpus or len(os.sched_getaffinity(0))
