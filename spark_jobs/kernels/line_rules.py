"""Removal of lines that are not part of a page's prose.

Lines are separated by newlines. The rules and the remaining text are those of DCLM (mlfoundations/dclm,
baselines/mappers/modifiers.py). Most of the rules come from RefinedWeb (arXiv 2306.01116, appendix G.2) or C4 (arXiv
1910.10683, section 2.2). No rule removes an empty line.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import between64, equal64, find_byte, first_one, low_bits, ones
from spark_jobs.kernels.character_kinds import DECIMAL, DIGIT, SPACE, UPPER, WORD, kinds
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.cuts import before, cut_line, edited, strip_around
from spark_jobs.kernels.unicode_tables import lower_case
from spark_jobs.kernels.words import decode

_UPPERCASE, _NUMERIC, _COUNTER, _LENGTH, _PUNCTUATION, _BLANK = range(6)
_ONE = np.uint64(1)
_NEWLINE, _SPACE, _TAB = np.uint8(0x0A), np.uint8(0x20), np.uint8(0x09)
_A, _Z, _0, _9 = (np.uint8(ord(character)) for character in "AZ09")
_COUNTED = (
    *("likes", "shares", "comments", "retweets", "reposts", "quotes"),
    *("bookmarks", "upvotes", "downvotes", "downloads", "views", "followers"),
)
# One row per word, padded with zeros.
_WORDS = np.zeros((len(_COUNTED), 12), np.int32)
for _row, _word in enumerate(_COUNTED):
    _WORDS[_row, : len(_word)] = [ord(_letter) for _letter in _word]
_EXCLAMATION, _QUOTE, _PERIOD, _QUESTION, _ELLIPSIS = (ord(character) for character in '!".?…')
_COMMA, _K, _M, _B = (ord(character) for character in ",kmb")


def without_uppercase_lines(text: pa.Array, most: float) -> pa.Array:
    """Remove lines with a share of upper-case characters (`str.isupper`) greater than `most`, and strip the text."""
    return _without_lines(text, _UPPERCASE, 0.0, most, strip=True)


def without_numeric_lines(text: pa.Array, most: float) -> pa.Array:
    """Remove lines with a share of digits (`str.isdigit`) greater than `most`, and strip the text."""
    return _without_lines(text, _NUMERIC, 0.0, most, strip=True)


def without_counter_lines(text: pa.Array) -> pa.Array:
    """Remove lines that only count likes, shares or similar, such as `3.1K likes!`, and strip the text."""
    return _without_lines(text, _COUNTER, 0.0, 0.0, strip=True)


def without_lines_of_length(text: pa.Array, least: int, most: float = math.inf) -> pa.Array:
    """Remove lines with fewer than `least` or more than `most` words (`str.split`)."""
    return _without_lines(text, _LENGTH, least, most, strip=False)


def without_unpunctuated_lines(text: pa.Array, ellipses: bool) -> pa.Array:
    """Remove lines that do not end in one of `.!?"…`; white space at the end does not count.

    Args:
        text: documents.
        ellipses: also remove lines that end in `...` or `…`.
    """
    return _without_lines(text, _PUNCTUATION, ellipses, 0.0, strip=False)


def without_blank_lines(text: pa.Array) -> pa.Array:
    """Remove lines that consist of white space only; empty lines are kept."""
    return _without_lines(text, _BLANK, 0.0, 0.0, strip=False)


def _without_lines(text: pa.Array, rule: int, low: float, high: float, *, strip: bool) -> pa.Array:
    return edited(text, _find_lines, kinds(), lower_case(), rule, float(low), float(high), strip)


@entry
def _find_lines(data, offsets, first, last, valid, starts, stops, count, kinds, lower, rule, low, high, strip):
    for document in range(first, last):
        start, end = offsets[document], offsets[document + 1]
        if not valid[document] or start == end:
            continue
        found = count
        kept = False
        position = start
        while position <= end:
            stop = find_byte(data, position, end, _NEWLINE)
            if position == stop or _keeps(data, position, stop, kinds, lower, rule, low, high):
                kept = True
            else:
                count = cut_line(position, stop, end, kept, starts, stops, found, count)
            position = stop + 1
        if strip:
            count = strip_around(data, start, end, kinds, starts, stops, found, count)
    return count


@inner
def _keeps(data, start, stop, kinds, lower, rule, low, high):
    if rule == _UPPERCASE:
        return _share(data, start, stop, kinds, _A, _Z, UPPER) <= high
    if rule == _NUMERIC:
        return _share(data, start, stop, kinds, _0, _9, DIGIT) <= high
    if rule == _COUNTER:
        return not _is_counter(data, start, stop, kinds, lower)
    if rule == _LENGTH:
        words = _count_words(data, start, stop, kinds, low if high == math.inf else high + 1)
        return low <= words <= high
    if rule == _PUNCTUATION:
        return _is_punctuated(data, start, stop, kinds, low > 0)
    return _count_words(data, start, stop, kinds, 1.0) > 0


@inner
def _share(data, start, stop, kinds, least, most, kind):
    """The share of a line's characters that have a kind; the ASCII ones are the bytes from `least` to `most`."""
    characters = stop - start
    found = 0
    position = start
    while position < stop:
        inside = low_bits(stop - position)
        found += ones(between64(data, position, least, most) & inside)
        foreign = between64(data, position, np.uint8(0x80), np.uint8(0xFF)) & inside
        if foreign:
            leads = foreign & between64(data, position, np.uint8(0xC0), np.uint8(0xFF))
            characters -= ones(foreign & ~leads)
            while leads:
                code_point, _ = decode(data, position + first_one(leads), stop)
                found += (kinds[code_point] & kind) != 0
                leads &= leads - _ONE
        position += 64
    return found / characters


