"""The layout of plain text: collapsed white space, blocks on their own lines, lists, table cells, preformatted text.

The layout is that of resiliparse 2.0.1 (chatnoir-eu/chatnoir-resiliparse, resiliparse-rs/src/extract/html2text.rs).
resiliparse first collects pieces of text, which begin at a block, after a block or after an element, and then writes
them. Here each piece is written at once, because no piece depends on a later one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spark_jobs.kernels.blocks import between64, first_one, low_bits
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.copying import copy_few
from spark_jobs.kernels.html.filters import BIG, BLOCK, LIST, PREFORMATTED, PROPERTIES
from spark_jobs.kernels.html.links import spaces64
from spark_jobs.kernels.html.nodes import tag
from spark_jobs.kernels.inlined import inlined

WRITTEN, MARGIN, PRE, LISTS, ROWS, BULLET, PREFIX, IS_BLOCK, IS_MUTE, IS_BEGUN, AFTER_SPACE = range(11)
"""Indices of `Page.state`: bytes written; line breaks due before the next byte; depth of the piece in `pre`, lists and
rows; whether the bullet of the list item is due; the prefix of the next text (a bullet, a number, nothing); whether the
piece is a block, is left out, has text; whether its last byte, or the page's, is white space."""
_STATES = 11
DEEPEST = 2048
"""Largest depth of nested lists, rows and elements."""
SPARE = 256
"""Spare bytes of `Page.out` after the text: copies overrun, and a piece begins with a prefix."""
_BULLET = -1

_LI, _OL, _TR, _TD, _TH, _BR = (np.int32(tag(name)) for name in "li ol tr td th br".split())
_BLANK, _NEWLINE, _TAB, _DOT, _0 = (np.uint8(ord(character)) for character in " \n\t.0")
_FIRST_SPACE, _LAST_SPACE = np.uint8(0x09), np.uint8(0x0D)
_ONE = np.uint64(1)


class Page(NamedTuple):
    """The text written so far, and the state of the layout."""

    out: np.ndarray
    """uint8."""
    state: np.ndarray
    """int64."""
    numbers: np.ndarray
    """int32, for each list around the piece: number of the next item, 0 for bullets."""
    has_cell: np.ndarray
    """bool, a value for each row around the piece."""


def page(room: int) -> Page:
    """A page for `room` bytes."""
    out = np.empty(room + SPARE, np.uint8)
    return Page(out, np.zeros(_STATES, np.int64), np.zeros(DEEPEST, np.int32), np.zeros(DEEPEST, np.bool_))


@inlined
def begin_piece(name, is_end, page):
    """Begin the piece of text that an element, or its end, opens; false if nested too deep or out of space."""
    out, state = page.out, page.state
    properties = PROPERTIES[name]
    if properties & PREFORMATTED:
        state[PRE] = max(state[PRE] - 1, 0) if is_end else state[PRE] + 1
    state[IS_BEGUN] = 0
    state[IS_BLOCK] = (properties & BLOCK) != 0
    state[IS_MUTE] = is_end and name in (_TD, _TH)
    if state[IS_MUTE]:
        # The text after a cell is the white space between cells.
        return True
    if name == _TR and not _step_row(is_end, page):
        return False
    if name in (_TD, _TH) and not _begin_cell(page):
        return False
    if (properties & LIST or (name == _LI and state[LISTS] == 0)) and not _step_list(name, is_end, page):
        return False
    if name == _LI:
        number = page.numbers[state[LISTS] - 1]
        state[PREFIX] = number if number else _BULLET
        state[BULLET] = not is_end
        if number and not is_end:
            page.numbers[state[LISTS] - 1] += 1
    if name == _BR:
        state[MARGIN] += 1
    elif state[IS_BLOCK]:
        state[MARGIN] = max(state[MARGIN], 2 if properties & BIG and state[PRE] == 0 else 1)
    state[AFTER_SPACE] = state[IS_BLOCK] or (state[WRITTEN] > 0 and _is_space(out[state[WRITTEN] - 1]))
    return True


@inner
def _step_row(is_end, page):
    """Begin or end a row; return false if it is nested too deep."""
    state = page.state
    if is_end:
        state[ROWS] = max(state[ROWS] - 1, 0)
        return True
    if state[ROWS] == DEEPEST:
        return False
    page.has_cell[state[ROWS]] = False
    state[ROWS] += 1
    return True


