"""The rows of the datastore: passages of papers, and their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.tables.scholar import EMBEDDINGS, PASSAGES
from spark_jobs.retrieval.encoders import Encoder
from spark_jobs.retrieval.passages import Cut, passage_id, spans, text_digest
from spark_jobs.retrieval.stamps import Stamp, require_same

EMBEDDED = 2048
"""Passages that are embedded at a time."""


def passage_rows(paper: Mapping[str, Any], cut: Cut) -> Iterator[dict[str, Any]]:
    """Yield the rows of `scholar.passages` of a row of `scholar.papers`."""
    text = paper["text"]
    for number, (begin, end) in enumerate(spans(text, cut)):
        inside = text[begin:end]
        yield {
            "passage": passage_id(paper["paper"], paper["version"], begin, end),
            "paper": paper["paper"],
            "version": paper["version"],
            "title": paper["title"],
            "number": number,
            "begin": begin,
            "end": end,
            "words": len(inside.split()),
            "digest": text_digest(inside),
            "text": inside,
        }


def passages_of(papers: pa.Table, cut: Cut) -> pa.Table:
    """Return the passages of papers, in the order of the papers."""
    batches = [
        pa.RecordBatch.from_pylist(rows, schema=PASSAGES.schema)
        for batch in papers.to_batches(max_chunksize=1000)
        if (rows := [row for paper in batch.to_pylist() for row in passage_rows(paper, cut)])
    ]
    return pa.Table.from_batches(batches, schema=PASSAGES.schema)


def embedded_text(title: str | None, text: str) -> str:
    """Return what is embedded of a passage: its title and its text, as OpenScholar does."""
    return f"{title} {text}" if title else text


def embeddings_of(passages: pa.Table, encoder: Encoder, advance: Any = None) -> pa.Table:
    """Return the rows of `scholar.embeddings` of passages.

    Args:
        passages: rows with `passage`, `title` and `text`.
        encoder: the encoder.
        advance: called with the number of passages that were embedded.
    """
    stamp = encoder.stamp
    parts = []
    for batch in passages.select(["passage", "title", "text"]).to_batches(max_chunksize=EMBEDDED):
        rows = batch.to_pylist()
        vectors = encoder.documents([embedded_text(row["title"], row["text"]) for row in rows])
        parts.append(_vector_rows(batch["passage"], vectors, stamp))
        if advance:
            advance(len(rows))
    return pa.Table.from_batches(parts, schema=EMBEDDINGS.schema) if parts else EMBEDDINGS.schema.empty_table()


def _vector_rows(passages: pa.Array, vectors: np.ndarray, stamp: Stamp) -> pa.RecordBatch:
    half = np.ascontiguousarray(vectors, dtype="<f2")
    width = half.shape[1] * 2
    binary = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(half), [None, pa.py_buffer(half.tobytes())]
    ).cast(pa.binary())
    entries: dict[str, Any] = {"passage": passages, "vector": binary, "stamp": stamp.digest, **asdict(stamp)}
    columns = [
        entries[field.name]
        if isinstance(entries[field.name], pa.Array)
        else pa.repeat(pa.scalar(entries[field.name], field.type), len(half))
        for field in EMBEDDINGS.schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=EMBEDDINGS.schema)


def stamp_of(row: Mapping[str, Any]) -> Stamp:
    """Return the stamp of a row of `scholar.embeddings`."""
    names = ("model", "revision", "library", "dimensions", "normalised", "query_prompt", "document_prompt")
    return Stamp(**{name: row[name] for name in names})


def vector_batches(batches: Iterable[pa.RecordBatch], stamp: Stamp) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """Yield ids and vectors (n, dimensions) of rows of `scholar.embeddings`.

    Raises:
        WatershedError: a row has another stamp, or a vector of another length.
    """
    for batch in batches:
        if not len(batch):
            continue
        if any(other != stamp.digest for other in batch["stamp"].unique().to_pylist()):
            other = next(row for row in batch.to_pylist() if row["stamp"] != stamp.digest)
            require_same(stamp, stamp_of(other), "scholar.embeddings")
        joined = b"".join(batch["vector"].to_pylist())
        if len(joined) != len(batch) * stamp.dimensions * 2:
            raise WatershedError(
                f"scholar.embeddings has a vector that is not of {stamp.dimensions} dimensions",
                "materialise scholar.embeddings again",
            )
        yield batch["passage"].to_pylist(), np.frombuffer(joined, dtype="<f2").reshape(len(batch), -1)
