"""Work in threads that nobody waits for once it is no longer wanted: reading from servers that may be slow."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def as_done(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[int, R]]:
    """Yield the index of each item and the result of `work` on it, in the order in which the work ends.

    When the caller stops, because of an error or an interruption, no further item is begun. The work in progress is
    not waited for, also when the process ends; a `ThreadPoolExecutor` would wait for the time limit of its requests.

    Raises:
        Exception: What `work` raised.

    Example:
        >>> from spark_jobs.threads import as_done
        >>> sorted(as_done(len, ["a", "bcd"], workers=2))
        [(0, 1), (1, 3)]
    """
    left, lock, stopped = iter(enumerate(items)), threading.Lock(), threading.Event()
    done: SimpleQueue[tuple[int, R | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        while not stopped.is_set():
            with lock:
                index, item = next(left, (-1, None))
            if index < 0:
                return
            try:
                done.put((index, work(item), None))  # ty: ignore[invalid-argument-type] (item is None only if index is -1)
            except Exception as error:
                done.put((index, None, error))

    for _ in range(min(workers, len(items))):
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    try:
        for _ in items:
            index, result, error = done.get()
            if error is not None:
                raise error
            yield index, result  # ty: ignore[invalid-yield] (there is no error)
    finally:
        stopped.set()
