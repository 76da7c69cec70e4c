"""Documents of plain files for shards: texts of JSONL and Parquet, or tokens of .npy and .bin files, in batches.

A token file is one sequence of ids in which the end-of-document token separates documents: a NumPy array, a raw array
without a header (as nanoGPT and OLMo write, the latter also under .npy), or the .bin of llm.c.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.errors import WatershedError
from spark_jobs.input_files import JSONL, input_files
from spark_jobs.shards.vocabulary import Vocabulary

KINDS = {
    **JSONL,
    ".parquet": "parquet",
    ".npy": "tokens",
    ".bin": "tokens",
}
BATCH_BYTES = 32_000_000
"""Bytes of text, or twice the tokens, in a batch; its last document may exceed them."""
BATCH_ROWS = 65_536
MAX_TEXT_BYTES = 100_000_000
"""A longer text or line is an error: more often a wrong file than a document."""
LLM_C_MAGIC, LLM_C_HEADER = 20240520, 1024


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """An input file."""

    path: Path
    kind: str
    """jsonl, parquet or tokens."""
    bytes: int

    @property
    def label(self) -> str:
        """The source of documents that name none: the file's name up to its first dot."""
        return self.path.name.partition(".")[0]


@dataclass(frozen=True)
class Batch:
    """Documents of one file, from its document number `first` on; either texts or tokens."""

    first: int
    names: list[str]
    sources: list[str]
    texts: pa.Array | None = None
    tokens: list[NDArray[np.uint32]] | None = None


def find_files(inputs: Iterable[str]) -> list[TextFile]:
    """The files that paths, folders and patterns name, each once, in the given order.

    Raises:
        WatershedError: an input matches nothing, or a file of an unknown kind.
    """
    return [TextFile(path=path, kind=kind, bytes=size) for path, kind, size in input_files(inputs, KINDS)]


def read_documents(
    file: TextFile, vocabulary: Vocabulary, column: str, token_type: str | None, reached: Callable[[int], None]
) -> Iterator[Batch]:
    """The documents of a file in its order; those without text or tokens are left out, but counted in the numbering.

    Args:
        column: of the text, in JSONL and Parquet.
        token_type: of raw token files; None: what the vocabulary needs.
        reached: called with the bytes of the file that are read so far.

    Raises:
        WatershedError: the file is damaged or lacks the column; the cause names the place.
    """
    if file.kind == "tokens":
        yield from _token_batches(file, vocabulary, token_type, reached)
        return
    rows = _jsonl(file, column, reached) if file.kind == "jsonl" else _parquet(file, column, reached)
    first, names, sources, texts, held = 0, [], [], [], 0
    for number, (name, source, text) in enumerate(rows):
        names.append(name or f"{file.path.name}:{number + 1}")
        sources.append(source or file.label)
        texts.append(text)
        held += len(text)
        if held >= BATCH_BYTES or len(texts) >= BATCH_ROWS:
            yield Batch(first, names, sources, pa.array(texts, pa.large_string()))
            first, names, sources, texts, held = number + 1, [], [], [], 0
    if texts:
        yield Batch(first, names, sources, pa.array(texts, pa.large_string()))


Row = tuple[str, str, str]
"""Name and source, empty where the document has none, and text."""


def _jsonl(file: TextFile, column: str, reached: Callable[[int], None]) -> Iterator[Row]:
    mend = "write one JSON object a line, its text as a string"
    with file.path.open("rb") as raw:
        for number, line in enumerate(_lines(raw, file.path), start=1):
            place = f"{file.path}:{number}"
            if number % 1000 == 0:
                reached(raw.tell())
            if not line.strip():
                continue
            try:
                row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            except orjson.JSONDecodeError as error:
                raise WatershedError(
                    f"{place}: not valid JSON in UTF-8 ({error})", "correct or remove the line"
                ) from None
            if not isinstance(row, dict) or column not in row:
                raise WatershedError(f"{place}: no object with a column {column!r}", f"{mend}, or give --text-column")
            text = row[column]
            if text is not None and not isinstance(text, str):
                raise WatershedError(f"{place}: {column!r} is {type(text).__name__}, not a text", mend)
            yield _named(row.get("id")), _named(row.get("source")), text or ""


