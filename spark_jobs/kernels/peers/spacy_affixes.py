"""Prefixes, suffixes and infixes at which spaCy splits a string (lang/char_classes.py, lang/en/punctuation.py).

Prefixes and suffixes are punctuation, quotes, symbols, currencies, units after digits, and `'s`. Infixes are dots,
hyphens, commas, colons, slashes and similar characters between letters.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.english_tables import (
    BEFORE_PERIOD,
    CASED_ALPHA,
    CURRENCY,
    ICON,
    LOWER,
    PREFIX,
    QUOTE,
    SUFFIX,
    UPPER,
)
from spark_jobs.kernels.hashing import load64, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.line_breaks import decode_before
from spark_jobs.kernels.words import decode

_DOT, _PLUS, _HYPHEN, _COLON, _SLASH, _COMMA, _TILDE, _DOLLAR, _LOWER_S, _UPPER_S = (ord(sign) for sign in ".+-:/,~$sS")
_ELLIPSIS, _EN_DASH, _EM_DASH, _DEGREE, _APOSTROPHE, _CURLY = (ord(character) for character in "…–—°'’")
_ASTERISK, _CARET, _LESS, _EQUAL, _GREATER = (ord(character) for character in "*^<=>")
_ZEROS, _TENS, _HIGH = (np.uint64(0x0101010101010101 * byte) for byte in (0x30, 10, 0x80))


def _bytes(words: str) -> np.ndarray:
    found = (word.encode() for word in words.split())
    return np.array([int.from_bytes(word, "little") for word in found if len(word) <= 8], np.uint64)


_LENGTHS = "km m dm cm mm км м дм см мм كم م سم مم"
_METRES = " ".join(f"{unit}{power}" for unit in _LENGTHS.split() for power in ("", "²", "³"))
_UNITS = _bytes(
    f"{_METRES} ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K % "
    "нм кг г мг м/с км/ч кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тбكم غرام جرام جم كغ ملغ كوب"
)
_DOLLARS = _bytes("US$ C$ A$")


@inner
def is_digit(code_point):
    return 0x30 <= code_point <= 0x39


@inner
def _dots(data, position, stop):
    """The number of consecutive dots from a position on."""
    count = 0
    while position + count < stop and data[position + count] == _DOT:
        count += 1
    return count


@inlined
def prefix_size(data, start, stop, classes):
    """The size in bytes of the prefix to split off; 0 if there is none."""
    code_point, size = decode(data, start, stop)
    if classes[code_point] & PREFIX:
        return size
    if code_point == _DOT:
        dots = _dots(data, start, stop)
        return dots if dots > 1 else 0
    if code_point == _PLUS:
        return 0 if start + 1 < stop and is_digit(data[start + 1]) else 1
    if code_point in (0x41, 0x43, 0x55):
        return _dollar(data, start, stop)
    return 0


@inner
def _dollar(data, start, stop):
    """The size in bytes of `US$`, `C$` or `A$` at a position; 0 if none is there."""
    for dollar in _DOLLARS:
        size = 3 if dollar >> np.uint64(16) else 2
        if start + size <= stop and load_few(data, start, size) == dollar:
            return size
    return 0


@inlined
def suffix_size(data, start, stop, classes):
    """The size in bytes of the longest suffix to split off; 0 if there is none."""
    if start == stop:
        return 0
    code_point, size = decode_before(data, start, stop)
    kind = classes[code_point]
    before = before_size = 0
    if start < stop - size:
        before, before_size = decode_before(data, start, stop - size)
    cut = 0
    if kind & SUFFIX:
        cut = 2 * size if code_point == _ELLIPSIS and before == _ELLIPSIS else size
    elif not before_size:
        cut = 0
    elif code_point == _DOT:
        cut = _suffix_dots(data, start, stop, classes, before, before_size)
    elif code_point in (_LOWER_S, _UPPER_S) and before in (_APOSTROPHE, _CURLY):
        cut = size + before_size
    elif code_point == _PLUS:
        cut = 1 if is_digit(before) else 0
    elif kind & CURRENCY:
        cut = _suffix_currency(data, start, stop, code_point, size, before)
    elif start + 9 > stop or _is_near_digit(data, stop):
        cut = _suffix_unit(data, start, stop)
    return cut


@inner
def _is_near_digit(data, stop):
    """Whether one of the eight bytes before the last may be a digit, as there must be one before a unit."""
    bytes_ = load64(data, stop - 9) ^ _ZEROS
    # A digit is now less than ten. Because of borrows, other bytes may pass too; the caller tests the bytes again.
    return ((bytes_ - _TENS) & ~bytes_ & _HIGH) != 0


@inner
def _suffix_dots(data, start, stop, classes, before, before_size):
    if before == _DOT:
        first = stop - 2
        while first > start and data[first - 1] == _DOT:
            first -= 1
        return stop - first
    if classes[before] & BEFORE_PERIOD:
        return 1
    if start < stop - 1 - before_size:
        second, _ = decode_before(data, start, stop - 1 - before_size)
        both_upper = classes[before] & classes[second] & UPPER
        if both_upper or (second == _DEGREE and before in (0x43, 0x46, 0x4B)):
            return 1
    return 0


@inner
def _suffix_currency(data, start, stop, code_point, size, before):
    if is_digit(before):
        return size
    if code_point == _DOLLAR:
        for letters in range(1, 3):
            first = stop - 1 - letters
            if first > start and is_digit(data[first - 1]) and _dollar(data, first, stop) == letters + 1:
                return letters + 1
    return 0


@inner
def _suffix_unit(data, start, stop):
    """The size in bytes of a unit at the end, if a digit precedes it; else 0."""
    for size in range(1, min(8, stop - start - 1) + 1):
        if is_digit(data[stop - size]):
            return 0
        if is_digit(data[stop - size - 1]):
            last = load_few(data, stop - size, size)
            for unit in _UNITS:
                # A string that ends in NUL would otherwise equal a unit padded with zeros.
                if unit == last and data[stop - 1]:
                    return size
            return 0
    return 0


@inlined
def infix_size(data, start, position, stop, before, code_point, size, classes):
    """The size in bytes of an infix at a position, or 0; `before` is the class of the character before it."""
    if code_point == _DOT and position + 1 < stop and data[position + 1] == _DOT:
        return _dots(data, position, stop)
    if code_point == _ELLIPSIS or classes[code_point] & ICON:
        return size
    if position == start or position + size == stop:
        return 0
    following, _ = decode(data, position + size, stop)
    behind = classes[following]
    digit_before = is_digit(data[position - 1])
    is_operator = digit_before and code_point in (_PLUS, _HYPHEN, _ASTERISK, _CARET)
    if is_operator and (is_digit(following) or following == _HYPHEN):
        return size
    if code_point in (_HYPHEN, _EM_DASH) and (before & CASED_ALPHA or digit_before):
        return _hyphens(data, position, stop, code_point, size, classes)
    return size if _is_between(code_point, before, digit_before, behind) else 0


@inner
def _is_between(code_point, before, digit_before, behind):
    """Whether a sign between characters of these classes separates words."""
    if code_point == _DOT:
        return (before & (LOWER | QUOTE)) != 0 and (behind & (UPPER | QUOTE)) != 0
    if code_point == _COMMA:
        return (before & behind & CASED_ALPHA) != 0
    if code_point in (_COLON, _LESS, _EQUAL, _GREATER, _SLASH, _TILDE, _EN_DASH):
        return ((before & CASED_ALPHA) != 0 or digit_before) and (behind & CASED_ALPHA) != 0
    return False


@inner
def _hyphens(data, position, stop, code_point, size, classes):
    """The size in bytes of up to three hyphens or two dashes at a position, if a letter follows; else 0."""
    for times in range(1, 4 if code_point == _HYPHEN else 3):
        behind = position + times * size
        if behind == stop:
            return 0
        following, _ = decode(data, behind, stop)
        if classes[following] & CASED_ALPHA:
            return times * size
        if following != code_point:
            return 0
    return 0
