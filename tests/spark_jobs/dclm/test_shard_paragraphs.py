"""Each shard of a pool is deduplicated by itself, in the order of its archives, by any worker."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs.dclm.shard_paragraphs import SHARD, by_shard, deduplicate_shards
from spark_jobs.dedup.bloom_filter import BloomFilter, filter_size
from spark_jobs.dedup.paragraphs import ParagraphOptions, deduplicate_paragraphs, estimate_ngrams
from spark_jobs.dedup.substrings import SubstringOptions

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


def test_stretches_that_stand_elsewhere_in_the_shard_go_after_paragraphs(spark: SparkSession) -> None:
    table = documents(60)
    stretch = table["text"][1].as_py()[20:260]
    texts = [text and f"{number} {text} {stretch}." for number, text in enumerate(table["text"].to_pylist())]
    table = table.set_column(1, "text", pa.array(texts))
    options, substrings = ParagraphOptions(threshold=0.5), SubstringOptions(length=100)
    found = deduplicate_shards(
        spark.createDataFrame(table), options, substrings=substrings, false_positive_rate=1e-9
    ).toArrow()
    plain = deduplicate_shards(spark.createDataFrame(table), options, false_positive_rate=1e-9).toArrow()
    assert plain["repeated_bytes"].null_count == len(plain)
    place = {row["doc_id"]: (row["warc"], row["record_offset"]) for row in table.to_pylist()}
    before = {row["doc_id"]: row for row in plain.to_pylist()}
    expected: dict[str, tuple[str | None, int]] = {}
    for shard in {(row["global_shard"], row["local_shard"]) for row in before.values()}:
        own = [id_ for id_, row in before.items() if (row["global_shard"], row["local_shard"]) == shard]
        seen: set[bytes] = set()
        for id_ in sorted(own, key=place.__getitem__):
            expected[id_] = without_windows(before[id_]["text"], seen, substrings.length)
    rows = found.to_pylist()
    assert {row["doc_id"]: (row["text"], row["repeated_bytes"]) for row in rows} == expected
    assert sum(row["repeated_bytes"] > 0 for row in rows) > 20
    for row in rows:
        assert row["kept"] == (before[row["doc_id"]]["kept"] and bool(row["text"].strip()))


def without_windows(text: str | None, seen: set[bytes], length: int) -> tuple[str | None, int]:
    """An ASCII text without the windows that were seen before. Its own windows are then added to the seen ones."""
    if text is None:
        return None, 0
    data = text.encode()
    covered = bytearray(len(data))
    for start in range(len(data) - length + 1):
        window = data[start : start + length]
        if window in seen:
            covered[start : start + length] = b"\1" * length
        seen.add(window)
    return bytes(byte for byte, gone in zip(data, covered, strict=True) if not gone).decode(), sum(covered)


def test_a_shard_that_needs_too_large_a_filter_is_refused_before_the_work(spark: SparkSession) -> None:
    frame = spark.createDataFrame(documents(30))
    with pytest.raises(WatershedError, match=r"needs [\d,]+ bytes, and 100 are allowed"):
        deduplicate_shards(frame, memory_limit=100)
