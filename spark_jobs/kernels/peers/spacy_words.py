"""English words as found by spaCy's tokenizer (explosion/spaCy 3.8.18, spacy/tokenizer.pyx), which datatrove uses.

Each run of characters that are not white space is split in these steps:

- Prefixes and suffixes are split off: punctuation, quotes, symbols, currencies, units after digits, and `'s`.
- If the rest is a string with a special split (`english_tables.exception_pieces`), it is split into the given pieces.
  If it is an address, it is one word. Otherwise it is split at infixes: dots, hyphens, commas, colons, slashes and
  similar characters between letters.
- Adjacent words that together form a string with a special split, such as `:` and `)`, are replaced by its pieces.

White space is not a word.

The result differs from spaCy's in two rare cases. In spaCy, a match of adjacent words across white space, which is
undone later, can prevent other words from being joined. Among overlapping matches, spaCy takes the longest first, and
this module the leftmost.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import between64, count_characters, equal64, find_byte, first_one, low_bits
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.english_tables import (
    BEFORE_PERIOD,
    CASED_ALPHA,
    CURRENCY,
    HOST,
    ICON,
    LOWER,
    PREFIX,
    QUOTE,
    SPACE,
    SUFFIX,
    UPPER,
    Exceptions,
    StringTable,
    character_classes,
    exception_pieces,
)
from spark_jobs.kernels.hashing import KEY_0, hash_bytes, load64, load_few
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.line_breaks import decode_before
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.text_hash import text_hash
from spark_jobs.kernels.words import decode

_SEED = np.uint64(1)
_REMEMBERED = 64
"""Size in bytes of the longest run whose words are cached."""
_SIEVE_BITS = 1 << 15
_SPREAD, _SIEVE_SHIFT = KEY_0 | np.uint64(1), np.uint64(65 - _SIEVE_BITS.bit_length())
_NONE, _ONE, _BYTE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFF), np.uint64(0xFFFFFFFFFFFFFFFF)
_A, _Z, _a, _z, _0, _9 = (np.uint8(ord(character)) for character in "AZaz09")
_SPACE, _DOT, _PLUS, _HYPHEN, _COLON, _SLASH, _AT = (ord(character) for character in " .+-:/@")
_COMMA, _TILDE, _UNDERSCORE, _DOLLAR, _LOWER_S, _UPPER_S = (ord(character) for character in ",~_$sS")
_ELLIPSIS, _EN_DASH, _EM_DASH, _DEGREE, _APOSTROPHE, _CURLY = (ord(character) for character in "…–—°'’")
_ASTERISK, _CARET, _LESS, _EQUAL, _GREATER, _QUESTION, _HASH, _SEMICOLON, _EXCLAMATION = (
    ord(character) for character in "*^<=>?#;!"
)
_ZEROS, _TENS, _HIGH = (np.uint64(0x0101010101010101 * byte) for byte in (0x30, 10, 0x80))
_COLON_SLASHES = np.uint64(int.from_bytes(b"://", "little"))


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


@functools.cache
def exceptions() -> Exceptions:
    """The strings with special splits, as tables for kernels."""
    alone = exception_pieces()
    # spaCy's matcher searches for strings that its affix rules would split, so not for contractions and plain words.
    joined = {t: parts for t, parts in alone.items() if not t.isalnum() and (len(parts) == 1 or t[-1] == ".")}
    return Exceptions(_string_table(alone), _string_table(joined))


def _string_table(pieces: dict[str, tuple[str, ...]]) -> StringTable:
    size = 1 << (2 * len(pieces)).bit_length()
    sizes = (size, "u8"), (size, "u4"), (256, "u8"), (_SIEVE_BITS // 64, "u8")
    table = StringTable(*(np.zeros(count, kind) for count, kind in sizes))
    hashes = text_hash(pa.array(list(pieces)), seed=int(_SEED)).to_numpy().view(np.uint64)
    for (text, parts), key in zip(pieces.items(), hashes, strict=True):
        slot = int(key) & (size - 1)
        while table.pieces[slot]:
            slot = (slot + 1) & (size - 1)
        table.keys[slot] = key
        table.pieces[slot] = int.from_bytes(bytes(len(part.encode()) for part in parts), "little")
        encoded = text.encode()
        table.first[encoded[0]] |= np.uint64(1 << len(encoded))
        head = int.from_bytes(encoded[:8], "little") + len(encoded)
        bit = head * int(_SPREAD) % 2**64 >> int(_SIEVE_SHIFT)
        table.sieve[bit // 64] |= np.uint64(1 << bit % 64)
    for array in table:
        array.flags.writeable = False
    return table


class Words(NamedTuple):
    """The positions of the words of documents, which are found once and shared by all statistics."""

    ends: np.ndarray
    """int64, the number of words before each document, and the number of all words."""
    starts: np.ndarray
    """int32, first byte of each word, relative to the first byte of its document."""
    stops: np.ndarray
    """int32, the byte after each word."""
    lengths: np.ndarray
    """int32, number of characters of each word."""


def cut_words(text: TextArray) -> Words:
    """Find the words of each text. A null text has no words."""
    buffers = text_buffers(text)
    # Every byte may be a word. Pages that are never touched cost no memory.
    size = int(buffers.offsets[-1] - buffers.offsets[0])
    found = Words(np.zeros(len(buffers) + 1, np.int64), *(np.empty(size, np.int32) for _ in range(3)))
    room = scratch(2 * buffers.longest)
    for data, offsets, first, last in buffers.parts():
        _cut_words(data, offsets, first, last, buffers.valid, character_classes(), exceptions(), room, found)
    return found


def english_words(text: TextArray) -> list[list[str]]:
    """The words of each text as strings, for tests and inspection; kernels use `cut_words`. A null text has none."""
    buffers, words = text_buffers(text), cut_words(text)
    found: list[list[str]] = []
    for document in range(len(buffers)):
        whole = buffers.data[buffers.offsets[document] : buffers.offsets[document + 1]].tobytes()
        span = slice(words.ends[document], words.ends[document + 1])
        spans = zip(words.starts[span].tolist(), words.stops[span].tolist(), strict=True)
        found.append([whole[start:stop].decode() for start, stop in spans])
    return found


@entry
def _cut_words(data, offsets, first, last, valid, classes, exceptions, room, found):
    for document in range(first, last):
        behind = found.ends[document]
        count = 0
        if valid[document]:
            count = find_english_words(data, offsets[document], offsets[document + 1], classes, exceptions, room)
        for word in range(count):
            found.starts[behind + word] = room.starts[word]
            found.stops[behind + word] = room.stops[word]
            found.lengths[behind + word] = room.lengths[word]
        found.ends[document + 1] = behind + count


@inlined
def take_words(words, document, room):
    """Copy the words of a document to `room`; return their number."""
    first = words.ends[document]
    count = words.ends[document + 1] - first
    for word in range(count):
        room.starts[word] = words.starts[first + word]
        room.stops[word] = words.stops[first + word]
        room.lengths[word] = words.lengths[first + word]
    return count


@inner
def _pieces(data, start, stop, table):
    """The sizes of the pieces of a string with a special split, one byte each; 0 for any other string."""
    size = np.uint64(stop - start)
    head = load64(data, start) & (_ALL >> np.uint64(64 - 8 * min(stop - start, 8)))
    bit = ((head + size) * _SPREAD) >> _SIEVE_SHIFT
    if size > 63 or not table.sieve[bit >> np.uint64(6)] >> (bit & np.uint64(63)) & _ONE:
        return np.uint32(0)
    mask = np.uint64(len(table.keys) - 1)
    key = hash_bytes(data, start, stop, _SEED)
    slot = key & mask
    while table.pieces[slot] and table.keys[slot] != key:
        slot = (slot + _ONE) & mask
    return table.pieces[slot]


@inner
def _is_digit(code_point):
    return 0x30 <= code_point <= 0x39


@inner
def _dots(data, position, stop):
    """The number of consecutive dots from a position on."""
    count = 0
    while position + count < stop and data[position + count] == _DOT:
        count += 1
    return count


@inlined
def _prefix(data, start, stop, classes):
    """The size in bytes of the prefix to split off; 0 if there is none."""
    code_point, size = decode(data, start, stop)
    if classes[code_point] & PREFIX:
        return size
    if code_point == _DOT:
        dots = _dots(data, start, stop)
        return dots if dots > 1 else 0
    if code_point == _PLUS:
        return 0 if start + 1 < stop and _is_digit(data[start + 1]) else 1
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
def _suffix(data, start, stop, classes):
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
        cut = 1 if _is_digit(before) else 0
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
    if _is_digit(before):
        return size
    if code_point == _DOLLAR:
        for letters in range(1, 3):
            first = stop - 1 - letters
            if first > start and _is_digit(data[first - 1]) and _dollar(data, first, stop) == letters + 1:
                return letters + 1
    return 0


@inner
def _suffix_unit(data, start, stop):
    """The size in bytes of a unit at the end, if a digit precedes it; else 0."""
    for size in range(1, min(8, stop - start - 1) + 1):
        if _is_digit(data[stop - size]):
            return 0
        if _is_digit(data[stop - size - 1]):
            last = load_few(data, stop - size, size)
            for unit in _UNITS:
                # A string that ends in NUL would otherwise equal a unit padded with zeros.
                if unit == last and data[stop - 1]:
                    return size
            return 0
    return 0


@inlined
def _is_address(data, start, stop, classes):
    """Whether a string is a URL, a host name, an e-mail address or an IP address, as spaCy's url_match defines them."""
    if find_byte(data, start, stop, np.uint8(_DOT)) == stop:
        return False
    if _is_host(data, start, stop, classes):
        return True
    colon = start
    while colon < stop and _is_of_scheme(data[colon]):
        colon += 1
    has_scheme = colon - start >= 2 and colon + 3 < stop and load_few(data, colon, 3) == _COLON_SLASHES
    if has_scheme and _is_host(data, colon + 3, stop, classes):
        return True
    for position in range(start + 1, stop - 1):
        if data[position] == _AT and _is_host(data, position + 1, stop, classes):
            return True
    return False


