"""Character references of HTML (WHATWG HTML 13.2.5.72 to 13.2.5.80): `&amp;`, `&eacute`, `&#8217;`, `&#x2019;`.

The names are those of Python's `html.entities`. A reference without a semicolon is read as the longest name that it
begins with, if that name is valid without one.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import html.entities

import numpy as np

from spark_jobs.kernels.blocks import equal64, first_one, low_bits
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.marks import ALPHANUMERIC, DIGIT, HEX, KINDS, SEED, apart, copy64, mix, name_hash

_SLOTS = 8192
_AMPERSAND, _RETURN, _NEWLINE = np.uint8(ord("&")), np.uint8(0x0D), np.uint8(0x0A)
_LONGEST = max(len(name) for name in html.entities.html5)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hash of the name in each slot, its UTF-8 replacement (lowest byte first) and the length of that."""
    keys = np.zeros(_SLOTS, np.uint64)
    values = np.zeros(_SLOTS, np.uint64)
    sizes = np.zeros(_SLOTS, np.uint8)
    for name, text in sorted(html.entities.html5.items()):
        key = name_hash(name)
        slot = key % _SLOTS
        while keys[slot]:
            slot = (slot + 1) % _SLOTS
        keys[slot] = key
        values[slot] = int.from_bytes(text.encode(), "little")
        sizes[slot] = len(text.encode())
    return keys, values, sizes


_KEYS, _VALUES, _SIZES = _tables()
# Code points for the numbers 0x80 to 0x9F: those of windows-1252, or the number itself where that has none.
_WINDOWS = np.array(
    [
        ord(bytes([code]).decode("cp1252", errors="ignore") or chr(code))
        for code in range(0x80, 0xA0)
    ],
    np.int32,
)  # fmt: skip


@inner
def _write(buffer, cursor, code):
    """Write a code point in UTF-8; return the position after it."""
    if code < 0x80:
        buffer[cursor] = code
        return cursor + 1
    if code < 0x800:
        buffer[cursor] = 0xC0 | code >> 6
        buffer[cursor + 1] = 0x80 | code & 0x3F
        return cursor + 2
    if code < 0x10000:
        buffer[cursor] = 0xE0 | code >> 12
        buffer[cursor + 1] = 0x80 | code >> 6 & 0x3F
        buffer[cursor + 2] = 0x80 | code & 0x3F
        return cursor + 3
    buffer[cursor] = 0xF0 | code >> 18
    buffer[cursor + 1] = 0x80 | code >> 12 & 0x3F
    buffer[cursor + 2] = 0x80 | code >> 6 & 0x3F
    buffer[cursor + 3] = 0x80 | code & 0x3F
    return cursor + 4


@inner
def _number(page, position, end, buffer, cursor):
    """Read a numeric reference whose `#` is before `position`; return the positions after it in page and buffer.

    The position in the page is -1 if there is no digit.
    """
    apart()
    base, kind = 10, DIGIT
    if position < end and (page[position] | 0x20) == 0x78:
        base, kind = 16, HEX
        position += 1
    first = position
    code = 0
    while position < end and KINDS[page[position]] & kind:
        byte = np.int64(page[position])
        digit = byte - 0x30 if byte < 0x3A else (byte | 0x20) - 0x57
        code = min(code * base + digit, 0x110000)
        position += 1
    if position == first:
        return -1, cursor
    position += position < end and page[position] == 0x3B
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    elif 0x80 <= code < 0xA0:
        code = np.int64(_WINDOWS[code - 0x80])
    return position, _write(buffer, cursor, code)


@inner
def _name(page, position, end, in_attribute, buffer, cursor):
    """Read a named reference whose `&` is before `position`; return the same as `_number`."""
    apart()
    key = np.uint64(SEED)
    found = -1
    behind = -1
    last = min(end, position + _LONGEST)
    while position < last:
        byte = page[position]
        if not (KINDS[byte] & ALPHANUMERIC) and byte != 0x3B:
            break
        key = mix(key, byte)
        position += 1
        slot = np.int64(key % np.uint64(_SLOTS))
        while _KEYS[slot] and _KEYS[slot] != key:
            slot = (slot + 1) % _SLOTS
        if _KEYS[slot] == key:
            found, behind = slot, position
        if byte == 0x3B:
            break
    if found < 0:
        return -1, cursor
    if in_attribute and page[behind - 1] != 0x3B and behind < end:
        following = page[behind]
        if following == 0x3D or KINDS[following] & ALPHANUMERIC:
            return -1, cursor
    value = _VALUES[found]
    for i in range(_SIZES[found]):
        buffer[cursor + i] = np.uint8(value >> np.uint64(8 * i))
    return behind, cursor + _SIZES[found]


@inner
def decode(page, position, end, references, in_attribute, buffer, cursor):
    """Copy `page[position:end]` to the buffer, with CR LF and CR as LF and with references decoded.

    64 more bytes must be readable.

    Returns:
        the position after the copy, or -1 if the buffer is too small.
    """
    apart()
    room = len(buffer) - 64
    while position < end:
        if cursor > room:
            return -1
        copy64(page, position, buffer, cursor)
        odd = equal64(page, position, _RETURN)
        if references:
            odd |= equal64(page, position, _AMPERSAND)
        odd &= low_bits(end - position)
        plain = min(first_one(odd), end - position)
        position += plain
        cursor += plain
        if not odd:
            continue
        if page[position] == _RETURN:
            buffer[cursor] = _NEWLINE
            cursor += 1
            position += 2 if position + 1 < end and page[position + 1] == _NEWLINE else 1
            continue
        behind = -1
        if position + 1 < end:
            following = page[position + 1]
            if following == 0x23:
                behind, cursor = _number(page, position + 2, end, buffer, cursor)
            elif KINDS[following] & ALPHANUMERIC:
                behind, cursor = _name(page, position + 1, end, in_attribute, buffer, cursor)
        if behind < 0:
            buffer[cursor] = _AMPERSAND
            cursor += 1
            behind = position + 1
        position = behind
    return cursor
