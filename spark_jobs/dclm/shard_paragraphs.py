"""Removes repeated paragraphs, documents and substrings, with a separate Bloom filter for each shard of the pool.

DCLM-Baseline was made in this way: each local shard of each global shard is deduplicated separately (10 x 10 in the
released pool). The documents of a shard come in the order of archive and record, so the result does not depend on the
worker. The n-grams of every shard are counted first, and its filter is sized for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from spark_jobs.dedup.bloom_filter import MEMORY_LIMIT, BloomFilter, filter_size
from spark_jobs.dedup.paragraphs import FALSE_POSITIVE_RATE, ParagraphOptions, deduplicate_paragraphs, estimate_ngrams
from spark_jobs.dedup.substrings import SubstringOptions, remove_repeated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SHARD = ["global_shard", "local_shard"]
ORDER = [*SHARD, "warc", "record_offset"]
LEFT = (
    "doc_id string, global_shard int, local_shard int, text string, removed_spans array<struct<start int, stop int>>, "
    "contained_ngrams long, total_ngrams long, kept boolean, repeated_bytes long"
)
"""Columns of the result, as `dedup.paragraphs.deduplicate_paragraphs` and `dedup.substrings.remove_repeated` define
them. repeated_bytes is null if substrings are not removed."""

COUNTS = pa.schema([("global_shard", pa.int32()), ("local_shard", pa.int32()), ("ngrams", pa.int64())])

Shard = tuple[int, int]


def deduplicate_shards(
    documents: DataFrame,
    options: ParagraphOptions | None = None,
    *,
    substrings: SubstringOptions | None = None,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    memory_limit: int = MEMORY_LIMIT,
) -> DataFrame:
    """What is left of documents after each shard is deduplicated separately, in the columns of LEFT.

    Args:
        documents: doc_id, text, global_shard, local_shard, warc and record_offset; it is read twice.
        options: what counts as repeated; by default as in DCLM-Baseline.
        substrings: which repeated substrings are removed afterwards; None for none.
        false_positive_rate: of the filters.
        memory_limit: bytes that the filter of a shard may take.

    Raises:
        WatershedError: a shard needs a larger filter; the message names the size.
    """
    options = options or ParagraphOptions()
    sizes = {
        shard: filter_size(max(1, ngrams), false_positive_rate)
        for shard, ngrams in count_shards(documents, options).items()
    }
    # Checked here, before any worker starts.
    for size in sizes.values():
        BloomFilter.check(size, memory_limit)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for shard, some in groupby(by_shard(batches), key=lambda part: part[0]):
            filter_ = BloomFilter(sizes[shard], memory_limit=memory_limit)
            left = deduplicate_paragraphs((part for _, part in some), filter_, options)
            for batch in remove_repeated(left, substrings) if substrings else left:
                places = {
                    name: pa.array([number] * batch.num_rows, pa.int32())
                    for name, number in zip(SHARD, shard, strict=True)
                }
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                columns.setdefault("repeated_bytes", pa.nulls(batch.num_rows, pa.int64()))
                yield pa.record_batch({"doc_id": columns.pop("id"), **places, **columns})

    ordered = documents.select("doc_id", "text", *ORDER).repartition(*SHARD).sortWithinPartitions(*ORDER)
    return ordered.mapInArrow(work, LEFT)


def count_shards(documents: DataFrame, options: ParagraphOptions) -> dict[Shard, int]:
    """Number of n-grams of every shard."""

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals: Counter[Shard] = Counter()
        for shard, batch in by_shard(batches):
            totals[shard] += estimate_ngrams([batch], options)
        rows = [{"global_shard": shard[0], "local_shard": shard[1], "ngrams": n} for shard, n in totals.items()]
        yield pa.RecordBatch.from_pylist(rows, COUNTS)

    # There are few rows: one for each task and shard.
    counted = documents.select("text", *SHARD).mapInArrow(count, "global_shard int, local_shard int, ngrams long")
    totals: Counter[Shard] = Counter()
    for row in counted.toArrow().to_pylist():
        totals[row["global_shard"], row["local_shard"]] += row["ngrams"]
    return dict(totals)


def by_shard(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Shard, pa.RecordBatch]]:
    """Batches cut where the shard changes, with doc_id renamed to `id` if they have it."""
    for batch in batches:
        names = ["id" if name == "doc_id" else name for name in batch.schema.names]
        shards = list(zip(*(batch[name].to_pylist() for name in SHARD), strict=True))
        renamed = batch.rename_columns(names)
        start = 0
        for shard, rows in groupby(shards):
            size = len(list(rows))
            yield shard, renamed.slice(start, size)
            start += size
