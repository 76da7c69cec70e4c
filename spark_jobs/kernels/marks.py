"""Removal of surplus newlines and of Wikipedia's citation marks from a text.

The rules are newline_removal_modifier and citation_removal_modifier of mlfoundations/dclm
(baselines/mappers/modifiers.py).
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import equal64, find_byte, first_one, low_bits
from spark_jobs.kernels.character_kinds import DECIMAL, kinds
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.cuts import edited
from spark_jobs.kernels.words import decode

_NEWLINE, _OPEN, _CLOSE = (np.uint8(ord(character)) for character in "\n[]")
_ONE = np.uint64(1)
_EDIT = np.frombuffer(b"edit]", np.uint8)
_NEEDED = np.frombuffer(b"citation needed]", np.uint8)


def with_newlines_in_a_row(text: pa.Array, most: int) -> pa.Array:
    """Shorten each run of more than `most` newlines to `most`."""
    return edited(text, _find_newlines, int(most))


def without_citations(text: pa.Array) -> pa.Array:
    """Remove `[12]` (any number), `[]`, `[edit]` and `[citation needed]`."""
    return edited(text, _find_citations, kinds())


@entry
def _find_newlines(data, offsets, first, last, valid, starts, stops, count, most):
    for document in range(first, last):
        if not valid[document]:
            continue
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            newlines = equal64(data, position, _NEWLINE) & low_bits(end - position)
            if most:
                # Keep newlines that are followed by another. The byte after the block is unknown, so its last is kept.
                newlines &= newlines >> _ONE | _ONE << np.uint64(63)
            following = position + 64
            while newlines:
                run = position + first_one(newlines)
                stop = run
                while stop < end and data[stop] == _NEWLINE:
                    stop += 1
                if stop - run > most:
                    starts[count], stops[count] = run + most, stop
                    count += 1
                if stop >= position + 64:
                    following = stop
                    break
                newlines &= ~low_bits(stop - position)
            position = following
    return count


@entry
def _find_citations(data, offsets, first, last, valid, starts, stops, count, kinds):
    for document in range(first, last):
        if not valid[document]:
            continue
        position, end = offsets[document], offsets[document + 1]
        while position < end:
            position = find_byte(data, position, end, _OPEN)
            if position >= end:
                break
            stop = _behind_number(data, position + 1, end, kinds)
            if not stop:
                stop = _behind(data, position + 1, end, _EDIT)
            if not stop:
                stop = _behind(data, position + 1, end, _NEEDED)
            if stop:
                starts[count], stops[count] = position, stop
                count += 1
            position = stop if stop else position + 1
    return count


@inner
def _behind_number(data, position, end, kinds):
    """The position after any number of digits and a closing bracket; 0 if another character comes first."""
    while position < end:
        if data[position] == _CLOSE:
            return position + 1
        code_point, size = decode(data, position, end)
        if not kinds[code_point] & DECIMAL:
            return 0
        position += size
    return 0


@inner
def _behind(data, position, end, word):
    if position + len(word) > end:
        return 0
    for i in range(len(word)):
        if data[position + i] != word[i]:
            return 0
    return position + len(word)