@inner
def _begin_cell(page):
    """Write the line breaks that are due, and tabs after another cell; return false if out of space."""
    out, state = page.out, page.state
    if state[WRITTEN] + state[MARGIN] + SPARE > len(out):
        return False
    _break_lines(out, state)
    if state[ROWS] > 0:
        if page.has_cell[state[ROWS] - 1]:
            out[state[WRITTEN]] = out[state[WRITTEN] + 1] = _TAB
            state[WRITTEN] += 2
        page.has_cell[state[ROWS] - 1] = True
    return True


@inner
def _step_list(name, is_end, page):
    """Enter or leave a list; return false if it is nested too deep."""
    state = page.state
    if is_end:
        state[LISTS] = max(state[LISTS] - 1, 0)
        state[BULLET] = 0
        state[PREFIX] = 0
        return True
    if state[LISTS] == DEEPEST:
        return False
    page.numbers[state[LISTS]] = name == _OL
    state[LISTS] += 1
    return True


@inlined
def write(data, start, stop, page):
    """Add `data[start:stop]` to the piece; return false if out of space."""
    state = page.state
    if state[IS_MUTE] or start >= stop:
        return True
    needed = stop - start + state[MARGIN] + 2 * state[LISTS] + SPARE
    if state[WRITTEN] + needed > len(page.out):
        return False
    if state[PRE] == 0:
        _write_collapsed(data, start, stop, page)
        return True
    if not state[IS_BEGUN]:
        _begin_text(page)
    state[WRITTEN] = copy_few(data, start, stop, page.out, state[WRITTEN])
    return True


@inlined
def _write_collapsed(data, start, stop, page):
    out, state = page.out, page.state
    position = start
    while position < stop:
        count = min(stop - position, 64)
        spaces = spaces64(data, position) & low_bits(count)
        if spaces & _ONE and state[AFTER_SPACE]:
            position += first_one(~spaces)
            continue
        if not state[IS_BEGUN]:
            _begin_text(page)
        # Single blanks are copied with the words around them.
        other = between64(data, position, _FIRST_SPACE, _LAST_SPACE) & low_bits(count)
        run = min(first_one(other | spaces & spaces << _ONE), count)
        if run == 0:
            out[state[WRITTEN]] = _BLANK
            state[WRITTEN] += 1
            state[AFTER_SPACE] = 1
            position += 1
            continue
        state[WRITTEN] = copy_few(data, position, position + run, out, state[WRITTEN])
        state[AFTER_SPACE] = spaces >> np.uint64(run - 1) & _ONE
        position += run


@inner
def _begin_text(page):
    """Write the prefix of the first text of a piece: line breaks, indent, bullet or number."""
    out, state = page.out, page.state
    state[IS_BEGUN] = 1
    _break_lines(out, state)
    if state[LISTS]:
        for _ in range(state[LISTS] + (not state[BULLET])):
            out[state[WRITTEN]] = out[state[WRITTEN] + 1] = _BLANK
            state[WRITTEN] += 2
        state[BULLET] = 0
    if state[PREFIX] == _BULLET:
        out[state[WRITTEN]], out[state[WRITTEN] + 1], out[state[WRITTEN] + 2] = 0xE2, 0x80, 0xA2
        out[state[WRITTEN] + 3] = _BLANK
        state[WRITTEN] += 4
    elif state[PREFIX]:
        _write_number(state[PREFIX], out, state)
    state[PREFIX] = 0


@inner
def _write_number(number, out, state):
    digits = 1
    while 10**digits <= number:
        digits += 1
    for place in range(digits):
        out[state[WRITTEN] + digits - 1 - place] = _0 + number // 10**place % 10
    out[state[WRITTEN] + digits] = _DOT
    out[state[WRITTEN] + digits + 1] = _BLANK
    state[WRITTEN] += digits + 2


@inner
def _break_lines(out, state):
    """Replace trailing white space by the line breaks that are due."""
    if state[MARGIN] == 0:
        return
    if state[PRE] == 0:
        strip(out, state)
    if state[WRITTEN]:
        for _ in range(state[MARGIN]):
            out[state[WRITTEN]] = _NEWLINE
            state[WRITTEN] += 1
    state[MARGIN] = 0


@inner
def strip(out, state):
    """Remove white space from the end."""
    while state[WRITTEN] and _is_space(out[state[WRITTEN] - 1]):
        state[WRITTEN] -= 1


@inner
def _is_space(byte):
    return byte == 0x20 or 0x09 <= byte <= 0x0D
