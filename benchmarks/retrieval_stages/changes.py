"""An index that changes: additions, deletions, and a process that is killed while it builds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from spark_jobs.retrieval.index import Batch, IndexChoices, VectorIndex
from spark_jobs.retrieval.stamps import Stamp


def batches(ids: Sequence[str], vectors: np.ndarray, size: int = 50_000) -> Iterator[Batch]:
    """Yield ids and vectors in parts."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size], vectors[start : start + size]


def changed(index: VectorIndex, ids: Sequence[str], vectors: np.ndarray, share: float = 0.01) -> dict[str, float]:
    """Add copies of a share of the vectors under new ids, delete as many others, and optimise.

    Every deleted vector is searched for by itself, before and after.

    Returns:
        Seconds of each change, and `returned`, the number of deleted vectors that a search returned: 0.
    """
    count = max(int(len(ids) * share), 1)
    new = [f"{'f' * 8}{number:024x}" for number in range(count)]
    times: dict[str, float] = {}
    began = time.perf_counter()
    index.add([(new, vectors[:count])], index.stamp)
    times["add"] = time.perf_counter() - began
    gone = list(ids[count : 2 * count])
    began = time.perf_counter()
    index.delete(gone)
    times["delete"] = time.perf_counter() - began
    returned = _returned(index, gone, vectors[count : 2 * count])
    began = time.perf_counter()
    index.optimise()
    times["optimise"] = time.perf_counter() - began
    returned += _returned(index, gone, vectors[count : 2 * count])
    found = index.search(np.asarray(vectors[:count], dtype=np.float32), index.stamp, 10)
    missed = sum(name not in each.ids for name, each in zip(new, found, strict=True))
    return {**times, "returned": float(returned), "added_not_found": float(missed)}


def _returned(index: VectorIndex, gone: Sequence[str], vectors: np.ndarray) -> int:
    known = set(gone)
    found = index.search(np.asarray(vectors, dtype=np.float32), index.stamp, 10)
    return sum(len(known.intersection(each.ids)) for each in found)


def killed(folder: Path, index: VectorIndex, ids: Sequence[str], vectors: Path) -> None:
    """Build an index again in another process, and kill it when half of the vectors have been written."""
    context = multiprocessing.get_context("spawn")
    half = context.Event()
    # Small segments, so that some of them are complete when the process is killed.
    choices = replace(index.choices, segment_vectors=max(len(ids) // 5, 1))
    process = context.Process(target=_build, args=(folder, index.stamp, ids, vectors, choices, half))
    process.start()
    assert process.pid is not None
    half.wait()
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def _build(  # noqa: PLR0917 (the arguments of a process)
    folder: Path, stamp: Stamp, ids: Sequence[str], vectors: Path, choices: IndexChoices, half: Event
) -> None:
    table = np.load(vectors, mmap_mode="r")

    def stopping() -> Iterator[Batch]:
        for number, batch in enumerate(batches(ids, table, max(len(ids) // 10, 1))):
            yield batch
            if number == 5:
                half.set()
                # Until the process is killed.
                signal.pause()

    VectorIndex.build(folder, stamp, stopping(), choices)
