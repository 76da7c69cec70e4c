"""Tags, comments and raw text of a page (WHATWG HTML 13.2.5), read where they begin.

Every function gets the position to read from and returns the position after what it has read, or -1 if it leaves the
page to the reference parser.
"""

# ruff: noqa: PLR0912, PLR0917, SIM110 (a compiled function takes arrays, and these by position; it knows no generators; a branch for each rule)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import equal64, find_byte, first_one, low_bits
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.entities import decode
from spark_jobs.kernels.html.marks import (
    ATTRIBUTE_END,
    KINDS,
    LETTER,
    LOWER,
    NAME_END,
    SEED,
    SPACE,
    VALUE_END,
    apart,
    joined,
    mix,
    name_hash,
)
from spark_jobs.kernels.html.nodes import ATTRIBUTES, NAME, TAGS, VALUE_START, tag
from spark_jobs.kernels.html.nodes import VALUE_END as VALUE_STOP
from spark_jobs.kernels.html.tree import (
    ATTRIBUTE_ROWS,
    CURSOR,
    FULL,
    TOKEN_CLOSED,
    TOKEN_FIRST,
    TOKEN_HASH,
    TOKEN_HIDDEN,
    TOKEN_LAST,
    TOKEN_SOURCE,
    TOKEN_SUM,
    TOKEN_TAG,
    UNHANDLED,
    fail,
    tag_set,
)

_LESS, _GREATER, _DASH = (np.uint8(ord(character)) for character in "<>-")
_BITS = 10
_TRUE = np.bool_(True)