@inner
def _is_of_scheme(byte):
    letter = 0x61 <= (byte | 0x20) <= 0x7A
    return letter or _is_digit(byte) or byte >= 0x80 or byte in (_PLUS, _HYPHEN, _DOT, _UNDERSCORE)


@inner
def _is_host(data, start, stop, classes):
    """Whether a string is a host name or IP address, optionally followed by a port and a path."""
    position = start
    labels = label_characters = 0
    host = lower = True
    last = 0
    while position < stop:
        code_point, size = decode(data, position, stop)
        kind = classes[code_point]
        if code_point == _DOT:
            if not (host and 1 <= label_characters <= 64 and classes[last] & HOST):
                return False
            labels += 1
            label_characters, lower = 0, True
        elif kind & (HOST | LOWER) or (code_point in (_HYPHEN, _UNDERSCORE) and label_characters):
            label_characters += 1
            lower &= (kind & LOWER) != 0
            # Lower-case letters above U+FFFF may occur in the last label of a host name only.
            host &= code_point <= 0xFFFF
        else:
            break
        last = code_point
        position += size
    if labels and lower and 2 <= label_characters <= 63:
        return _is_port_or_path(data, position, stop)
    address = _after_ip_address(data, start, stop)
    return address > start and _is_port_or_path(data, address, stop)


