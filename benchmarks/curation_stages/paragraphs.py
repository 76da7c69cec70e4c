"""Bloom-filter deduplication of paragraphs: gzipped JSON lines to attributes, as dolma's deduper does it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.curation_stages.contest import Agreement, Contest
from benchmarks.curation_stages.dolma_peer import import_dolma
from benchmarks.curation_stages.pages import SEED, Pages, with_near_copies
from spark_jobs.dedup.paragraphs import FALSE_POSITIVE_RATE

if TYPE_CHECKING:
    from spark_jobs.dedup.bloom_filter import BloomFilter, FilterSize

NGRAM = 13
THRESHOLD = 0.8
NAME = "met"
COMPRESSION = 6
ASKED = 4_000_000
"""Number of unseen n-grams that are looked up in a filter."""

Removed = set[tuple[int, int]]
"""(document, paragraph), counted from 0."""


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Paragraphs removed of pages and of a near copy of each, in the same order."""
    from spark_jobs.dedup.bloom_filter import BloomFilter, filter_size
    from spark_jobs.dedup.paragraphs import deduplicate_paragraphs, estimate_ngrams

    texts = with_near_copies(pages.texts)
    batch = pa.record_batch({"id": [str(number) for number in range(len(texts))], "text": pa.array(texts, pa.string())})
    ngrams = max(estimate_ngrams([batch]), 1)
    size = filter_size(ngrams, FALSE_POSITIVE_RATE)
    documents = write_documents(texts, pages.scratch / "dolma")
    measured = f"{in_use(batch, size):.2%} after these pages, {when_full(size):.2%} when full"

    def in_memory() -> Iterator[pa.RecordBatch]:
        return deduplicate_paragraphs([batch], BloomFilter(size))

    def ours() -> Path:
        return deduplicate_file(documents, BloomFilter(size), pages.scratch / "ours.json.gz")

    def theirs() -> Path:
        return dolma_attributes(documents, ngrams)

    def agree(ours: Path, theirs: Path) -> Agreement:
        mine, others = removed_by(ours, texts), removed_by(theirs, texts)
        return same_paragraphs(mine, others, texts, measured)

    def agree_in_memory(ours: list[pa.RecordBatch], theirs: Path) -> Agreement:
        starts = [row for found in ours for row in found.column("removed_spans").to_pylist()]
        mine = {
            (number, len(texts[number].encode()[: span["start"] + 1].split(b"\n")) - 1)
            for number, spans in enumerate(starts)
            for span in spans
        }
        return same_paragraphs(mine, removed_by(theirs, texts), texts, measured)

    both = {"bytes": sum(len(text.encode()) for text in texts), "documents": len(texts), "theirs": theirs}
    yield Contest(stage="paragraph Bloom filter, files", peer="dolma", ours=ours, agree=agree, **both)
    yield Contest(
        stage="paragraph Bloom filter, in memory",
        peer="dolma, files",
        ours=lambda: list(in_memory()),
        agree=agree_in_memory,
        **both,
    )


def write_documents(texts: list[str], folder: Path) -> Path:
    """The texts as dolma reads them."""
    path = folder / "documents" / "pages.json.gz"
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wb", COMPRESSION) as file:
        for number, text in enumerate(texts):
            file.write(orjson.dumps({"id": str(number), "text": text, "source": "pages"}) + b"\n")
    return path


def deduplicate_file(documents: Path, filter_: BloomFilter, attributes: Path) -> Path:
    """What dolma's deduper does, with our paragraphs: gzipped JSON lines in, spans of characters out."""
    from spark_jobs.archives.codings import gunzip
    from spark_jobs.dedup.paragraphs import deduplicate_paragraphs

    with documents.open("rb") as file:
        rows = [orjson.loads(line) for line in gunzip(file).read().splitlines()]
    batch = pa.record_batch({name: pa.array([row[name] for row in rows], pa.string()) for name in ("id", "text")})
    lines: list[bytes] = []
    for found in deduplicate_paragraphs([batch], filter_):
        for spans in _spans(found.column("removed_spans")):
            row = rows[len(lines)]
            attributes_of_page = [[start, stop, 1.0] for start, stop in _in_characters(row["text"], spans)]
            lines.append(orjson.dumps({"attributes": {NAME: attributes_of_page}, "id": row["id"]}))
    attributes.write_bytes(gzip.compress(b"\n".join(lines) + b"\n", COMPRESSION))
    return attributes


