"""Drops lines and paragraphs that occurred earlier in the page.

As in mlfoundations/dclm, baselines/mappers/modifiers.py, within_page_dedup. A kernel finds the pages that may contain
repeats; `str` comparison decides which pieces are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from spark_jobs.measures.base import Edit, Option
from spark_jobs.measures.normal import normalize_whitespace_and_lowercase

if TYPE_CHECKING:
    from spark_jobs.kernels.text_buffers import TextBuffers


def drop_repeated_lines(text: pa.Array, *, normalize: bool = True) -> pa.Array:
    """Drop lines that occurred earlier in the text.

    Args:
        text: documents.
        normalize: compare without white space at both ends, and in lower case.
    """
    return _without_repeats(text, b"\n", normalize)


def drop_repeated_paragraphs(text: pa.Array, *, normalize: bool = True) -> pa.Array:
    """Drop paragraphs (separated by two newlines) that occurred earlier in the text."""
    return _without_repeats(text, b"\n\n", normalize)


def _without_repeats(text: pa.Array, separator: bytes, normalize: bool) -> pa.Array:
    from spark_jobs.kernels.cuts import Spans, without
    from spark_jobs.kernels.repeats import may_repeat
    from spark_jobs.kernels.text_buffers import text_buffers

    buffers = text_buffers(text)
    documents = may_repeat(buffers, separator == b"\n\n").tolist()
    cuts = [cut for document in documents for cut in _repeats(buffers, document, separator, normalize)]
    starts, stops = np.array(cuts, np.int64).reshape(-1, 2).T
    return without(text, buffers, Spans(starts.copy(), stops.copy()))


def _repeats(buffers: TextBuffers, document: int, separator: bytes, normalize: bool) -> list[tuple[int, int]]:
    """The repeated pieces of a document, each with the separator before it."""
    start, end = (int(offset) for offset in buffers.offsets[document : document + 2])
    seen: set[str | bytes] = set()
    cuts = []
    position = start
    for piece in buffers.data[start:end].tobytes().split(separator):
        key = normalize_whitespace_and_lowercase(piece.decode(errors="surrogateescape")) if normalize else piece
        if key and key in seen:
            cuts.append((position - len(separator), position + len(piece)))
        seen.add(key)
        position += len(piece) + len(separator)
    return cuts


_NORMALIZE = {
    "normalize": Option(
        kind=bool, description="compare without white space at both ends, and in lower case", default=True
    )
}
EDITS = (
    Edit(
        name="drop_repeated_lines",
        description="drops lines that occurred earlier in the page",
        options=_NORMALIZE,
        apply=drop_repeated_lines,
    ),
    Edit(
        name="drop_repeated_paragraphs",
        description="drops paragraphs that occurred earlier in the page",
        options=_NORMALIZE,
        apply=drop_repeated_paragraphs,
    ),
)