@inner
def _is_port_or_path(data, position, stop):
    if position < stop and data[position] == _COLON:
        digits = 0
        while position + 1 + digits < stop and _is_digit(data[position + 1 + digits]):
            digits += 1
        if not 2 <= digits <= 5:
            return False
        position += 1 + digits
    return position == stop or data[position] in (_SLASH, _QUESTION, _HASH)


@inner
def _after_ip_address(data, start, stop):
    """The position after a public IPv4 address that begins at `start`; `start` if there is none."""
    position = start
    first = second = 0
    for octet in range(4):
        digits = value = 0
        begin = position
        while position < stop and digits < 4 and _is_digit(data[position]):
            value = 10 * value + data[position] - 0x30
            digits += 1
            position += 1
        leading_zero = data[begin] == 0x30
        highest = 223 if octet == 0 else 254 if octet == 3 else 255
        if not 1 <= digits <= 3 or value > highest or (octet in (0, 3) and leading_zero):
            return start
        first = value if octet == 0 else first
        second = value if octet == 1 else second
        if octet < 3:
            if position == stop or data[position] != _DOT:
                return start
            position += 1
    private = first in (10, 127) or (first == 169 and second == 254) or (first == 192 and second == 168)
    return start if private or (first == 172 and 16 <= second <= 31) else position


