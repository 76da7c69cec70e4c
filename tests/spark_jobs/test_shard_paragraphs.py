"""Each shard of a pool is deduplicated by itself, in the order of its archives, whoever works on it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs.bloom_filter import BloomFilter, filter_size
from spark_jobs.paragraphs import ParagraphOptions, deduplicate_paragraphs, estimate_ngrams
from spark_jobs.shard_paragraphs import SHARD, by_shard, deduplicate_shards

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def documents(count: int) -> pa.Table:
    """Pages that share paragraphs, in shards of a pool, in no order."""
    draw = random.Random(3)
    vocabulary = [f"word{number}" for number in range(200)]
    paragraphs = [" ".join(draw.choices(vocabulary, k=30)) for _ in range(60)]
    rows = [
        {
            "doc_id": f"{draw.getrandbits(64):032x}",
            "text": "\n".join(draw.choices(paragraphs, k=3)) if number % 9 else None,
            "global_shard": number % 2,
            "local_shard": number % 3,
            "warc": f"{number % 5}.warc.gz",
            "record_offset": number,
        }
        for number in range(count)
    ]
    table = pa.Table.from_pylist(rows)
    for place, name in enumerate(table.schema.names[2:4], start=2):
        table = table.set_column(place, name, table[name].cast(pa.int32()))
    return table


def test_shards_are_deduplicated_apart_and_in_order(spark: SparkSession) -> None:
    table = documents(180)
    options = ParagraphOptions(threshold=0.5)
    frame = spark.createDataFrame(table)
    found = deduplicate_shards(frame, options, false_positive_rate=1e-9).toArrow().sort_by("doc_id")
    expected = []
    ordered = table.sort_by([(name, "ascending") for name in (*SHARD, "warc", "record_offset")])
    shards = sorted(set(zip(*(table[name].to_pylist() for name in SHARD), strict=True)))
    assert len(shards) == 6
    for shard in shards:
        own = [part for place, part in by_shard(ordered.to_batches()) if place == shard]
        filter_ = BloomFilter(filter_size(estimate_ngrams(own), 1e-9))
        for batch in deduplicate_paragraphs(own, filter_, options):
            expected += [{**row, "shard": shard} for row in batch.to_pylist()]
    rows = [
        {"id": row.pop("doc_id"), **row, "shard": (row.pop("global_shard"), row.pop("local_shard"))}
        for row in found.to_pylist()
    ]
    names = ("id", "text", "removed_spans", "contained_ngrams", "total_ngrams", "kept", "shard")
    assert [[row[name] for name in names] for row in rows] == [
        [row[name] for name in names] for row in sorted(expected, key=lambda row: row["id"])
    ]
    assert sum(bool(row["removed_spans"]) for row in rows) > 40


def test_a_shard_that_needs_too_large_a_filter_is_refused_before_the_work(spark: SparkSession) -> None:
    frame = spark.createDataFrame(documents(30))
    with pytest.raises(WatershedError, match=r"needs [\d,]+ bytes, and 100 are allowed"):
        deduplicate_shards(frame, memory_limit=100)