def _spans(removed: pa.ListArray) -> Iterator[list[tuple[int, int]]]:
    """(start, stop) of each document's spans."""
    places, found = removed.offsets.to_pylist(), removed.values
    spans = list(zip(found.field("start").to_pylist(), found.field("stop").to_pylist(), strict=True))
    return (spans[first:last] for first, last in pairwise(places))


def _in_characters(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of UTF-8 bytes as spans of characters."""
    if text.isascii():
        return spans
    data, places, read, characters = text.encode(), [], 0, 0
    for place in chain.from_iterable(spans):
        characters += len(data[read:place].decode())
        places.append(characters)
        read = place
    return list(zip(places[::2], places[1::2], strict=True))


def dolma_attributes(documents: Path, ngrams: int) -> Path:
    """Run dolma's deduper with an empty filter for so many n-grams."""
    deduper = import_dolma().deduper
    folder = documents.parents[1]
    bits = folder / "filter.bin"
    bits.unlink(missing_ok=True)
    shutil.rmtree(folder / "attributes", ignore_errors=True)
    by_ngram = {
        "ngram_length": NGRAM,
        "stride": 0,
        "overlap_threshold": THRESHOLD,
        "skip_short_paragraphs": True,
    }
    deduper(
        {
            "documents": [str(documents)],
            "work_dir": {"input": str(folder / "in"), "output": str(folder / "out")},
            "processes": 1,
            "dedupe": {
                "name": NAME,
                "paragraphs": {"attribute_name": NAME, "by_ngram": by_ngram, "paragraph_separator": "\n"},
                "skip_empty": True,
                "min_length": 0,
                "min_words": 0,
                "num_partitions": 1,
                "partition_index": 0,
                "file_partition": False,
                "document_dir": "documents",
            },
            "bloom_filter": {
                "file": str(bits),
                "read_only": False,
                "size_in_bytes": 0,
                "estimated_doc_count": ngrams,
                "desired_false_positive_rate": FALSE_POSITIVE_RATE,
            },
            "compression": {"input": None, "output": None},
            "is_s3_volume": False,
        }
    )
    return folder / "attributes" / NAME / documents.name


def removed_by(attributes: Path, texts: list[str]) -> Removed:
    """Paragraphs that an attribute file removes; a span may begin at the newline before its paragraph."""
    found: Removed = set()
    with gzip.open(attributes) as file:
        for number, line in enumerate(file):
            for start, *_ in json.loads(line)["attributes"][NAME]:
                found.add((number, texts[number].count("\n", 0, start + 1)))
    return found


def same_paragraphs(ours: Removed, theirs: Removed, texts: list[str], measured: str) -> Agreement:
    """Share of paragraphs long enough to be compared that both keep or both remove."""
    looked_at = (
        {
            (number, place)
            for number, text in enumerate(texts)
            for place, paragraph in enumerate(text.split("\n"))
            if len(paragraph.split()) >= NGRAM
        }
        | ours
        | theirs
    )
    same = len(looked_at) - len(ours ^ theirs)
    return Agreement(
        same / len(looked_at) if looked_at else 1.0,
        f"kept or removed, of {len(looked_at):,} paragraphs of {NGRAM} words or more (ours removes {len(ours):,}, "
        f"dolma {len(theirs):,}); false positives of ours: {measured}, promised {FALSE_POSITIVE_RATE:.2%}",
    )


def in_use(batch: pa.RecordBatch, size: FilterSize) -> float:
    """Share of unseen n-grams that the filter reports as seen after these texts."""
    from spark_jobs.dedup.bloom_filter import BloomFilter
    from spark_jobs.dedup.paragraphs import deduplicate_paragraphs

    filter_ = BloomFilter(size)
    for _ in deduplicate_paragraphs([batch], filter_):
        pass
    return _taken_for_met(filter_)


def when_full(size: FilterSize) -> float:
    """The same share for a filter that is full."""
    from spark_jobs.dedup.bloom_filter import BloomFilter
    from spark_jobs.kernels.bloom import insert

    filter_, draw = BloomFilter(size), np.random.default_rng(SEED)
    insert(filter_.bits, filter_.tally, size.probes, draw.integers(0, 2**64, size.capacity, np.uint64))
    return _taken_for_met(filter_)


def _taken_for_met(filter_: BloomFilter) -> float:
    from spark_jobs.kernels.bloom import contains

    asked = np.random.default_rng(SEED + 1).integers(0, 2**64, ASKED, np.uint64)
    return float(contains(filter_.bits, filter_.size.probes, asked).mean())
