"""What Spark adds to the fused stage: the same archive through `mapInArrow`, and through the bare function."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from hashlib import sha1
from typing import Any

import pyarrow as pa

from benchmarks.curation_stages.contest import Agreement, Contest
from benchmarks.curation_stages.pages import Pages

ENOUGH_BYTES = 240_000_000
"""HTML of a job, about a twentieth of an archive of Common Crawl, so that the fixed cost of a job is small."""


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Rows of dclm.documents. The peer is the bare function: the ratio is what is left of its speed."""
    from catalog.settings import load_settings
    from catalog.tables.dclm import DOCUMENTS
    from spark_jobs.archives.documents import documents_batches
    from spark_jobs.spark import tables as write
    from spark_jobs.spark.session import spark_session, stop_session

    row = pages.pool_row()
    passes = max(1, round(ENOUGH_BYTES / pages.payload_bytes))
    os.environ["WATERSHED_SPARK_MASTER"] = "local[1]"
    spark = spark_session(load_settings(pages.scratch))

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in (number for batch in batches for number in batch.column("id").to_pylist()):
            yield from documents_batches([row], DOCUMENTS.schema)

    def bare() -> pa.Table:
        return pa.Table.from_batches(
            batch for _ in range(passes) for batch in documents_batches([row], DOCUMENTS.schema)
        )

    def through_spark() -> pa.Table:
        frame = spark.range(0, passes, 1, 1).mapInArrow(work, write.spark_schema(DOCUMENTS.schema))
        # Whole rows reach the JVM, as on their way into a table; what comes back is small.
        return frame.selectExpr("doc_id", "sha1(text) AS digest", "sha1(minhash) AS signature").toArrow()

    def agree(ours: pa.Table, theirs: pa.Table) -> Agreement:
        same = Counter(_rows(ours)) & Counter(_digests(theirs))
        return Agreement(same.total() / theirs.num_rows, f"{theirs.num_rows:,} rows: id, text and signature")

    try:
        yield Contest(
            stage="fused stage through Spark local[1]",
            peer="the same without Spark",
            ours=through_spark,
            theirs=bare,
            bytes=pages.payload_bytes * passes,
            documents=len(pages.payloads) * passes,
            agree=agree,
        )
    finally:
        stop_session()


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in ("doc_id", "digest", "signature")), strict=True))


def _digests(table: pa.Table) -> list[tuple[Any, ...]]:
    texts, signatures = table["text"].to_pylist(), table["minhash"].to_pylist()
    return [
        (id_, sha1(text.encode()).hexdigest() if text is not None else None, sha1(mark).hexdigest() if mark else None)
        for id_, text, mark in zip(table["doc_id"].to_pylist(), texts, signatures, strict=True)
    ]
