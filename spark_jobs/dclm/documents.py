"""dclm.documents: every record of the crawl with its text, language, statistics and signature, in one pass.

One Spark stage reads archives, one in each task: the task receives paths, not bytes, and returns finished rows. Its
work is a plain function from rows of dclm.pool to Arrow batches (`spark_jobs.archives.documents`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.lake import Lake, Part
from catalog.tables.dclm import DOCUMENTS
from spark_jobs.archives.documents import POOL_COLUMNS, documents_batches
from spark_jobs.spark import tables as write
from spark_jobs.spark.stage_progress import stage_progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def write_documents(spark: SparkSession, lake: Lake, parts: Sequence[Part]) -> list[dict[str, int | dict[str, int]]]:
    """Replace partitions of dclm.documents, in one transaction, by the records of their archives.

    Args:
        parts: the partitions, {"global_shard": 0..9, "local_shard": 0..9} each, with their fingerprints.

    Returns:
        for each part, the number of archives, of documents, and of documents by state.

    Raises:
        WatershedError: an archive changed since it was registered, or the table could not be written.
    """
    shards = [_shard(part.partition or {}) for part in parts]
    pool = lake.read("dclm.pool", columns=POOL_COLUMNS).sort_by("warc").to_pylist()
    archives = [row for row in pool if row["state"] == "ready" and _shard(row) in shards]

    # A range has as many tasks as requested, and no shuffle.
    tasks = spark.range(0, len(archives), 1, max(len(archives), 1))
    label = f"reading shard {'-'.join(map(str, shards[0]))}{f' and {len(parts) - 1} more' * (len(parts) > 1)}"
    with stage_progress(spark, label, len(archives), "archives") as finished:

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                found = (archives[index] for index in batch.column("id").to_pylist())
                yield from documents_batches(found, DOCUMENTS.schema)
                finished(batch.num_rows)

        frame = tasks.mapInArrow(read, write.spark_schema(DOCUMENTS.schema))
        write.replace_parts(frame, DOCUMENTS, lake, parts)
    ready = Counter(map(_shard, archives))
    return [
        {"archives": ready[shard], "documents": sum(states.values()), "states": states}
        for shard, states in zip(shards, write.counts_by_part(lake, "dclm.documents", "state", parts), strict=True)
    ]


def _shard(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["global_shard"], row["local_shard"]