@inlined
def _push(data, start, first, stop, foreign, room, count):
    room.starts[count] = first - start
    room.stops[count] = stop - start
    room.lengths[count] = count_characters(data, first, stop) if foreign else stop - first
    return count + 1


@inlined
def _push_pieces(data, start, first, pieces, foreign, room, count):
    left = np.uint64(pieces)
    while left:
        stop = first + np.int64(left & _BYTE)
        count = _push(data, start, first, stop, foreign, room, count)
        first = stop
        left >>= np.uint64(8)
    return count


@inlined
def _infix(data, start, position, stop, before, code_point, size, classes):
    """The size in bytes of an infix at a position, or 0; `before` is the class of the character before it."""
    if code_point == _DOT and position + 1 < stop and data[position + 1] == _DOT:
        return _dots(data, position, stop)
    if code_point == _ELLIPSIS or classes[code_point] & ICON:
        return size
    if position == start or position + size == stop:
        return 0
    following, _ = decode(data, position + size, stop)
    behind = classes[following]
    digit_before = _is_digit(data[position - 1])
    is_operator = digit_before and code_point in (_PLUS, _HYPHEN, _ASTERISK, _CARET)
    if is_operator and (_is_digit(following) or following == _HYPHEN):
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


@inlined
def _cut_inside(data, start, first, stop, classes, foreign, room, count):
    """Split a string without prefixes and suffixes at its infixes; return the new number of words."""
    position = word = first
    before = np.uint16(0)
    while position < stop:
        code_point, size = decode(data, position, stop)
        kind = classes[code_point]
        infix = 0
        if not kind & CASED_ALPHA or kind & ICON:
            infix = _infix(data, first, position, stop, before, code_point, size, classes)
        if infix and position > first:
            if position > word:
                count = _push(data, start, word, position, foreign, room, count)
            count = _push(data, start, position, position + infix, foreign, room, count)
            word = position + infix
        if infix > size:
            position += infix
            code_point, _ = decode_before(data, first, position)
            before = classes[code_point]
        else:
            position += size
            before = kind
    if word < stop:
        count = _push(data, start, word, stop, foreign, room, count)
    return count


@inlined
def _cut_run(data, start, first, stop, signs, classes, exceptions, foreign, room, count):
    """Split a run without ASCII white space, using the cached split if there is one; return the new number of words."""
    while first < stop:
        solid_end, space = _solid_end(data, first, stop, classes, foreign)
        if first < solid_end:
            # The same runs occur many times in a text, so their splits are cached.
            key = hash_bytes(data, first, solid_end, _SEED)
            slot = key & np.uint64(len(room.runs) - 1)
            pieces = room.cuts[slot] if room.runs[slot] == key else _NONE
            if pieces:
                count = _push_pieces(data, start, first, pieces, foreign, room, count)
            else:
                begun = count
                count = _cut(data, start, first, solid_end, signs, classes, exceptions, foreign, room, count)
                if solid_end - first <= _REMEMBERED:
                    _remember(key, begun, count, room)
        first = solid_end + space
    return count


@inlined
def _remember(key, begun, count, room):
    """Cache the split of a run; its words are those from `begun` up to, but not including, `count`."""
    if count - begun <= 8:
        slot = key & np.uint64(len(room.runs) - 1)
        room.runs[slot] = key
        room.cuts[slot] = _NONE
        for word in range(begun, count):
            size = np.uint64(room.stops[word] - room.starts[word])
            room.cuts[slot] |= size << np.uint64(8 * (word - begun))


