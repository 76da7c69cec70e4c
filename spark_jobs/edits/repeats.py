"""Lines and paragraphs that a page says again are dropped; the first copy stays.

As mlfoundations/dclm, baselines/mappers/modifiers.py, within_page_dedup. A kernel tells the pages that may repeat
themselves; which pieces are equal is for `str` to say.
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
    """Drop lines that a text has said before.

    Args:
        text: documents.
        normalize: compare without white space at both ends, and in lower case.
    """
    return _without_repeats(text, b"\n", normalize)


def drop_repeated_paragraphs(text: pa.Array, *, normalize: bool = True) -> pa.Array:
    """The same for paragraphs, which two newlines part."""
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
    """Where a document repeats itself; each piece goes with the separator before it."""
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
        description="drops lines that a page has said before",
        options=_NORMALIZE,
        apply=drop_repeated_lines,
    ),
    Edit(
        name="drop_repeated_paragraphs",
        description="drops paragraphs that a page has said before",
        options=_NORMALIZE,
        apply=drop_repeated_paragraphs,
    ),
)
