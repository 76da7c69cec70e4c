"""dclm.paragraphs: within each shard of the pool, paragraphs and documents that repeat what came before.

A shard is one task with one filter, its documents in the order of archives and offsets: the virtual shards in which
DCLM-Baseline was deduplicated (mlfoundations/dclm, dedup/bff). Which shard a document is in decides what it is
compared with; who works on it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.dclm import PARAGRAPHS
from spark_jobs import write
from spark_jobs.bloom_filter import BloomFilter, filter_size
from spark_jobs.compute import pc
from spark_jobs.paragraphs import ParagraphOptions, Remove, deduplicate_paragraphs, estimate_ngrams
from spark_jobs.recipe import Recipe
from spark_jobs.survivors import judged

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHARD_COLUMNS = ("global_shard", "local_shard")
FALSE_POSITIVE_RATE = 0.01


def paragraph_options(recipe: Recipe) -> tuple[ParagraphOptions, float]:
    """What the recipe counts as met before, and the filter's false-positive rate.

    Raises:
        WatershedError: the recipe removes no paragraphs.
    """
    for step in recipe.deduplicate:
        if step.method == "paragraphs":
            options = dict(step.options)
            rate = options.pop("false_positive_rate", FALSE_POSITIVE_RATE)
            if "remove" in options:
                options["remove"] = Remove(options["remove"])
            return ParagraphOptions(**options), rate
    raise WatershedError(
        f"recipe {recipe.name} removes no paragraphs", "give it `deduplicate: [{method: paragraphs, source: ...}]`"
    )


def write_paragraphs(
    spark: SparkSession, lake: Lake, partition: Mapping[str, int], recipe: Recipe, fingerprint: str
) -> dict[str, Any]:
    """Replace one partition of dclm.paragraphs by what is left of its documents.

    Returns:
        documents compared, those kept, and the n-grams that the filter was sized for.

    Raises:
        WatershedError: a stage before is not made, or the filter would not fit into memory.
    """
    from pyspark.sql import functions as F

    options, rate = paragraph_options(recipe)
    documents = judged(spark, lake, recipe.name)
    for column, value in partition.items():
        documents = documents.where(F.col(column) == value)

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"ngrams": pa.array([estimate_ngrams(batches, options)], pa.int64())})

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        filter_ = BloomFilter(filter_size(max(ngrams, 1), rate))
        for batch in batches:
            yield from left_of(batch, filter_, options)

    ngrams = documents.select("text").mapInArrow(count, "ngrams long").agg(F.sum("ngrams")).collect()[0][0] or 0
    in_order = documents.repartition(1).sortWithinPartitions("warc", "record_offset")
    in_order = in_order.select("doc_id", *SHARD_COLUMNS, "text")
    frame = in_order.mapInArrow(work, write.spark_schema(PARAGRAPHS.schema))
    written = write.replace(frame, PARAGRAPHS, lake, fingerprint, partition)
    kept = write.counts(lake, PARAGRAPHS.name, "kept", partition)
    return {"documents": written, "kept": kept.get("True", 0), "ngrams": ngrams}


def left_of(batch: pa.RecordBatch, filter_: BloomFilter, options: ParagraphOptions) -> Iterator[pa.RecordBatch]:
    """Rows of dclm.paragraphs for documents in their order: doc_id, shard columns and text."""
    texts = pa.RecordBatch.from_arrays([batch.column("doc_id"), batch.column("text")], names=["id", "text"])
    start = 0
    for found in deduplicate_paragraphs([texts], filter_, options):
        rows = batch.slice(start, found.num_rows)
        start += found.num_rows
        removed = pc.not_equal(rows.column("text"), found.column("text"))
        columns = {
            **{name: rows.column(name) for name in ("doc_id", *SHARD_COLUMNS)},
            "kept": found.column("kept"),
            "text": pc.if_else(removed, found.column("text"), None),
            "text_bytes": pc.cast(pc.binary_length(found.column("text")), pa.int64()),
            "contained_ngrams": found.column("contained_ngrams"),
            "total_ngrams": found.column("total_ngrams"),
        }
        arrays = [columns[field.name].cast(field.type) for field in PARAGRAPHS.schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=PARAGRAPHS.schema)