@inlined
def _cut(data, start, first, stop, signs, classes, exceptions, foreign, room, count):
    """Split a run without white space; return the new number of words.

    Args:
        signs: a mask of the bytes that may be an infix or part of an address. What the affixes leave is one word if it
            contains none of them.
    """
    begun = count
    origin = first
    suffixes = 0
    pieces = np.uint32(0)
    last_size = -1
    while first < stop and stop - first != last_size:
        pieces = _pieces(data, first, stop, exceptions.alone)
        if pieces:
            break
        last_size = stop - first
        prefix = _prefix(data, first, stop, classes)
        if prefix and first + prefix < stop and _pieces(data, first + prefix, stop, exceptions.alone):
            count = _push(data, start, first, first + prefix, foreign, room, count)
            first += prefix
            break
        suffix = _suffix(data, first + prefix, stop, classes)
        if suffix and first < stop - suffix and _pieces(data, first, stop - suffix, exceptions.alone):
            room.positions[suffixes] = stop
            suffixes += 1
            stop -= suffix
            break
        if prefix:
            count = _push(data, start, first, first + prefix, foreign, room, count)
            first += prefix
        if suffix:
            room.positions[suffixes] = stop
            suffixes += 1
            stop -= suffix
    if first < stop:
        pieces = _pieces(data, first, stop, exceptions.alone)
        inside = (signs >> np.uint64(min(first - origin, 63))) & low_bits(stop - first)
        if pieces:
            count = _push_pieces(data, start, first, pieces, foreign, room, count)
        elif not inside or _is_address(data, first, stop, classes):
            count = _push(data, start, first, stop, foreign, room, count)
        else:
            count = _cut_inside(data, start, first, stop, classes, foreign, room, count)
    while suffixes:
        suffixes -= 1
        count = _push(data, start, stop, room.positions[suffixes], foreign, room, count)
        stop = room.positions[suffixes]
    if count - begun > 1:
        count = _merge(data, start, begun, count, exceptions, foreign, room)
    return count


@inlined
def _merge(data, start, begun, count, exceptions, foreign, room):
    """Replace adjacent words that form a string with a special split by its pieces; return the new number of words."""
    kept = word = begun
    while word < count:
        first = start + room.starts[word]
        behind, pieces = _joined(data, start, word, count, exceptions, room)
        if pieces:
            kept = _push_pieces(data, start, first, pieces, foreign, room, kept)
        else:
            room.starts[kept] = room.starts[word]
            room.stops[kept] = room.stops[word]
            room.lengths[kept] = room.lengths[word]
            kept += 1
        word = behind
    return kept


@inlined
def _joined(data, start, word, count, exceptions, room):
    """Find the longest sequence of words, beginning with `word`, that forms a string with a special split.

    Returns:
        the index of the word after the sequence, and its pieces; `word + 1` and 0 if there is no such sequence.
    """
    first = start + room.starts[word]
    sizes = exceptions.joined.first[data[first]]
    found = word + 1
    pieces = np.uint32(0)
    behind = word + 2
    while sizes and behind <= count:
        size = start + room.stops[behind - 1] - first
        if size > 63 or not sizes >> np.uint64(size):
            break
        split = _pieces(data, first, first + size, exceptions.joined)
        if split and not _has_joined(data, start, word, behind, exceptions, room):
            found, pieces = behind, split
        behind += 1
    return found, pieces


@inlined
def _has_joined(data, start, word, behind, exceptions, room):
    """Whether one of the words is itself one of the joined strings; spaCy matches sequences of their parts instead."""
    for each in range(word, behind):
        first, stop = start + room.starts[each], start + room.stops[each]
        if room.lengths[each] > 1 and _pieces(data, first, stop, exceptions.joined):
            return True
    return False


@inner
def _solid_end(data, position, stop, classes, foreign):
    """The position of the first Unicode white space in a run without ASCII white space, and its size in bytes."""
    while foreign and position < stop:
        code_point, size = decode(data, position, stop)
        if classes[code_point] & SPACE:
            return position, size
        position += size
    return stop, 0