def _named(value: Any) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _lines(raw: BinaryIO, path: Path) -> Iterator[bytes]:
    stream: Any = raw
    if path.suffix == ".gz":
        stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20)
    elif path.suffix == ".zst":
        stream = io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"), 1 << 20)
    try:
        while line := stream.readline(MAX_TEXT_BYTES + 1):
            if len(line) > MAX_TEXT_BYTES:
                raise WatershedError(f"{path}: a line of more than {MAX_TEXT_BYTES:,} bytes", "write a document a line")
            yield line
    except (EOFError, OSError, zlib.error) as error:
        raise WatershedError(
            f"{path}: damaged or cut short ({error})", "fetch the file again, or leave it out"
        ) from None


def _parquet(file: TextFile, column: str, reached: Callable[[int], None]) -> Iterator[Row]:
    try:
        with pq.ParquetFile(file.path) as opened:
            names = opened.schema_arrow.names
            if column not in names:
                raise WatershedError(
                    f"{file.path}: no column {column!r} among {', '.join(names)}", "give --text-column"
                )
            done = 0
            for batch in opened.iter_batches(
                4096, columns=[name for name in (column, "id", "source") if name in names]
            ):
                texts = batch.column(column).cast(pa.large_string())
                # Arrow reads bytes that are not UTF-8 into a column of strings.
                texts.validate(full=True)
                ids, sources = (
                    batch.column(name).to_pylist() if name in batch.schema.names else [None] * len(texts)
                    for name in ("id", "source")
                )
                done += len(texts)
                reached(file.bytes * done // max(1, opened.metadata.num_rows))
                for name, source, text in zip(ids, sources, texts.to_pylist(), strict=True):
                    if text is not None and len(text) > MAX_TEXT_BYTES:
                        raise WatershedError(f"{file.path}: a text of {len(text):,} characters", "leave it out")
                    yield _named(name), _named(source), text or ""
    except (pa.ArrowException, OSError) as error:
        message = " ".join(str(error).split())
        raise WatershedError(
            f"{file.path}: not a Parquet file of texts ({message})", "write it again, or leave it out"
        ) from None


def _token_batches(
    file: TextFile, vocabulary: Vocabulary, token_type: str | None, reached: Callable[[int], None]
) -> Iterator[Batch]:
    stream = _token_stream(file, np.dtype(token_type) if token_type else vocabulary.dtype)
    window = BATCH_BYTES // 2
    start, first = 0, 0
    while start < len(stream):
        part = np.asarray(stream[start : start + window])
        _check_ids(file, part, start, vocabulary)
        ends = np.flatnonzero(part == vocabulary.eot)
        last = start + len(part) == len(stream)
        if not len(ends) and not last:
            raise WatershedError(
                f"{file.path}: no end of a document (token {vocabulary.eot}) in {window:,} tokens from {start:,} on",
                "give the token that separates its documents with --eot",
            )
        bounds = [*ends.tolist(), *([len(part)] if last else [])]
        pieces, begin = [], 0
        for stop in bounds:
            pieces.append(part[begin:stop].astype(np.uint32))
            begin = stop + 1
        names = [f"{file.path.name}:{first + number + 1}" for number in range(len(pieces))]
        yield Batch(first, names, [file.label] * len(pieces), tokens=pieces)
        start, first = start + min(begin, len(part)), first + len(pieces)
        reached(min(file.bytes, start * stream.itemsize))


def _token_stream(file: TextFile, raw: np.dtype[Any]) -> NDArray[Any]:
    """The ids of a file, mapped."""
    with file.path.open("rb") as opened:
        begin = opened.read(8)
    if begin.startswith(b"\x93NUMPY"):
        try:
            stream = np.load(file.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise WatershedError(
                f"{file.path}: not a NumPy array ({error})", "write it again, or leave it out"
            ) from None
        if stream.ndim != 1 or stream.dtype.kind not in "iu":
            raise WatershedError(
                f"{file.path}: {stream.dtype} of shape {stream.shape}, not a row of ids", "write it flat"
            )
        return stream
    header = LLM_C_HEADER if int.from_bytes(begin[:4], "little") == LLM_C_MAGIC else 0
    if (file.bytes - header) % raw.itemsize or file.bytes <= header:
        raise WatershedError(
            f"{file.path}: {file.bytes - header:,} bytes are not a whole number of {raw.name}", "give --token-type"
        )
    return np.memmap(file.path, dtype=raw.newbyteorder("<"), mode="r", offset=header)


def _check_ids(file: TextFile, part: NDArray[Any], start: int, vocabulary: Vocabulary) -> None:
    wrong = np.flatnonzero((part < 0) | (part >= vocabulary.size))
    if len(wrong):
        raise WatershedError(
            f"{file.path}: token {part[wrong[0]]} at {start + int(wrong[0]):,} is none of {vocabulary.size:,}",
            "give the tokenizer that wrote it, or its --token-type",
        )
