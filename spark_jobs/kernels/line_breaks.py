"""The line breaks of `str.splitlines`, and the removal of white space by `str.strip`."""

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import between64, equal64, first_one, low_bits
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.english_tables import SPACE
from spark_jobs.kernels.words import decode

_ONE = np.uint64(1)
_LINE_FEED, _CARRIAGE_RETURN = 0x0A, 0x0D
_NEXT_LINE, _LINE_SEPARATOR, _PARAGRAPH_SEPARATOR = 0x85, 0x2028, 0x2029


@inner
def find_line_break(data, position, end):
    """The position of the first line break at or after `position`, and the position after it; both `end` if none."""
    while position < end:
        breaks = between64(data, position, np.uint8(_LINE_FEED), np.uint8(_CARRIAGE_RETURN))
        breaks |= between64(data, position, np.uint8(0x1C), np.uint8(0x1E))
        breaks |= equal64(data, position, np.uint8(0xC2)) | equal64(data, position, np.uint8(0xE2))
        breaks &= low_bits(end - position)
        while breaks:
            found = position + first_one(breaks)
            byte = data[found]
            if byte == _CARRIAGE_RETURN and found + 1 < end and data[found + 1] == _LINE_FEED:
                return found, found + 2
            if byte < 0x80:
                return found, found + 1
            code_point, size = decode(data, found, end)
            if code_point in (_NEXT_LINE, _LINE_SEPARATOR, _PARAGRAPH_SEPARATOR):
                return found, found + size
            breaks &= breaks - _ONE
        position += 64
    return end, end


@inner
def strip(data, start, end, classes):
    """The start and end of `data[start:end]` without the white space that `str.strip` removes."""
    while start < end:
        code_point, size = decode(data, start, end)
        if not classes[code_point] & SPACE:
            break
        start += size
    while start < end:
        code_point, size = decode_before(data, start, end)
        if not classes[code_point] & SPACE:
            break
        end -= size
    return start, end


@inner
def decode_before(data, start, stop):
    """The last code point of `data[start:stop]`, which must not be empty, and its size in bytes."""
    position = stop - 1
    while position > start and (data[position] & 0xC0) == 0x80:
        position -= 1
    code_point, _ = decode(data, position, stop)
    return code_point, stop - position