@inner
def ascii_spaces(data, position):
    """A mask of the bytes, among 64, that are ASCII white space by `str.isspace`."""
    spaces = equal64(data, position, np.uint8(_SPACE)) | between64(data, position, np.uint8(0x09), np.uint8(0x0D))
    return spaces | between64(data, position, np.uint8(0x1C), np.uint8(0x1F))


@inner
def _run_end(data, position, end):
    """The position of the next ASCII white space, and whether characters that are not ASCII come before it."""
    foreign = False
    while position < end:
        spaces = ascii_spaces(data, position)
        size = min(first_one(spaces), end - position)
        foreign |= (between64(data, position, np.uint8(0x80), np.uint8(0xFF)) & low_bits(size)) != 0
        position += size
        if size < 64:
            break
    return position, foreign


@inner
def _signs(data, position):
    """A mask of the bytes, among 64, that may separate letters or digits: `*+,-./`, `:;<=>`, `^`, `~`."""
    signs = between64(data, position, np.uint8(_ASTERISK), np.uint8(_SLASH))
    signs |= between64(data, position, np.uint8(_COLON), np.uint8(_GREATER))
    return signs | equal64(data, position, np.uint8(_CARET)) | equal64(data, position, np.uint8(_TILDE))


@inner
def _marks(data, position):
    """A mask of the bytes, among 64, that are one of `, . : ; ? !`."""
    marks = equal64(data, position, np.uint8(_COMMA)) | equal64(data, position, np.uint8(_DOT))
    marks |= between64(data, position, np.uint8(_COLON), np.uint8(_SEMICOLON))
    return marks | equal64(data, position, np.uint8(_QUESTION)) | equal64(data, position, np.uint8(_EXCLAMATION))


@inlined
def _is_marked(data, first, stop, exceptions):
    """Whether letters and the mark after them are two words: neither the whole nor the letters have a special split."""
    whole = _pieces(data, first, stop, exceptions.alone)
    return not whole and not _pieces(data, first, stop - 1, exceptions.alone)


@inner
def find_english_words(data, start, end, classes, exceptions, room):
    """Find the words of `data[start:end]`.

    Args:
        classes: the result of `english_tables.character_classes`.
        exceptions: the result of `exceptions`.
        room: Scratch for a text twice as long, because every byte may be a word. Its `starts`, `stops` and `lengths`
            receive the first byte of each word, the byte after it, and its number of characters.

    Returns:
        the number of words.
    """
    count = 0
    position = start
    while position < end:
        inside = low_bits(end - position)
        solid = inside & ~ascii_spaces(data, position)
        letters = between64(data, position, _A, _Z) | between64(data, position, _a, _z)
        digits = between64(data, position, _0, _9)
        # Marks between a lower-case letter and white space, as at the end of most words that are not only letters.
        marks = (between64(data, position, _a, _z) << _ONE) & (~solid >> _ONE) & _marks(data, position)
        left = solid & ~(solid << _ONE)
        following = position + 64
        while left:
            bit = first_one(left)
            size = first_one(~(solid >> np.uint64(bit)))
            first = position + bit
            stop = first + size
            foreign = False
            run = low_bits(size) << np.uint64(bit)
            if bit + size == 64 and position + 64 < end:
                if bit:
                    # The run may continue after this block, so the next block begins with it.
                    following = first
                    break
                stop, foreign = _run_end(data, first, end)
                following = stop
                run = _NONE
            if run and (size == 1 or not run & ~letters or not run & ~digits):
                pieces = _pieces(data, first, stop, exceptions.alone)
                if pieces:
                    count = _push_pieces(data, start, first, pieces, False, room, count)
                else:
                    count = _push(data, start, first, stop, False, room, count)
            elif run and not run & ~(letters | marks) and _is_marked(data, first, stop, exceptions):
                count = _push(data, start, first, stop - 1, False, room, count)
                count = _push(data, start, stop - 1, stop, False, room, count)
            else:
                foreign |= (between64(data, first, np.uint8(0x80), np.uint8(0xFF)) & low_bits(size)) != 0
                signs = _signs(data, first) if run and not foreign else _ALL
                count = _cut_run(data, start, first, stop, signs, classes, exceptions, foreign, room, count)
            left &= left - _ONE
        position = following
    return count
