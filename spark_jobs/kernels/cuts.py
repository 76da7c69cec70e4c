"""Documents without the spans that an edit cuts out of them, or with other bytes in their place.

A kernel that edits text only finds spans: `edited` runs it over an array and copies what is kept. If no span is found,
the array itself is returned.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import types
from numba.core import cgutils

from spark_jobs.kernels.character_kinds import SPACE, kinds
from spark_jobs.kernels.compiled import entry, inner, instruction
from spark_jobs.kernels.text_buffers import TextBuffers, text_buffers
from spark_jobs.kernels.words import decode

Find = Callable[..., int]
"""(data, offsets, first document, the one after the last, valid, starts, stops, count, *options) -> count.

Writes the spans of these documents after the first `count` entries of `starts` and `stops`, as positions in `data`. The
spans are ascending and do not overlap. Each lies within its document. A document has at most one span for every two
bytes, and two more.
"""


class Spans(NamedTuple):
    """Byte ranges of documents, ascending; positions are those of `TextBuffers.data`."""

    starts: np.ndarray
    """int64."""
    stops: np.ndarray
    """int64."""


def edited(text: pa.Array, find: Find, *options: Any) -> pa.Array:
    """Cut from documents the spans that a kernel finds in them."""
    buffers = text_buffers(text)
    return without(text, buffers, find_spans(buffers, find, *options))


def find_spans(buffers: TextBuffers, find: Find, *options: Any) -> Spans:
    """Run a kernel over all documents."""
    # Pages that are never touched cost no memory, so the arrays are sized for the worst case.
    room = int(buffers.offsets[-1] - buffers.offsets[0]) // 2 + 2 * len(buffers) + 2
    starts, stops = np.empty(room, np.int64), np.empty(room, np.int64)
    count = 0
    for data, offsets, first, last in buffers.parts():
        found = find(data, offsets, first, last, buffers.valid, starts, stops, count, *options)
        shift = buffers.offsets[first] - offsets[first]
        starts[count:found] += shift
        stops[count:found] += shift
        count = found
    return Spans(starts[:count].copy(), stops[:count].copy())


def without(text: pa.Array, buffers: TextBuffers, spans: Spans, fill: bytes = b"") -> pa.Array:
    """Documents with `fill` in the place of each span; `buffers` are those of `text`."""
    if not len(spans.starts):
        return text
    lost = np.zeros(len(spans.starts) + 1, np.int64)
    np.cumsum(spans.stops - spans.starts - len(fill), out=lost[1:])
    begin, end = int(buffers.offsets[0]), int(buffers.offsets[-1])
    before = np.searchsorted(spans.stops, buffers.offsets, side="right")
    offsets = buffers.offsets - begin - lost[before]
    out = np.empty(int(offsets[-1]), np.uint8)
    filling = np.frombuffer(fill, np.uint8)
    _copy_around(buffers.data, begin, end, spans.starts, spans.stops, filling, out)
    bitmap = pa.array(buffers.valid).buffers()[1] if text.null_count else None
    content = [bitmap, pa.py_buffer(offsets), pa.py_buffer(out)]
    return pa.Array.from_buffers(pa.large_string(), len(text), content).cast(text.type)


def stripped_without(text: pa.Array, buffers: TextBuffers, cuts: np.ndarray) -> pa.Array:
    """Documents without these spans, and without white space (`str.strip`) at either end of what is left.

    Args:
        text: documents.
        buffers: of `text`.
        cuts: int64, one row a span: its first byte and the one after its last; ascending, each within its document.
    """
    starts, stops = np.ascontiguousarray(cuts.T)
    options = kinds(), buffers.offsets, starts, stops
    return without(text, buffers, find_spans(buffers, _find_stripped, *options))


@instruction
def _copy(typing: Any, target: Any, to: Any, source: Any, position: Any, size: Any) -> Any:
    """Copy `size` bytes from `source[position:]` to `target[to:]`, which do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into = context.make_array(signature.args[0])(context, builder, arguments[0])
        origin = context.make_array(signature.args[2])(context, builder, arguments[2])
        cgutils.raw_memcpy(
            builder, builder.gep(into.data, [arguments[1]]), builder.gep(origin.data, [arguments[3]]), arguments[4], 1
        )
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(target, types.int64, source, types.int64, types.int64), generate


@entry
def _copy_around(data, begin, end, starts, stops, fill, out):
    position = begin
    to = 0
    for i in range(len(starts)):
        size = starts[i] - position
        _copy(out, to, data, position, size)
        to += size
        for j in range(len(fill)):
            out[to + j] = fill[j]
        to += len(fill)
        position = stops[i]
    _copy(out, to, data, position, end - position)


@entry
def _find_stripped(data, offsets, first, last, valid, starts, stops, count, kinds, origin, cut_starts, cut_stops):
    cut = 0
    for document in range(first, last):
        while cut < len(cut_starts) and cut_starts[cut] < origin[document]:
            cut += 1
        found = count
        shift = offsets[document] - origin[document]
        while cut < len(cut_starts) and cut_starts[cut] < origin[document + 1]:
            starts[count], stops[count] = cut_starts[cut] + shift, cut_stops[cut] + shift
            count += 1
            cut += 1
        if valid[document]:
            count = strip_around(data, offsets[document], offsets[document + 1], kinds, starts, stops, found, count)
    return count


@inner
def before(data, start, end):
    """The first byte of the character that ends at `end`."""
    position = end - 1
    while position > start and (data[position] & 0xC0) == 0x80:
        position -= 1
    return position


@inner
def cut_line(start, stop, end, kept, starts, stops, first, count):
    """Cut the line `data[start:stop]`; the spans from `first` on are those of its document, which ends at `end`.

    The newline before it is cut too, or the newline after it if no line before is `kept`.

    Returns:
        the new number of spans.
    """
    left, right = (start - 1, stop) if kept else (start, min(stop + 1, end))
    if count > first and stops[count - 1] == left:
        stops[count - 1] = right
        return count
    starts[count], stops[count] = left, right
    return count + 1


@inner
def strip_around(data, start, end, kinds, starts, stops, first, count):
    """Cut white space (`str.strip`) from both ends of what the spans from `first` on leave of `data[start:end]`.

    Returns:
        the new number of spans.
    """
    position = start
    passed = first
    while position < end:
        if passed < count and starts[passed] == position:
            position = stops[passed]
            passed += 1
            continue
        code_point, size = decode(data, position, end)
        if not kinds[code_point] & SPACE:
            break
        position += size
    if position > start:
        if passed == first:
            for i in range(count, first, -1):
                starts[i], stops[i] = starts[i - 1], stops[i - 1]
            count += 1
        else:
            for i in range(passed, count):
                starts[i - passed + first + 1], stops[i - passed + first + 1] = starts[i], stops[i]
            count -= passed - first - 1
        starts[first], stops[first] = start, position
        first += 1
    stripped = end
    while stripped > position:
        if count > first and stops[count - 1] == stripped:
            count -= 1
            stripped = starts[count]
            continue
        last = before(data, position, stripped)
        code_point, _ = decode(data, last, stripped)
        if not kinds[code_point] & SPACE:
            break
        stripped = last
    if stripped < end:
        starts[count], stops[count] = stripped, end
        count += 1
    return count
