"""Documents of archives: a row for each response record and each damage, in Arrow batches.

A plain function from registered archives to finished rows of dclm.documents. A Spark task, `watershed curate` and a
benchmark all call it, so they give the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

if TYPE_CHECKING:
    from spark_jobs.archives.extract import Extractor
    from spark_jobs.archives.records import Record


BATCH_BYTES = 16_000_000
"""Bytes of text in a batch; its last document may exceed them."""
BATCH_ROWS = 4_096
POOL_COLUMNS = ["warc", "uri", "bytes", "global_shard", "local_shard", "state"]


def documents_batches(archives: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Documents in archive order: a row per response record and a row per damage.

    Args:
        archives: rows of dclm.pool with POOL_COLUMNS; only those in the state `ready` have documents.
        schema: the schema of dclm.documents, or some of its fields.

    Raises:
        WatershedError: an archive is missing or is not the one that was registered.
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
                yield _batch(rows, schema)
                rows, held = [], 0
    if rows:
        yield _batch(rows, schema)


def document_id(warc: str, offset: int, payload_digest: str | None) -> str:
    """32 hex digits of BLAKE2b over the archive, the offset and the payload digest, joined by newlines."""
    identity = f"{warc}\n{offset}\n{payload_digest or ''}"
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


def _row(archive: Mapping[str, Any], record: Record, extractor: Extractor) -> dict[str, Any]:
    """The columns of a row that are not computed from its text."""
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
    """Host of a URL in lower case; None without one."""
    try:
        return (urlsplit(url).hostname or None) if url else None
    except ValueError:
        return None


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """The rows as a batch, with the language, statistics, hash and signature of each text."""
    from spark_jobs.classifiers.languages import languages
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
        **dict(zip(measured.schema.names, measured.columns, strict=True)),
    }
    arrays = [
        computed[field.name].cast(field.type)
        if field.name in computed
        else pa.array([row[field.name] for row in rows], field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