@inner
def _count_words(data, start, stop, kinds, enough):
    """The number of words of a line (`str.split`); counting stops once `enough` are found."""
    words = 0
    in_word = np.uint64(0)
    position = start
    while position < stop and words < enough:
        size = min(stop - position, np.int64(64))
        inside = low_bits(size)
        spaces = between64(data, position, np.uint8(0x09), np.uint8(0x0D)) | equal64(data, position, _SPACE)
        spaces |= between64(data, position, np.uint8(0x1C), np.uint8(0x1F))
        foreign = between64(data, position, np.uint8(0xC2), np.uint8(0xF4)) & inside
        while foreign:
            bit = first_one(foreign)
            code_point, length = decode(data, position + bit, stop)
            if kinds[code_point] & SPACE:
                if bit + length > size:
                    # The character continues in the next block, which therefore begins with it.
                    size = np.int64(bit)
                    inside = low_bits(size)
                    break
                spaces |= low_bits(length) << np.uint64(bit)
            foreign &= foreign - _ONE
        solid = inside & ~spaces
        words += ones(solid & ~(solid << _ONE | in_word))
        in_word = (solid >> np.uint64(size - 1)) & _ONE
        position += size
    return words


@inner
def _is_counter(data, start, stop, kinds, lower):
    """Whether a line is a number, an optional K, M or B, white space, and a word of `_COUNTED`, in any case.

    Characters that are not word characters (`\\W`) may come before and after.
    """
    position = start
    code_point, size = decode(data, position, stop)
    while not kinds[code_point] & WORD and position + size < stop:
        position += size
        code_point, size = decode(data, position, stop)
    if not kinds[code_point] & DECIMAL:
        return False
    while (kinds[code_point] & DECIMAL or code_point in (_COMMA, _PERIOD)) and position + size < stop:
        position += size
        code_point, size = decode(data, position, stop)
    if lower[code_point] in (_K, _M, _B):
        position += size
    spaces = position
    while position < stop:
        code_point, size = decode(data, position, stop)
        if not kinds[code_point] & SPACE:
            break
        position += size
    if position == spaces:
        return False
    for row in range(len(_WORDS)):
        behind = _behind_word(data, position, stop, lower, row)
        if behind:
            return _is_of_no_word(data, behind, stop, kinds)
    return False


@inner
def _behind_word(data, position, stop, lower, row):
    """The position after a given word of `_COUNTED` that begins at `position`; 0 if the text differs."""
    column = 0
    while _WORDS[row, column]:
        if position >= stop:
            return 0
        code_point, size = decode(data, position, stop)
        if lower[code_point] != _WORDS[row, column]:
            return 0
        position += size
        column += 1
    return position


@inner
def _is_of_no_word(data, position, stop, kinds):
    while position < stop:
        code_point, size = decode(data, position, stop)
        if kinds[code_point] & WORD:
            return False
        position += size
    return True


@inner
def _is_punctuated(data, start, stop, kinds, without_ellipses):
    while stop > start:
        last = before(data, start, stop)
        code_point, _ = decode(data, last, stop)
        if not kinds[code_point] & SPACE:
            if code_point not in (_EXCLAMATION, _QUOTE, _PERIOD, _QUESTION, _ELLIPSIS):
                return False
            if not without_ellipses:
                return True
            dots = last - start >= 2 and data[last - 2] == _PERIOD and data[last - 1] == _PERIOD
            return code_point != _ELLIPSIS and not (code_point == _PERIOD and dots)
        stop = last
    return False
