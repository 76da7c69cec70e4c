"""dclm.documents: every record of the crawl with its text, language, statistics and signature, in one pass.

One Spark stage reads archives, a task each: it is handed paths, not bytes, and returns finished rows. What a
task does is a plain function from pool rows to Arrow batches, the same with and without Spark.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from catalog.lake import Lake, Part
from catalog.tables.dclm import DOCUMENTS, STATISTICS
from spark_jobs.spark import tables as write
from spark_jobs.spark.stage_progress import stage_progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_jobs.archives.extract import Extractor
    from spark_jobs.archives.records import Record

BATCH_BYTES = 16_000_000
"""Text in a batch; a batch may exceed it by its last document."""
BATCH_ROWS = 4_096
POOL_COLUMNS = ["warc", "uri", "bytes", "global_shard", "local_shard", "state"]


def documents_batches(archives: Iterable[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Rows of dclm.documents, in archive order: one per response record and one per damage.

    Args:
        archives: rows of dclm.pool (POOL_COLUMNS); those whose state is not ready have no documents.

    Raises:
        WatershedError: an archive is gone or is not the one that was registered.
    """
    from spark_jobs.archives.extract import Extractor
    from spark_jobs.archives.records import read_records

    extractor = Extractor()
    rows: list[dict[str, Any]] = []
    held = 0
    for archive in archives:
        if archive["state"] != "ready":
            continue
        for record in read_records(archive["uri"], archive["bytes"]):
            row = _row(archive, record, extractor)
            rows.append(row)
            held += row["text_bytes"]
            if held >= BATCH_BYTES or len(rows) >= BATCH_ROWS:
                yield _batch(rows)
                rows, held = [], 0
    if rows:
        yield _batch(rows)


def write_documents(spark: SparkSession, lake: Lake, parts: Sequence[Part]) -> list[dict[str, int | dict[str, int]]]:
    """Replace partitions of dclm.documents, in one transaction, by the records of their archives.

    Args:
        parts: {"global_shard": 0..9, "local_shard": 0..9} each, and the identity of what is written.

    Returns:
        of each part archives, documents, and documents by state.

    Raises:
        WatershedError: an archive changed since it was registered, or the table could not be written.
    """
    shards = [_shard(part.partition or {}) for part in parts]
    pool = lake.read("dclm.pool", columns=POOL_COLUMNS).sort_by("warc").to_pylist()
    archives = [row for row in pool if row["state"] == "ready" and _shard(row) in shards]

    # A range has as many tasks as it is told, and no shuffle.
    tasks = spark.range(0, len(archives), 1, max(len(archives), 1))
    label = f"reading shard {'-'.join(map(str, shards[0]))}{f' and {len(parts) - 1} more' * (len(parts) > 1)}"
    with stage_progress(spark, label, len(archives), "archives") as finished:

        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from documents_batches(archives[index] for index in batch.column("id").to_pylist())
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


def document_id(warc: str, offset: int, payload_digest: str | None) -> str:
    """32 hex digits of BLAKE2b over where a document lies and what it is, newlines between."""
    said = f"{warc}\n{offset}\n{payload_digest or ''}"
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _row(archive: Mapping[str, Any], record: Record, extractor: Extractor) -> dict[str, Any]:
    """All of a row but what is computed from the text."""
    state, reason, text = record.state, record.reason, None
    if record.payload is not None:
        page = extractor.extract(record.payload, record.content_type, record.charset, record.payload_digest)
        state, reason, text = page.state, page.reason, page.text
    return {
        "doc_id": document_id(archive["warc"], record.offset, record.payload_digest),
        "warc": archive["warc"],
        "global_shard": archive["global_shard"],
        "local_shard": archive["local_shard"],
        "record_offset": record.offset,
        "payload_digest": record.payload_digest,
        "url": record.url,
        "host": host_of(record.url),
        "crawled_at": record.date,
        "content_type": record.content_type,
        "state": state,
        "reason": reason,
        "payload_bytes": record.payload_bytes,
        "text": text,
        "text_bytes": len(text.encode()) if text is not None else 0,
    }


def host_of(url: str | None) -> str | None:
    """Host of a URL in lower case; None where it has none."""
    try:
        return (urlsplit(url).hostname or None) if url else None
    except ValueError:
        return None


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows with the language, the statistics, the hash and the signature of their texts."""
    from spark_jobs.archives.extract import languages
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.statistics import statistics
    from spark_jobs.kernels.text_hash import text_hash

    text = pa.array([row["text"] for row in rows], pa.string())
    measured = statistics(text)
    codes, scores = languages(text)
    computed = {
        "text": text,
        "language": codes,
        "language_score": scores,
        "text_hash": text_hash(text),
        "minhash": minhash(text),
        **{name: measured.column(name) for name, _, _ in STATISTICS},
    }
    arrays = [
        computed[field.name].cast(field.type)
        if field.name in computed
        else pa.array([row[field.name] for row in rows], field.type)
        for field in DOCUMENTS.schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS.schema)
