"""Reads documents from WARC files, JSONL (plain, gzip, zstd) and Parquet files, in batches of one schema."""

from __future__ import annotations

import codecs
import io
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from spark_jobs.archives.codings import SUFFIXES, gunzip, inflater
from spark_jobs.compute import pc
from spark_jobs.input_files import JSONL, input_files

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("url", pa.string()),
        ("metadata", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
    ]
)
"""`state` is ok, or says why the text is missing; `metadata` is JSON."""
BATCH_BYTES = 16_000_000
"""Bytes of text in a batch; its last document may exceed them."""
BATCH_ROWS = 4_096
MAX_TEXT_BYTES = 100_000_000
"""A larger text is counted but not used."""
KINDS = {
    **dict.fromkeys(SUFFIXES, "warc"),
    **JSONL,
    ".parquet": "parquet",
}
_URL_KEYS = ("WARC-Target-URI", "url")
_EXACT = 2**53
"""Integers up to here are exact in a JSON number; a larger one may have been read as another."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file of documents."""

    path: Path
    kind: str
    """warc, jsonl or parquet."""
    bytes: int


def find_sources(inputs: Iterable[str]) -> list[Source]:
    """The files that paths, folders and patterns name, each once, in the given order.

    Raises:
        WatershedError: an input matches nothing, or a file of an unknown kind.
    """
    return [Source(path=path, kind=kind, bytes=size) for path, kind, size in input_files(inputs, KINDS)]


def read_batches(source: Source, reached: Callable[[int], None] = lambda place: None) -> Iterator[pa.RecordBatch]:
    """The documents of a file, in its order, as batches of SCHEMA.

    Args:
        reached: called with the bytes of the file that are read so far.

    Raises:
        WatershedError: the file is damaged, or lacks a column; the cause names the place.
    """
    readers = {"warc": _warc, "jsonl": _jsonl, "parquet": _parquet}
    yield from readers[source.kind](source, reached)