def _slots(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    """The hash and number of the name in each slot, and the factor that gives each name its own slot."""
    hashes = {name_hash(name): number for number, name in enumerate(names) if name}
    for factor in range(0x9E3779B97F4A7C15, 0x9E3779B97F4A7C15 + 4_000_000, 2):
        taken = {(key * factor & 0xFFFFFFFFFFFFFFFF) >> (64 - _BITS): key for key in hashes}
        if len(taken) == len(hashes):
            break
    keys, numbers = np.zeros(1 << _BITS, np.uint64), np.zeros(1 << _BITS, np.int16)
    for slot, key in taken.items():
        keys[slot], numbers[slot] = key, hashes[key]
    return keys, numbers, factor


_TAG_KEYS, _TAG_NUMBERS, _TAG_FACTOR = _slots(TAGS)
_ATTRIBUTE_KEYS, _ATTRIBUTE_NUMBERS, _ATTRIBUTE_FACTOR = _slots(("", *ATTRIBUTES))
_FACTOR, _OTHER_FACTOR, _SHIFT = np.uint64(_TAG_FACTOR), np.uint64(_ATTRIBUTE_FACTOR), np.uint64(64 - _BITS)
_TYPE = np.uint64(name_hash("type"))
_HIDDEN = np.frombuffer(b"hidden", np.uint8)
_SCRIPT = np.frombuffer(b"script", np.uint8)
_INPUT = tag("input")
# Elements of these names are compared by all their attributes.
_COMPARED = tag_set("b big code em font i nobr s small strike strong tt u")
_NAMES_COMPARED = 16


@inner
def read_name(page, position, end, state):
    """Read the name of a tag into the token."""
    joined()
    key = np.uint64(SEED)
    state[TOKEN_SOURCE] = position
    while position < end:
        byte = page[position]
        if KINDS[byte] & NAME_END:
            break
        key = mix(key, LOWER[byte])
        position += 1
    slot = np.int64((key * _FACTOR) >> _SHIFT)
    state[TOKEN_HASH] = np.int64(key)
    state[TOKEN_TAG] = _TAG_NUMBERS[slot] if _TAG_KEYS[slot] == key else 0
    return position


@inner
def _value_bounds(page, position, end):
    """Start and end of an attribute's value, read from the byte after its `=`, and the position after the value."""
    joined()
    while position < end and KINDS[page[position]] & SPACE:
        position += 1
    if position >= end:
        return end, end, end
    byte = page[position]
    if byte in (0x22, 0x27):
        stop = find_byte(page, position + 1, end, byte)
        return position + 1, stop, stop + 1
    start = position
    while position < end and not KINDS[page[position]] & VALUE_END:
        position += 1
    return start, position, position


@inner
def _is_hidden(page, start, stop):
    if stop - start != 6:
        return False
    for i in range(6):
        if LOWER[page[start + i]] != _HIDDEN[i]:
            return False
    return True


@inner
def _add_to_sum(page, key, start, stop, buffer, state, count):
    """Add an attribute to the token's sum, which does not depend on the order of attributes."""
    apart()
    stop = decode(page, start, stop, _TRUE, _TRUE, buffer, state[CURSOR])
    if stop < 0 or count >= _NAMES_COMPARED:
        fail(state, UNHANDLED)
        return
    value = np.uint64(SEED)
    for i in range(state[CURSOR], stop):
        value = mix(value, buffer[i])
    for _ in range(8):
        value = mix(value, np.uint8(key & np.uint64(0xFF)))
        key >>= np.uint64(8)
    state[TOKEN_SUM] += np.int64(value ^ (value >> np.uint64(29)))


@inner
def _keep(page, number, start, stop, attributes, buffer, state):
    """Add a row for an attribute."""
    joined()
    row = state[ATTRIBUTE_ROWS]
    cursor = decode(page, start, stop, _TRUE, _TRUE, buffer, state[CURSOR])
    if cursor < 0 or row >= len(attributes):
        fail(state, FULL)
        return
    attributes[row, NAME] = number
    attributes[row, VALUE_START] = state[CURSOR]
    attributes[row, VALUE_STOP] = cursor
    state[ATTRIBUTE_ROWS] = row + 1
    state[CURSOR] = cursor


@inner
def read_attributes(page, position, end, attributes, buffer, state, is_end):
    """Read the rest of a tag after its name into the token."""
    apart()
    number = state[TOKEN_TAG]
    compared = not is_end and _COMPARED[number]
    state[TOKEN_FIRST] = state[TOKEN_LAST] = state[ATTRIBUTE_ROWS]
    state[TOKEN_CLOSED] = state[TOKEN_HIDDEN] = state[TOKEN_SUM] = 0
    seen = 0
    count = 0
    typed = False
    while position < end:
        byte = page[position]
        if byte == 0x3E:
            state[TOKEN_LAST] = state[ATTRIBUTE_ROWS]
            return position + 1
        if KINDS[byte] & SPACE:
            position += 1
            continue
        if byte == 0x2F:
            position += 1
            if position < end and page[position] == 0x3E:
                state[TOKEN_CLOSED] = 1
            continue
        # A name may begin with an equals sign.
        key = mix(np.uint64(SEED), LOWER[byte])
        position += 1
        while position < end and not KINDS[page[position]] & ATTRIBUTE_END:
            key = mix(key, LOWER[page[position]])
            position += 1
        after = position
        while after < end and KINDS[page[after]] & SPACE:
            after += 1
        start = stop = position
        if after < end and page[after] == 0x3D:
            start, stop, position = _value_bounds(page, after + 1, end)
            if position > end:
                break
        else:
            position = after
        if is_end:
            continue
        slot = np.int64((key * _OTHER_FACTOR) >> _SHIFT)
        if _ATTRIBUTE_KEYS[slot] == key:
            kept = np.int64(_ATTRIBUTE_NUMBERS[slot]) - 1
            if not seen >> kept & 1:
                seen |= 1 << kept
                _keep(page, kept, start, stop, attributes, buffer, state)
        elif key == _TYPE and number == _INPUT and not typed:
            typed = True
            state[TOKEN_HIDDEN] = _is_hidden(page, start, stop)
        if compared:
            _add_to_sum(page, key, start, stop, buffer, state, count)
            count += 1
    return -1


@inner
def skip_comment(page, position, end):
    """Read a comment whose `<!--` is before `position`; return its end and the position after the comment."""
    apart()
    if position < end and page[position] == _GREATER:
        return position, position + 1
    if position + 1 < end and page[position] == _DASH and page[position + 1] == _GREATER:
        return position, position + 2
    stop = position
    while stop < end:
        stop = find_byte(page, stop, end, _DASH)
        if stop + 2 < end and page[stop + 1] == _DASH:
            if page[stop + 2] == _GREATER:
                return stop, stop + 3
            if page[stop + 2] == 0x21 and stop + 3 < end and page[stop + 3] == _GREATER:
                return stop, stop + 4
        stop += 1
    # The page ends first: a partial end of the comment is not part of its text.
    if end - position >= 3 and page[end - 3] == _DASH and page[end - 2] == _DASH and page[end - 1] == 0x21:
        return end - 3, end
    stop = end
    for _ in range(2):
        if stop > position and page[stop - 1] == _DASH:
            stop -= 1
    return stop, end


@inner
def _is_end_tag(page, position, end, hashed):
    """Whether an end tag of this name begins at a `<`."""
    apart()
    if position + 2 >= end or page[position + 1] != 0x2F or not KINDS[page[position + 2]] & LETTER:
        return False
    key = np.uint64(SEED)
    position += 2
    while position < end and KINDS[page[position]] & LETTER:
        key = mix(key, LOWER[page[position]])
        position += 1
    return position < end and KINDS[page[position]] & NAME_END != 0 and np.int64(key) == hashed


@inner
def find_end_tag(page, position, end, hashed):
    """The position where the end tag of a name begins; `end` if it is missing."""
    apart()
    while True:
        position = find_byte(page, position, end, _LESS)
        if position >= end or _is_end_tag(page, position, end, hashed):
            return position
        position += 1


@inner
def _starts_script(page, position, end):
    """Whether `<script` and an end of a name follow `position`."""
    if position + 7 >= end:
        return False
    for i in range(6):
        if LOWER[page[position + 1 + i]] != _SCRIPT[i]:
            return False
    return KINDS[page[position + 7]] & NAME_END != 0


@inner
def find_script_end(page, position, end, hashed):
    """The position of a script's end tag outside `<!--`, `<script>`, `-->`; `end` if it is missing."""
    apart()
    escapes = 0
    while position < end:
        found = equal64(page, position, _LESS)
        if escapes:
            found |= equal64(page, position, _DASH)
        found &= low_bits(end - position)
        if not found:
            position += 64
            continue
        position += first_one(found)
        if page[position] == _DASH:
            if position + 2 < end and page[position + 1] == _DASH and page[position + 2] == _GREATER:
                escapes = 0
                position += 2
        elif _is_end_tag(page, position, end, hashed):
            if escapes < 2:
                return position
            escapes = 1
        elif escapes == 1 and _starts_script(page, position, end):
            escapes = 2
        elif (
            escapes == 0
            and position + 3 < end
            and page[position + 1] == 0x21
            and page[position + 2] == _DASH
            and page[position + 3] == _DASH
        ):
            escapes = 1
            # The same dashes may end the comment.
            position += 1
        position += 1
    return end


@inner
def find_tag(page, position, end):
    """The end of the text: a `<` that begins a tag, a comment or a declaration."""
    while position < end:
        position = find_byte(page, position, end, _LESS)
        if position + 1 >= end:
            return end
        following = page[position + 1]
        if KINDS[following] & LETTER or following in (0x2F, 0x21, 0x3F):
            return position
        position += 1
    return end
