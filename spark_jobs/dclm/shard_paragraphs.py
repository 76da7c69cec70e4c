"""Paragraphs, documents and stretches met before, shard by shard: each shard of the pool has a filter of its own.

That is how DCLM-Baseline was made: global shards, and within each local ones, are deduplicated apart (10 x 10 in the
released pool). Within a shard documents come in the order of archive and record, so that the result is the same whoever
works on it. The n-grams of every shard are counted first, and its filter is made for as many.
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
"""Columns of what is left, as `paragraphs.deduplicate_paragraphs` and then `substring_dedup.remove_repeated` tell them;
repeated_bytes is null where no substrings are looked for."""

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
    """What is left of documents when each shard is deduplicated by itself, as LEFT.

    Args:
        documents: doc_id, text, global_shard, local_shard, warc and record_offset; it is read twice.
        options: what counts as met before; DCLM-Baseline's if none are given.
        substrings: then, what stretches that stand elsewhere in the shard go; none if not given.
        false_positive_rate: of the filters.
        memory_limit: bytes that the filter of a shard may take.

    Raises:
        WatershedError: a shard needs a larger filter; names the size.
    """
    options = options or ParagraphOptions()
    sizes = {
        shard: filter_size(max(1, ngrams), false_positive_rate)
        for shard, ngrams in count_shards(documents, options).items()
    }
    # Refused here, before any worker has begun.
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
    """n-grams of every shard."""

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        totals: Counter[Shard] = Counter()
        for shard, batch in by_shard(batches):
            totals[shard] += estimate_ngrams([batch], options)
        rows = [{"global_shard": shard[0], "local_shard": shard[1], "ngrams": n} for shard, n in totals.items()]
        yield pa.RecordBatch.from_pylist(rows, COUNTS)

    # A row for each task and shard: few.
    counted = documents.select("text", *SHARD).mapInArrow(count, "global_shard int, local_shard int, ngrams long")
    totals: Counter[Shard] = Counter()
    for row in counted.toArrow().to_pylist():
        totals[row["global_shard"], row["local_shard"]] += row["ngrams"]
    return dict(totals)


def by_shard(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Shard, pa.RecordBatch]]:
    """Batches cut where the shard changes, `id` being their doc_id where they have one."""
    for batch in batches:
        names = ["id" if name == "doc_id" else name for name in batch.schema.names]
        shards = list(zip(*(batch[name].to_pylist() for name in SHARD), strict=True))
        renamed = batch.rename_columns(names)
        start = 0
        for shard, rows in groupby(shards):
            size = len(list(rows))
            yield shard, renamed.slice(start, size)
            start += size
