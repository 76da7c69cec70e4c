"""Words between Unicode word boundaries, of which DCLM's n-grams consist: uniseg 0.7.2 with Unicode 6.2 (UAX #29).

For DCLM's statistics, a segment between two boundaries is a word if its first character is a letter or digit
(`str.isalnum`), so `_name` is not a word. For MinHash, a letter or digit anywhere in the segment is enough, so that
pages about `__init__` and about `__call__` differ. Each ideograph, kana other than katakana, and Thai letter is a word.
Underscores join words. `can't`, `3.14` and `example.com` are one word each.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import between64, equal64, first_one, low_bits
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.unicode_tables import ALNUM, CLASS, WORD_BREAK_CLASSES


def _bits(*classes: str) -> int:
    return sum(1 << WORD_BREAK_CLASSES.index(name) for name in classes)


def _joins() -> np.ndarray:
    """For each class, the classes that may follow it without a boundary (WB5, 8-10, 13-13c)."""
    joins = {
        "ALetter": _bits("ALetter", "Numeric", "ExtendNumLet"),
        "Numeric": _bits("ALetter", "Numeric", "ExtendNumLet"),
        "Katakana": _bits("Katakana", "ExtendNumLet"),
        "ExtendNumLet": _bits("ALetter", "Numeric", "Katakana", "ExtendNumLet"),
        "Regional_Indicator": _bits("Regional_Indicator"),
    }
    return np.array([joins.get(name, 0) for name in WORD_BREAK_CLASSES], np.uint32)


def _bridges() -> np.ndarray:
    """For each class, the classes that may occur between two of its characters without a boundary (WB6, 7, 11, 12)."""
    bridges = {"ALetter": _bits("MidLetter", "MidNumLet"), "Numeric": _bits("MidNum", "MidNumLet")}
    return np.array([bridges.get(name, 0) for name in WORD_BREAK_CLASSES], np.uint32)


_JOINS = _joins()
_BRIDGES = _bridges()
_NEWLINES = _bits("CR", "LF", "Newline")
_IGNORED = _bits("Extend", "Format")
_MIDDLES = _bits("MidLetter", "MidNum", "MidNumLet")
_UNDERSCORE, _DOT, _APOSTROPHE, _COLON, _COMMA, _SEMICOLON = (np.uint8(ord(character)) for character in "_.':,;")
_A, _Z, _a, _z, _0, _9 = (np.uint8(ord(character)) for character in "AZaz09")
_ONE = np.uint64(1)


@inlined
def decode(data, position, end):
    """The code point at a position, and its size in bytes; U+FFFD if the bytes are not UTF-8."""
    lead = np.int64(data[position])
    size = 1 + (lead >= 0xC2) + (lead >= 0xE0) + (lead >= 0xF0)
    code_point = lead
    if lead >= 0x80:
        code_point, size = (lead & (0x7F >> size), size) if position + size <= end and size > 1 else (0xFFFD, 1)
        for i in range(1, size):
            code_point = code_point << 6 | (data[position + i] & 0x3F)
    return min(code_point, 0x10FFFF), size


@inlined
def _skip_ignored(data, position, end, properties):
    """Skip characters of the classes Extend and Format (WB4); return the new position and the number of characters."""
    characters = 0
    while position < end and data[position] >= 0x80:
        code_point, size = decode(data, position, end)
        if not (_IGNORED >> (properties[code_point] & CLASS)) & 1:
            break
        position += size
        characters += 1
    return position, characters


@inlined
def _grow(data, position, end, properties, last, characters):
    """Extend a segment up to its end; `last` is the class of its last character that is not ignored.

    Returns:
        the position after the segment, and its number of characters.
    """
    while True:
        position, ignored = _skip_ignored(data, position, end, properties)
        characters += ignored
        if position >= end:
            return position, characters
        code_point, size = decode(data, position, end)
        following = properties[code_point] & CLASS
        if (_JOINS[last] >> following) & 1:
            position += size
            characters += 1
            last = following
        elif (_BRIDGES[last] >> following) & 1:
            behind, ignored = _skip_ignored(data, position + size, end, properties)
            if behind >= end:
                return position, characters
            code_point, size = decode(data, behind, end)
            if (properties[code_point] & CLASS) != last:
                return position, characters
            position = behind + size
            characters += ignored + 2
        else:
            return position, characters


@inlined
def _segment(data, position, end, properties):
    """The position after the segment that begins at `position`, and its number of characters."""
    code_point, size = decode(data, position, end)
    first = properties[code_point] & CLASS
    if (_NEWLINES >> first) & 1:
        # CR LF is one segment. It is treated as two here, because neither character is part of a word.
        return position + size, 1
    return _grow(data, position + size, end, properties, first, 1)


@inner
def _is_in_words(byte, properties):
    """Whether a byte may be part of a word: [0-9A-Za-z_], between which there is no boundary, or not ASCII."""
    return byte >= 0x80 or (properties[byte] & ALNUM) != 0 or byte == _UNDERSCORE


@inlined
def _ascii_spans(data, position, end):
    """Find the words among 64 bytes by the rules for ASCII characters.

    Returns:
        a mask of the bytes that may be part of words, and a mask of the bytes that are not ASCII. A run of the first
        without any of the second is one word, unless it reaches the end of the block.
    """
    inside = low_bits(end - position)
    foreign = between64(data, position, np.uint8(0x80), np.uint8(0xFF)) & inside
    letters = between64(data, position, _A, _Z) | between64(data, position, _a, _z)
    letters &= inside
    digits = between64(data, position, _0, _9) & inside
    dots = equal64(data, position, _DOT) | equal64(data, position, _APOSTROPHE)
    middles_of_letters = dots | equal64(data, position, _COLON)
    middles_of_digits = dots | equal64(data, position, _COMMA) | equal64(data, position, _SEMICOLON)
    bridges = middles_of_letters & (letters << _ONE) & (letters >> _ONE)
    bridges |= middles_of_digits & (digits << _ONE) & (digits >> _ONE)
    # Next to a character that is not ASCII, `_grow` decides whether they join two parts of a word.
    bridges |= (middles_of_letters | middles_of_digits) & ((foreign << _ONE) | (foreign >> _ONE)) & inside
    return letters | digits | (equal64(data, position, _UNDERSCORE) & inside) | bridges | foreign, foreign


@inner
def _holds_letter(data, position, end, properties):
    """Whether `data[position:end]` contains a letter or digit that is not of the classes Extend and Format."""
    while position < end:
        code_point, size = decode(data, position, end)
        if properties[code_point] & ALNUM and not (_IGNORED >> (properties[code_point] & CLASS)) & 1:
            return True
        position += size
    return False


@inlined
def _find_in_span(data, start, position, stop, end, properties, anywhere, starts, stops, lengths, count):
    """Find words one character at a time, up to the first byte at or after `stop` that cannot be part of a word.

    Returns:
        the position of that byte, and the new number of words.
    """
    while position < end and (position < stop or _is_in_words(data[position], properties)):
        behind_newline = position == start or (_NEWLINES >> (properties[data[position - 1]] & CLASS)) & 1
        if data[position] >= 0x80 and data[position - 1] < 0x80 and not behind_newline:
            # A combining mark after a character that is not part of a word belongs to that character.
            position, ignored = _skip_ignored(data, position, end, properties)
            if ignored:
                continue
        first, _ = decode(data, position, end)
        behind, characters = _segment(data, position, end, properties)
        if properties[first] & ALNUM or (anywhere and _holds_letter(data, position, behind, properties)):
            starts[count] = position - start
            stops[count] = behind - start
            lengths[count] = characters
            count += 1
        position = behind
    return position, count


@inlined
def find_words(data, start, end, properties, anywhere, room):
    """Find the words of `data[start:end]`.

    Args:
        anywhere: a segment is a word if it contains a letter or digit anywhere, not only as its first character.
        room: Scratch. Its `starts`, `stops` and `lengths` receive the first byte of each word, the byte after it, and
            its number of characters.

    Returns:
        the number of words.
    """
    starts, stops, lengths = room.starts, room.stops, room.lengths
    count = 0
    position = start
    while position < end:
        spans, foreign = _ascii_spans(data, position, end)
        left = spans & ~(spans << _ONE)
        following = position + 64
        while left:
            first = first_one(left)
            size = first_one(~(spans >> np.uint64(first)))
            stop = first + size
            if (foreign >> np.uint64(first)) & low_bits(size) or (stop >= 63 and first == 0):
                following, count = _find_in_span(
                    data, start, position + first, position + stop, end, properties, anywhere,
                    starts, stops, lengths, count,
                )  # fmt: skip
                break
            if stop >= 63:
                # The word may continue after this block, so the next block begins with it.
                following = position + first
                break
            starts[count] = position + first - start
            stops[count] = position + stop - start
            lengths[count] = size
            count += data[position + first] != _UNDERSCORE or (
                anywhere and _holds_letter(data, position + first, position + stop, properties)
            )
            left &= left - _ONE
        position = following
    return count
