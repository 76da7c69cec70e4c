"""Our own memory and cost as inputs grow: documents without end through the stages, each size in a fresh process."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.curation_stages.pages import batches, made_documents, read_pages
from catalog.errors import WatershedError

SOURCE_PAGES = 2_000
"""Real pages that documents are made from."""
WARC_COPIES = (1, 4, 16)
"""Numbers of times that the fused stage reads the archives of the corpus, each time as new ones."""
FUSED_PAGES = 500


@dataclass(frozen=True, kw_only=True)
class Size:
    """One piece of work on an input of one size."""

    work: str
    documents: int
    megabytes: float
    """Of text; of HTML where archives are read."""
    seconds: float
    """Processor time, without that of making the input."""
    peak_mb: float
    """Largest resident memory of the process, in millions of bytes."""


def measured(corpus: Path, sizes: Sequence[int], report: Callable[[str], None]) -> Iterator[Size]:
    """Measure each piece of work at each size, one process after the other."""
    for work, counts in (("fused", WARC_COPIES), ("judge", sizes), ("cluster", sizes), ("compare", sizes)):
        for count in counts:
            report(f"{work}: {count:,}")
            command = [sys.executable, "-m", __name__, work, str(corpus), str(count)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise WatershedError(
                    f"--scale: {work} of {count:,} ended with status {done.returncode}",
                    "read the output above; a million documents need about 1.1 GB of memory",
                )
            yield Size(**json.loads(done.stdout.splitlines()[-1]))


def fused(corpus: Path, scratch: Path, copies: int) -> tuple[str, int, int, float]:
    """The fused stage over the same archive again and again: every pass is a new one to it."""
    from catalog.tables.dclm import DOCUMENTS
    from spark_jobs.archives.documents import documents_batches

    pages = read_pages(corpus, FUSED_PAGES, scratch)
    archive = pages.pool_row()
    # Load the models and the kernels before the timed part, here and below.
    list(documents_batches([archive], DOCUMENTS.schema))
    documents, seconds = 0, 0.0
    for batch, spent in _timed(
        batch for _ in range(copies) for batch in documents_batches([archive], DOCUMENTS.schema)
    ):
        documents += batch.num_rows
        seconds += spent
    return "archives read, extracted, measured and signed", documents, pages.payload_bytes * copies, seconds


def judge(corpus: Path, scratch: Path, count: int) -> tuple[str, int, int, float]:
    """Statistics, text hash, signature and verdict of made documents, a batch after the other."""
    from benchmarks.curation_stages.rules import kept, recipe_of
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.text_hash import text_hash

    recipe = recipe_of("gopher")

    def work(text: pa.Array) -> None:
        text_hash(text)
        minhash(text)
        kept({"text": text}, recipe)

    texts = read_pages(corpus, SOURCE_PAGES, scratch).texts
    work(pa.array(texts[:100], pa.string()))
    size, seconds = 0, 0.0
    for text in batches(made_documents(texts, count)):
        size += text.nbytes
        begun = time.process_time()
        work(text)
        seconds += time.process_time() - begun
    return "documents hashed, signed and judged", count, size, seconds


def cluster(corpus: Path, scratch: Path, count: int) -> tuple[str, int, int, float]:
    """Clusters of copies among made documents, from their signatures."""
    return _clustered(corpus, scratch, count, texts=False)


def compare(corpus: Path, scratch: Path, count: int) -> tuple[str, int, int, float]:
    """Clusters of copies among made documents, with their texts compared."""
    return _clustered(corpus, scratch, count, texts=True)


def _clustered(corpus: Path, scratch: Path, count: int, *, texts: bool) -> tuple[str, int, int, float]:
    from spark_jobs.dedup.clusters import Documents
    from spark_jobs.dedup.clusters import cluster as find_clusters
    from spark_jobs.dedup.near_copies import NearCopies, Verify
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.text_buffers import text_buffers
    from spark_jobs.kernels.text_hash import text_hash

    pages = read_pages(corpus, SOURCE_PAGES, scratch).texts
    size, making = 0, 0.0

    def signed(*, again: bool = False) -> Iterator[pa.RecordBatch]:
        nonlocal size, making
        begun, number = time.process_time(), 0
        for text in batches(made_documents(pages, count)):
            if again:
                columns = {"text": text}
            else:
                size += text.nbytes
                columns = {
                    "id": pa.array([f"{place:032x}" for place in range(number, number + len(text))]),
                    "text_hash": text_hash(text),
                    "text_bytes": pa.array(np.diff(text_buffers(text).offsets)),
                    "minhash": minhash(text).cast(pa.binary()),
                }
            number += len(text)
            making += time.process_time() - begun
            yield pa.record_batch(columns)
            begun = time.process_time()

    def find() -> None:
        documents = Documents(batches=signed(), texts=lambda: signed(again=True))
        find_clusters(documents, NearCopies(verify=Verify.JACCARD if texts else Verify.SIGNATURE))

    wanted, count = count, 100
    find()
    size, making, count = 0, 0.0, wanted
    begun = time.process_time()
    find()
    name = "copies clustered, texts compared" if texts else "copies clustered by signature"
    return name, count, size, time.process_time() - begun - making


def _timed(items: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, float]]:
    begun = time.process_time()
    for item in items:
        yield item, time.process_time() - begun
        begun = time.process_time()


def _main(work: str, corpus: str, count: str) -> None:
    import tempfile

    from benchmarks.curation_stages.contest import on_one_core

    on_one_core()
    kinds: dict[str, Callable[..., Any]] = {"fused": fused, "judge": judge, "cluster": cluster, "compare": compare}
    with tempfile.TemporaryDirectory(prefix="watershed-benchmark-") as scratch:
        name, documents, size, seconds = kinds[work](Path(corpus), Path(scratch), int(count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    found = Size(work=name, documents=documents, megabytes=size / 1e6, seconds=seconds, peak_mb=peak)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
