"""Removes text that occurred before: paragraphs and documents (bff), and substrings, byte for byte.

The texts that earlier runs kept come before those of this run, and are not changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa

from spark_jobs.compute import pc
from spark_jobs.curate.earlier import EarlierRun
from spark_jobs.curate.parts import KEPT
from spark_jobs.curate.stage import DUPLICATES, Found, Stage, duplicate_rows, write_parquet
from spark_jobs.recipes import deduplications
from spark_jobs.recipes.recipe import Deduplication

_TEXT = ("id", "text")


def remove_paragraphs(stage: Stage, step: Deduplication, path: Path, seen: Sequence[EarlierRun]) -> Found:
    """Remove paragraphs and documents that mostly repeat earlier text."""
    from spark_jobs.dedup.bloom_filter import BloomFilter, filter_size
    from spark_jobs.dedup.paragraphs import deduplicate_paragraphs, estimate_ngrams

    removing, rate = deduplications.paragraph_options(step)
    ngrams = estimate_ngrams(chain(_earlier(seen), stage.batches(["text"])), removing)
    filter_ = BloomFilter(filter_size(max(ngrams, 1), rate))
    for _ in deduplicate_paragraphs(_earlier(seen), filter_, dataclasses.replace(removing, update=True)):
        pass
    rows: list[pa.Table] = []

    def work() -> Iterator[pa.RecordBatch]:
        for batch in stage.batches():
            (found,) = pa.Table.from_batches(
                deduplicate_paragraphs([batch.select(_TEXT)], filter_, removing)
            ).combine_chunks().to_batches() or [None]
            if found is None:
                continue
            rows.append(_paragraph_rows(found, batch, removing.threshold))
            yield _with_text(batch, found.column("text")).filter(found.column("kept"))

    write_parquet(path, KEPT, work())
    return pa.concat_tables([DUPLICATES.empty_table(), *rows]), Stage(files=(path,))


def _paragraph_rows(found: pa.RecordBatch, before: pa.RecordBatch, threshold: float) -> pa.Table:
    removed = pc.subtract(before.column("text_bytes"), pc.cast(pc.binary_length(found.column("text")), pa.int64()))
    touched = pc.or_(pc.greater(removed, 0), pc.invert(found.column("kept")))
    contained, total = found.column("contained_ngrams"), found.column("total_ngrams")
    reasons = [
        f"{most} of {all_} n-grams were met before" + (f", more than {threshold:g}" if not kept else "")
        for most, all_, kept in zip(
            contained.to_pylist(), total.to_pylist(), found.column("kept").to_pylist(), strict=True
        )
    ]
    return duplicate_rows(
        found.num_rows,
        "paragraphs",
        id=found.column("id"),
        kept=found.column("kept"),
        removed_bytes=removed,
        reason=pa.array(reasons, pa.string()),
    ).filter(touched)


def remove_substrings(stage: Stage, step: Deduplication, path: Path, seen: Sequence[EarlierRun]) -> Found:
    """Remove substrings that occur earlier too, or elsewhere."""
    from spark_jobs.dedup.substrings import remove_spans, repeated_substrings

    removing = deduplications.substring_options(step)
    before = sum(1 for _ in _earlier(seen))
    rows: list[pa.Table] = []

    def texts() -> Iterator[pa.RecordBatch]:
        return chain(_earlier(seen), stage.batches(_TEXT))

    def work() -> Iterator[pa.RecordBatch]:
        found = islice(repeated_substrings(texts, removing), before, None)
        for batch, spans in zip(stage.batches(), found, strict=True):
            text = remove_spans(batch.column("text"), spans.column("spans"))
            kept = pc.greater(pc.binary_length(pc.utf8_trim_whitespace(text)), 0)
            rows.append(_substring_rows(batch, spans, kept))
            yield _with_text(batch, text).filter(kept)

    write_parquet(path, KEPT, work())
    return pa.concat_tables([DUPLICATES.empty_table(), *rows]), Stage(files=(path,))


def _substring_rows(batch: pa.RecordBatch, spans: pa.RecordBatch, kept: pa.Array) -> pa.Table:
    covered = pc.cast(spans.column("covered_bytes"), pa.int64())
    return duplicate_rows(
        batch.num_rows,
        "substrings",
        id=batch.column("id"),
        kept=kept,
        removed_bytes=covered,
        reason=pa.array(["stands earlier too, byte for byte"] * batch.num_rows, pa.string()),
    ).filter(pc.greater(covered, 0))


def _earlier(seen: Iterable[EarlierRun]) -> Iterator[pa.RecordBatch]:
    return chain.from_iterable(run.batches(_TEXT) for run in seen)


def _with_text(batch: pa.RecordBatch, text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.text_hash import text_hash

    renewed = {
        "text": text,
        "text_hash": text_hash(text),
        "text_bytes": pc.cast(pc.binary_length(text), pa.int64()),
        "minhash": minhash(text).cast(pa.binary()),
    }
    columns = [renewed.get(name, batch.column(name)) for name in KEPT.names]
    return pa.RecordBatch.from_arrays(columns, schema=KEPT)