def _warc(source: Source, reached: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    from catalog.tables.dclm import DOCUMENTS
    from spark_jobs.archives.documents import documents_batches

    archive = {
        "warc": source.path.name,
        "uri": str(source.path),
        "bytes": source.bytes,
        "global_shard": 0,
        "local_shard": 0,
        "state": "ready",
    }
    for batch in documents_batches([archive], DOCUMENTS.schema):
        rows = batch.num_rows
        columns = {
            "id": batch.column("doc_id"),
            "metadata": pa.nulls(rows, pa.string()),
            **{name: batch.column(name) for name in ("text", "url", "state", "reason", "language", "language_score")},
        }
        reached(int(batch.column("record_offset")[rows - 1].as_py() or 0) % (1 << 40))
        names = [*SCHEMA.names, "language", "language_score"]
        yield pa.RecordBatch.from_arrays([columns[name] for name in names], names=names)


def _jsonl(source: Source, reached: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    held = 0
    with source.path.open("rb") as file:
        for number, line in enumerate(_lines(file, source.path), start=1):
            if not line.strip():
                continue
            row = _row(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, f"{source.path}:{number}")
            rows.append(row)
            held += len(line)
            if held >= BATCH_BYTES or len(rows) >= BATCH_ROWS:
                yield _batch(rows)
                rows, held = [], 0
                reached(file.tell())
    if rows:
        yield _batch(rows)


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    stream: Any = file
    if path.suffix == ".gz":
        stream = io.BufferedReader(gunzip(file), 1 << 20)
    elif path.suffix == ".zst":
        stream = io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"), 1 << 20)
    try:
        yield from stream
    except (EOFError, OSError, inflater.error) as error:
        raise WatershedError(
            f"{path}: damaged or cut short ({error})", "fetch the file again, or leave it out"
        ) from error


def _row(line: bytes, place: str) -> dict[str, Any]:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise WatershedError(f"{place}: not valid JSON in UTF-8 ({error})", "correct or remove the line") from error
    if not isinstance(parsed, dict):
        raise WatershedError(
            f"{place}: expected a JSON object, not {type(parsed).__name__}", "write one object in each line"
        )
    for column in ("id", "text"):
        if column not in parsed:
            raise WatershedError(f"{place}: no column {column!r}", "give every document an `id` and a `text`")
    text, metadata = parsed["text"], parsed.get("metadata")
    if text is not None and not isinstance(text, str):
        raise WatershedError(f"{place}: `text` is {type(text).__name__}, not a text", "write it as a JSON string")
    name = parsed["id"]
    if isinstance(name, (dict, list)) or name is None:
        raise WatershedError(f"{place}: `id` is {reprlib.repr(name)}", "write a text or a number")
    if isinstance(name, float) and abs(name) >= _EXACT:
        raise WatershedError(f"{place}: `id` is a number of more than 64 bits", "write it as a text, in quotes")
    url = parsed.get("url")
    if url is None and isinstance(metadata, dict):
        url = next((metadata[key] for key in _URL_KEYS if isinstance(metadata.get(key), str)), None)
    return {
        "id": str(parsed["id"]),
        "text": text,
        "url": url if isinstance(url, str) else None,
        "metadata": orjson.dumps(metadata).decode() if metadata is not None else None,
    }


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return _stated({name: pa.array([row[name] for row in rows], pa.string()) for name in SCHEMA.names[:4]})


def _stated(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Add the state of each document, and a reason for a text that is too large."""
    text = columns["text"]
    size = pc.fill_null(pc.cast(pc.binary_length(text), pa.int64()), 0)
    empty, giant = pc.equal(size, 0), pc.greater(size, MAX_TEXT_BYTES)
    state = pc.if_else(empty, "empty_text", pc.if_else(giant, "too_large", "ok"))
    reason = pc.if_else(giant, f"a text of more than {MAX_TEXT_BYTES:,} bytes", pa.scalar(None, pa.string()))
    text = pc.if_else(giant, pa.scalar(None, pa.string()), text)
    return pa.RecordBatch.from_arrays(
        [columns["id"], text, columns["url"], columns["metadata"], state, reason], schema=SCHEMA
    )


def _parquet(source: Source, reached: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    try:
        file = pq.ParquetFile(source.path)
    except (pa.ArrowInvalid, OSError) as error:
        message = str(error).splitlines()[0]
        raise WatershedError(
            f"{source.path}: not a Parquet file ({message})", "write it again, or leave it out"
        ) from error
    with file:
        names = file.schema_arrow.names
        for column in ("id", "text"):
            if column not in names:
                raise WatershedError(
                    f"{source.path}: no column {column!r} among {', '.join(names)}", "rename the columns to id and text"
                )
        wanted = [name for name in ("id", "text", "url", "metadata") if name in names]
        rows = 0
        try:
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                rows += batch.num_rows
                yield from _cut(_stated(_parquet_columns(batch, source.path)))
                reached(source.bytes * rows // max(file.metadata.num_rows, 1))
        except (pa.ArrowInvalid, OSError) as error:
            message = str(error).splitlines()[0]
            raise WatershedError(f"{source.path}: damaged ({message})", "write it again, or leave it out") from error


def _parquet_columns(batch: pa.RecordBatch, path: Path) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for name in ("id", "text", "url", "metadata"):
        if name not in batch.schema.names:
            columns[name] = pa.nulls(batch.num_rows, pa.string())
            continue
        column = batch.column(name)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        texts = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if name == "metadata" and not texts:
            dumped = [
                orjson.dumps(each, default=str).decode() if each is not None else None for each in column.to_pylist()
            ]
            columns[name] = pa.array(dumped, pa.string())
            continue
        numbers = pa.types.is_primitive(kind) or pa.types.is_decimal(kind)
        if not (texts or pa.types.is_null(kind) or (name == "id" and numbers)):
            raise WatershedError(f"{path}: column {name!r} is {column.type}, not a text", "cast it to a string")
        columns[name] = column.cast(pa.string())
        # Arrow reads bytes that are not UTF-8 into a column of strings.
        columns[name].validate(full=True)
    if columns["id"].null_count:
        raise WatershedError(f"{path}: {columns['id'].null_count:,} documents have no id", "give every document an id")
    return columns


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices of a batch with about BATCH_BYTES of text each."""
    import numpy as np

    sizes = pc.fill_null(pc.binary_length(batch.column("text")), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(sizes, dtype=np.int64)
    start = 0
    while start < batch.num_rows:
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + BATCH_BYTES)), start + 1)
        yield batch.slice(start, stop - start)
        start = stop
