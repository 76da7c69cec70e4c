"""Spans of bytes that occur more than once, found by the hashes of all windows of a fixed length.

Every window of a repeated substring of at least `length` bytes is repeated too, and a repeated window is itself such a
substring. Repeated windows therefore cover the same bytes as repeated substrings: the spans that a suffix array would
find (Lee et al. 2021, arXiv 2107.06499, section 4.1), here without a suffix array.

A window's hash is a rolling one: a polynomial modulo 2^64 whose coefficients are random numbers, one for each value of
a byte. Accidental collisions are improbable, but strings can be constructed that collide (Thue-Morse strings).
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.hashing import KEY_0, KEY_2, fold
from spark_jobs.kernels.text_buffers import TextArray, text_buffers

_BASE = np.uint64(0xD1342543DE82EF93)
"""Base of the polynomial: 3 modulo 8, so that its powers also differ in their low bits."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_ONE, _HALF = np.uint64(1), np.uint64(32)


def window_hashes(text: TextArray, length: int, part: int, parts: int) -> npt.NDArray[np.uint64]:
    """The hashes of all windows of `length` bytes that lie in range number `part` of `parts` equal ranges of hashes."""
    buffers = text_buffers(text)
    windows = int(np.maximum(np.diff(buffers.offsets) - length + 1, 0).sum())
    hashes = np.empty(windows + 1, np.uint64)
    count = 0
    for data, offsets, first, last in buffers.parts():
        count = _window_hashes(
            data, offsets, first, last, buffers.valid, _numbers(), length, _power(length), part, parts, hashes, count
        )
    return hashes[:count]


def repeated(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The distinct hashes that occur more than once, in ascending order; sorts `hashes` in place."""
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    return again[np.concatenate([[True], again[1:] != again[:-1]])] if len(again) else again


class RepeatedWindows:
    """A table of the hashes of repeated windows, which records the ones that have been seen."""

    def __init__(self, hashes: npt.NDArray[np.uint64]) -> None:
        size = 1 << max(6, (2 * len(hashes)).bit_length())
        self._keys, self._marks = np.zeros(size, np.uint64), np.zeros(size, np.uint8)
        _fill(np.ascontiguousarray(hashes, np.uint64), self._keys, self._marks)

    def mark(
        self, text: TextArray, length: int, part: int, parts: int, covered: npt.NDArray[np.uint8], *, first: bool
    ) -> None:
        """Mark every byte that a repeated window covers.

        Args:
            text: documents; calls with several arrays must always use the same order.
            length: number of bytes in a window.
            part: number of the range of hashes that the table holds.
            parts: number of equal ranges into which the hashes are divided.
            covered: uint8, one value for each byte of `text`, set to 1 where a window covers it.
            first: do not mark the first occurrence of each window.
        """
        buffers = text_buffers(text)
        base = int(buffers.offsets[0])
        for data, offsets, low, high in buffers.parts():
            # The last documents may be in a padded copy, with other offsets.
            shift = int(buffers.offsets[low]) - base - int(offsets[low])
            _mark(
                data, offsets, low, high, buffers.valid, _numbers(), length, _power(length), part, parts, self._keys,
                self._marks, first, shift, covered,
            )  # fmt: skip


def spans(text: TextArray, covered: npt.NDArray[np.uint8]) -> pa.ListArray:
    """The runs of marked bytes in each document, as (start, stop), without partial UTF-8 characters at their ends."""
    buffers = text_buffers(text)
    base = int(buffers.offsets[0])
    # A run begins at a marked byte after one that is not marked, or at the first byte of a document.
    found = np.zeros((int(np.count_nonzero(np.diff(covered) == 1)) + len(buffers), 2), np.int32)
    ends = np.zeros(len(buffers) + 1, np.int32)
    for data, offsets, low, high in buffers.parts():
        shift = int(buffers.offsets[low]) - base - int(offsets[low])
        _spans(data, offsets, low, high, shift, covered, found, ends)
    sides = [pa.array(found[: ends[-1], side]) for side in (0, 1)]
    fields = [pa.field("start", pa.int32()), pa.field("stop", pa.int32())]
    return pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(sides, fields=fields))


@functools.cache
def _numbers() -> npt.NDArray[np.uint64]:
    """A random number for each value of a byte: the outputs of splitmix64 for the seed 0, which no library changes."""
    values = np.arange(1, 257, dtype=np.uint64) * _STEP
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    values.flags.writeable = False
    return values


def _power(length: int) -> np.uint64:
    return np.uint64(pow(int(_BASE), length, 1 << 64))


@inner
def _is_in(mixed, part, parts):
    return np.int64((mixed >> _HALF) * np.uint64(parts) >> _HALF) == part


@inner
def _place(keys, marks, mixed):
    """The slot of a hash in the table, or the empty slot where it belongs."""
    mask = np.uint64(len(keys) - 1)
    place = mixed & mask
    while marks[place] and keys[place] != mixed:
        place = (place + _ONE) & mask
    return place


@entry
def _window_hashes(data, offsets, first, last, valid, numbers, length, power, part, parts, hashes, count):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document] or end - start < length:
            continue
        total = np.uint64(0)
        for position in range(start, start + length):
            total = total * _BASE + numbers[data[position]]
        for position in range(start + length, end + 1):
            mixed = fold(total ^ KEY_0, KEY_2)
            hashes[count] = mixed
            count += _is_in(mixed, part, parts)
            if position < end:
                total = total * _BASE + numbers[data[position]] - numbers[data[position - length]] * power
    return count


@entry
def _fill(hashes, keys, marks):
    for i in range(len(hashes)):
        place = _place(keys, marks, hashes[i])
        keys[place] = hashes[i]
        marks[place] = 1


@entry
def _mark(
    data, offsets, first, last, valid, numbers, length, power, part, parts, keys, marks, skip_first, shift, covered
):  # fmt: skip
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document] or end - start < length:
            continue
        total = np.uint64(0)
        for position in range(start, start + length):
            total = total * _BASE + numbers[data[position]]
        done = start
        for position in range(start + length, end + 1):
            mixed = fold(total ^ KEY_0, KEY_2)
            if _is_in(mixed, part, parts):
                place = _place(keys, marks, mixed)
                if marks[place] == 1 and skip_first:
                    marks[place] = 2
                elif marks[place]:
                    for byte in range(max(done, position - length), position):
                        covered[byte + shift] = 1
                    done = position
            if position < end:
                total = total * _BASE + numbers[data[position]] - numbers[data[position - length]] * power


@entry
def _spans(data, offsets, first, last, shift, covered, found, ends):
    count = ends[first]
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        position = start
        while position < end:
            if not covered[position + shift]:
                position += 1
                continue
            stop = position
            while stop < end and covered[stop + shift]:
                stop += 1
            low, high = position, stop
            while low < high and (data[low] & 0xC0) == 0x80:
                low += 1
            while high > low and high < end and (data[high] & 0xC0) == 0x80:
                high -= 1
            if low < high:
                found[count, 0], found[count, 1] = low - start, high - start
                count += 1
            position = stop
        ends[document + 1] = count
