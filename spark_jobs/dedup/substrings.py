"""Finds substrings that occur elsewhere too, exactly (ExactSubstr: Lee et al., arXiv 2107.06499, section 4.1).

A span is a maximal run of bytes covered by substrings of at least `length` bytes, each of which occurs elsewhere in the
corpus, in another document or in the same. With `keep=first`, the first occurrence of each window of that length
stays, in the order of documents. With `keep=none`, all copies are spans, as in the paper.

`memory` bounds the memory: the hashes of all windows are processed in as many ranges as needed, and each range reads
the texts twice. The marks of covered bytes are stored in a temporary file, one byte for each byte of text.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError

MEMORY = 1 << 29
"""Bytes for the hashes of one range."""
_TABLE = 3
"""Peak memory of a range relative to its sorted hashes, including the table of repeated hashes."""

Texts = Callable[[], Iterable[pa.RecordBatch]]
"""Opens the documents again: batches with `id` and `text`, in the same order each time."""


class Keep(StrEnum):
    """Which copy of a repeated substring stays."""

    FIRST = "first"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class SubstringOptions:
    """What a repeated substring is."""

    length: int = 200
    """Fewest bytes of a substring. Lee et al. use 50 tokens of a BPE, about 200 bytes of English."""
    keep: Keep = Keep.FIRST
    memory: int = MEMORY
    """Bytes for the hashes of windows; with less memory, there are more passes over the texts."""

    def __post_init__(self) -> None:
        if self.length < 8:
            raise WatershedError(f"substrings of {self.length} bytes occur everywhere", "set length to 8 bytes or more")


def repeated_substrings(texts: Texts, options: SubstringOptions | None = None) -> Iterator[pa.RecordBatch]:
    """Find what to remove from each document.

    Args:
        texts: opens the documents; called twice for each range of hashes, and twice more.
        options: what a repeated substring is.

    Returns:
        a batch for each batch, with id, spans (start, stop; UTF-8 bytes, whole characters) and covered_bytes (their
        sum).
    """
    options = options or SubstringOptions()
    windows, size = 0, 0
    for batch in texts():
        sizes = _sizes(batch)
        windows += int(np.maximum(sizes - options.length + 1, 0).sum())
        size += int(sizes.sum())
    parts = max(1, math.ceil(windows * 8 * _TABLE / options.memory))
    with tempfile.TemporaryFile() as file:
        file.truncate(max(size, 1))
        covered = np.memmap(file, np.uint8, "r+")
        for part in range(parts):
            _mark_part(texts, options, part, parts, covered)
        yield from _spans(texts, covered)


def remove_spans(text: pa.Array, spans: pa.ListArray) -> pa.Array:
    """Texts without their spans (start, stop; UTF-8 bytes, in order and apart)."""
    left: list[str | None] = []
    for whole, cut in zip(text.to_pylist(), spans.to_pylist(), strict=True):
        if not cut or whole is None:
            left.append(whole)
            continue
        data = whole.encode()
        stops = [0, *(span["stop"] for span in cut)]
        starts = [*(span["start"] for span in cut), len(data)]
        left.append(b"".join(data[start:stop] for start, stop in zip(stops, starts, strict=True)).decode())
    return pa.array(left, text.type)


def remove_repeated(
    batches: Iterable[pa.RecordBatch], options: SubstringOptions | None = None
) -> Iterator[pa.RecordBatch]:
    """Remove repeated substrings from documents that can be iterated only once; a temporary file stores them.

    Args:
        batches: id, text, kept, and others, which stay as they are.
        options: what a repeated substring is.

    Returns:
        a batch for each batch, with the rest of `text`, `kept` false if nothing is left, and repeated_bytes.
    """
    import pyarrow.compute as pc

    arriving = iter(batches)
    first = next(arriving, None)
    if first is None:
        return
    with tempfile.TemporaryDirectory(prefix="watershed-substrings-") as folder:
        path = f"{folder}/documents.arrow"
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
            for batch in chain([first], arriving):
                writer.write_batch(batch)
        with pa.memory_map(path) as file:
            stored = pa.ipc.open_file(file)

            def documents() -> Iterator[pa.RecordBatch]:
                return (stored.get_batch(number) for number in range(stored.num_record_batches))

            for batch, found in zip(documents(), repeated_substrings(documents, options), strict=True):
                text = remove_spans(batch["text"], found["spans"])
                trimmed = pc.call_function("utf8_trim_whitespace", [text])
                some = pc.call_function("not_equal", [trimmed, pa.scalar("", text.type)]).fill_null(False)
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                columns |= {"text": text, "kept": pc.call_function("and", [batch["kept"], some])}
                yield pa.record_batch({**columns, "repeated_bytes": found["covered_bytes"]})


def _sizes(batch: pa.RecordBatch) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.call_function("binary_length", [batch["text"]]).fill_null(0).to_numpy().astype(np.int64)


def _mark_part(texts: Texts, options: SubstringOptions, part: int, parts: int, covered: np.ndarray) -> None:
    from spark_jobs.kernels.substrings import RepeatedWindows, repeated, window_hashes

    hashes = [window_hashes(batch["text"], options.length, part, parts) for batch in texts()]
    table = RepeatedWindows(repeated(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64))
    del hashes
    place = 0
    for batch in texts():
        size = int(_sizes(batch).sum())
        marked = np.zeros(size, np.uint8)
        table.mark(batch["text"], options.length, part, parts, marked, first=options.keep is Keep.FIRST)
        covered[place : place + size] |= marked
        place += size


def _spans(texts: Texts, covered: np.ndarray) -> Iterator[pa.RecordBatch]:
    from spark_jobs.kernels.substrings import spans

    place = 0
    for batch in texts():
        size = int(_sizes(batch).sum())
        found = spans(batch["text"], np.asarray(covered[place : place + size]).copy())
        place += size
        lengths = found.values.field("stop").to_numpy() - found.values.field("start").to_numpy()
        sums = np.concatenate([[0], np.cumsum(lengths)])[found.offsets.to_numpy()]
        yield pa.record_batch({"id": batch["id"], "spans": found, "covered_bytes": pa.array(np.diff(sums))})
