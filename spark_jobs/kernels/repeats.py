"""A fast test for documents that may contain the same line or paragraph twice.

Pieces (lines or paragraphs) that are equal when stripped and in lower case always have the same hash. A few others may
have the same hash too, so the caller must compare the pieces of the documents found.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.character_kinds import SPACE, kinds
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.cuts import before
from spark_jobs.kernels.hashing import hash_pair
from spark_jobs.kernels.text_buffers import TextBuffers
from spark_jobs.kernels.unicode_tables import lower_case
from spark_jobs.kernels.words import decode

_NEWLINE = np.uint8(0x0A)
# I with a dot is the only letter whose lower case is two characters: an i and this combining mark.
_DOT_ABOVE, _DOTTED_I = 0x0307, 0x0130
# The lower case of a capital sigma depends on the characters around it, so both small sigmas count as equal.
_FINAL_SIGMA, _SIGMA = 0x03C2, 0x03C3


def may_repeat(buffers: TextBuffers, paragraphs: bool) -> np.ndarray:
    """The indices, in ascending order, of the documents with two pieces that may be equal."""
    room = int(buffers.offsets[-1] - buffers.offsets[0]) // 2 + 2 * len(buffers) + 2
    hashes, owners = np.empty(room, np.uint64), np.empty(room, np.int64)
    count = 0
    for data, offsets, first, last in buffers.parts():
        count = _hash_pieces(
            data, offsets, first, last, buffers.valid, kinds(), lower_case(), paragraphs, hashes, owners, count
        )
    order = np.argsort(hashes[:count], kind="stable")
    equal = hashes[:count][order][1:] == hashes[:count][order][:-1]
    return np.unique(owners[:count][order][1:][equal])


@entry
def _hash_pieces(data, offsets, first, last, valid, kinds, lower, paragraphs, hashes, owners, count):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document]:
            continue
        position = start
        while position <= end:
            stop = find_byte(data, position, end, _NEWLINE)
            while paragraphs and stop < end and not (stop + 1 < end and data[stop + 1] == _NEWLINE):
                stop = find_byte(data, stop + 1, end, _NEWLINE)
            left, right = _strip(data, position, stop, kinds)
            if left < right:
                hashes[count] = hash_pair(_hash_lower(data, left, right, lower), np.uint64(document))
                owners[count] = document
                count += 1
            position = stop + 1 + paragraphs
    return count


@inner
def _strip(data, start, stop, kinds):
    while start < stop:
        code_point, size = decode(data, start, stop)
        if not kinds[code_point] & SPACE:
            break
        start += size
    while stop > start:
        last = before(data, start, stop)
        code_point, _ = decode(data, last, stop)
        if not kinds[code_point] & SPACE:
            break
        stop = last
    return start, stop


@inner
def _hash_lower(data, start, stop, lower):
    """The FNV-1a hash of the code points of a piece in lower case."""
    state = np.uint64(0xCBF29CE484222325)
    while start < stop:
        code_point, size = decode(data, start, stop)
        start += size
        if code_point == _DOT_ABOVE:
            continue
        small = np.int64(lower[code_point])
        if code_point == _DOTTED_I:
            small = np.int64(0x69)
        if small == _FINAL_SIGMA:
            small = np.int64(_SIGMA)
        state = (state ^ np.uint64(small)) * np.uint64(0x100000001B3)
    return state
