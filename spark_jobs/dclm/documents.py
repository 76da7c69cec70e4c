"""dclm.documents: every record of the crawl with its text, language, statistics and signature, in one pass.

One Spark stage reads archives, one in each task: the task receives paths, not bytes, and returns finished rows. Its
work is a plain function from rows of dclm.pool to Arrow batches (`spark_jobs.archives.documents`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from catalog.lake import Lake
from catalog.tables.dclm import DOCUMENTS
from spark_jobs.archives.documents import POOL_COLUMNS, documents_batches
from spark_jobs.spark import tables as write
from spark_jobs.spark.stage_progress import stage_progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def write_documents(
    spark: SparkSession, lake: Lake, partition: Mapping[str, int], fingerprint: str
) -> dict[str, int | dict[str, int]]:
    """Replace one partition of dclm.documents by the records of its archives.

    Args:
        partition: {"global_shard": 0..9, "local_shard": 0..9}.
        fingerprint: identity of the partition to write.

    Returns:
        archives, documents, and documents by state.

    Raises:
        WatershedError: an archive changed since it was registered, or the table could not be written.
    """
    import pyarrow.compute as pc

    pool = lake.read("dclm.pool", columns=POOL_COLUMNS)
    for column, value in partition.items():
        pool = pool.filter(pc.field(column) == value)
    archives = pool.filter(pc.field("state") == "ready").sort_by("warc").to_pylist()

    # A range has as many tasks as requested, and no shuffle.
    tasks = spark.range(0, len(archives), 1, max(len(archives), 1))
    label = f"reading shard {'-'.join(map(str, partition.values()))}"
    with stage_progress(spark, label, len(archives), "archives") as finished:

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from documents_batches(archives[index] for index in batch.column("id").to_pylist())
                finished(batch.num_rows)

        frame = tasks.mapInArrow(read, write.spark_schema(DOCUMENTS.schema))
        written = write.replace(frame, DOCUMENTS, lake, fingerprint, partition)
    return {
        "archives": len(archives),
        "documents": written,
        "states": write.counts(lake, "dclm.documents", "state", partition),
    }
