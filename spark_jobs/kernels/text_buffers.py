"""The bytes and offsets of an Arrow string array as NumPy arrays, without copying the text.

Kernels read whole blocks, so `BLOCK` more bytes must be readable after each document. Arrow does not guarantee any
after its last value, so `TextBuffers.parts` makes a padded copy of the last documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

BLOCK = 64
"""Number of bytes that kernels read at once."""

TextArray = pa.Array | pa.ChunkedArray
"""An Arrow array of type string, large_string or string_view."""


@dataclass(frozen=True, kw_only=True)
class TextBuffers:
    """Documents as bytes: document i is `data[offsets[i] : offsets[i + 1]]` in UTF-8, or null if `valid[i]` is false.

    All three arrays are read-only, so that every kernel is compiled for one signature. `data` may begin before the
    first document and end after the last, because the Arrow array may be a slice of a larger one.
    """

    data: np.ndarray
    """uint8."""
    offsets: np.ndarray
    """int64, one value more than there are documents."""
    valid: np.ndarray
    """bool, one value per document."""

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def longest(self) -> int:
        """Size in bytes of the longest document."""
        return int(np.diff(self.offsets).max(initial=0))

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
        """Yield ranges of documents such that BLOCK bytes can be read after each document.

        Nearly all documents are in one part, without a copy. Those at the very end of the data are in a second one.

        Yields:
            data, offsets, the first document, and the document after the last.
        """
        documents = len(self)
        safe = int(np.searchsorted(self.offsets, len(self.data) - BLOCK, side="right")) - 1
        safe = min(max(safe, 0), documents)
        if safe:
            yield self.data, self.offsets, 0, safe
        if safe < documents:
            base = int(self.offsets[safe])
            tail = self.data[base : int(self.offsets[-1])]
            padded = np.concatenate([tail, np.zeros(BLOCK, np.uint8)])
            yield _frozen(padded), _frozen(self.offsets - base), safe, documents


def text_buffers(text: TextArray) -> TextBuffers:
    """The buffers of an Arrow string array, without a copy of the text; int32 offsets are converted to int64.

    The text is copied only for a chunked array with several chunks and for an array of string_view.

    Raises:
        TypeError: the array does not contain strings.
        ValueError: a document has 2 GiB or more.
    """
    array = _one_array(text)
    _, offset_buffer, data_buffer = array.buffers()
    data = _frozen(np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8))
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    if len(array):
        offsets = np.frombuffer(offset_buffer, width)[array.offset : array.offset + len(array) + 1]
    else:
        offsets = np.zeros(1, width)
    offsets = _frozen(np.require(offsets, np.int64, "CA"))
    valid = validity(array)
    buffers = TextBuffers(data=data, offsets=offsets, valid=_frozen(valid))
    if buffers.longest >= 1 << 31:
        raise ValueError(f"a document of {buffers.longest} bytes: kernels count positions in 31 bits")
    return buffers


def validity(array: pa.Array) -> np.ndarray:
    """Whether each value is not null. (Arrow's own conversion of booleans imports pandas, which takes a second.)"""
    bitmap = array.buffers()[0]
    if bitmap is None:
        return np.ones(len(array), np.bool_)
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(np.bool_)


def _one_array(text: TextArray) -> pa.Array:
    if isinstance(text, pa.ChunkedArray):
        # Several chunks together may exceed the two gigabytes that int32 offsets can address.
        text = text.chunk(0) if text.num_chunks == 1 else text.cast(pa.large_string()).combine_chunks()
    if pa.types.is_string_view(text.type):
        text = text.cast(pa.large_string())
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise TypeError(f"expected an Arrow array of strings, found one of {text.type}")
    return text


def _frozen(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
