"""Words as spaCy's tokenizer finds them in English (explosion/spaCy 3.8.18, spacy/tokenizer.pyx), as datatrove uses it.

A run of characters that are not white space is cut up: off its front and its end go punctuation, quotes, symbols,
currencies, units behind digits, `'s`; what is left is one word if it is a string with pieces of its own
(`english_tables.exception_pieces`) or an address, else it is cut at dots, hyphens, commas, colons and slashes between
letters. Last, neighbours that make up one of those strings, as `:` and `)`, become its pieces. White space is no word.

Two things are left out: a match of neighbours across white space, which spaCy undoes later, may keep it from joining
others there; and of overlapping matches it takes the longest first, this the leftmost first.
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
"""Bytes that a run has at most whose words are remembered."""
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
    """The strings that are cut in a way of their own, for kernels."""
    alone = exception_pieces()
    # spaCy's matcher looks for those that its affixes cut, which leaves out contractions and bare words.
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
    """Where the words of documents are, cut once for all that count them."""

    ends: np.ndarray
    """int64, how many words there are up to each document's first; one more than documents."""
    starts: np.ndarray
    """int32, first byte of each word, from its document's first."""
    stops: np.ndarray
    """int32, the byte behind it."""
    lengths: np.ndarray
    """int32, its characters."""


def cut_words(text: TextArray) -> Words:
    """Find the words of each text; none of a null text."""
    buffers = text_buffers(text)
    # Each byte may be a word; what is never touched costs no memory.
    size = int(buffers.offsets[-1] - buffers.offsets[0])
    found = Words(np.zeros(len(buffers) + 1, np.int64), *(np.empty(size, np.int32) for _ in range(3)))
    room = scratch(2 * buffers.longest)
    for data, offsets, first, last in buffers.parts():
        _cut_words(data, offsets, first, last, buffers.valid, character_classes(), exceptions(), room, found)
    return found


def english_words(text: TextArray) -> list[list[str]]:
    """The words of each text; none of a null text. For looking at: kernels that count use `cut_words`."""
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
    """Put the words of a document into `room`; how many there are."""
    first = words.ends[document]
    count = words.ends[document + 1] - first
    for word in range(count):
        room.starts[word] = words.starts[first + word]
        room.stops[word] = words.stops[first + word]
        room.lengths[word] = words.lengths[first + word]
    return count


@inner
def _pieces(data, start, stop, table):
    """The pieces of a string with pieces of its own, a byte each; 0 for any other string."""
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
    """How many dots there are from a position on."""
    count = 0
    while position + count < stop and data[position + count] == _DOT:
        count += 1
    return count


@inlined
def _prefix(data, start, stop, classes):
    """Bytes to cut off the front."""
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
    """Bytes of US$, C$ or A$ at a position."""
    for dollar in _DOLLARS:
        size = 3 if dollar >> np.uint64(16) else 2
        if start + size <= stop and load_few(data, start, size) == dollar:
            return size
    return 0


@inlined
def _suffix(data, start, stop, classes):
    """Bytes to cut off the end: as much as can be."""
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
    """Whether a digit is among the last eight bytes but one, as one is before a unit."""
    bytes_ = load64(data, stop - 9) ^ _ZEROS
    # A byte is a digit if it is less than ten now; carries may say so of others, which is looked at again.
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
    """Bytes of a unit behind a digit."""
    for size in range(1, min(8, stop - start - 1) + 1):
        if _is_digit(data[stop - size]):
            return 0
        if _is_digit(data[stop - size - 1]):
            last = load_few(data, stop - size, size)
            for unit in _UNITS:
                # A unit has no zero byte that could pass for the zeros behind it.
                if unit == last and data[stop - 1]:
                    return size
            return 0
    return 0


@inlined
def _is_address(data, start, stop, classes):
    """Whether a string is a URL, a host name, an e-mail address or an IP address, as spaCy's url_match says."""
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
    """Whether a string is a host, with or without a port and a path."""
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
            # Small letters beyond U+FFFF end a host name, but are not within it.
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
    """The position behind a public IPv4 address; `start` if there is none."""
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
    """Bytes of an infix at a position; 0 where there is none. `before` is the class of the character before it."""
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
    """Whether a sign parts the characters around it, of these classes."""
    if code_point == _DOT:
        return (before & (LOWER | QUOTE)) != 0 and (behind & (UPPER | QUOTE)) != 0
    if code_point == _COMMA:
        return (before & behind & CASED_ALPHA) != 0
    if code_point in (_COLON, _LESS, _EQUAL, _GREATER, _SLASH, _TILDE, _EN_DASH):
        return ((before & CASED_ALPHA) != 0 or digit_before) and (behind & CASED_ALPHA) != 0
    return False


@inner
def _hyphens(data, position, stop, code_point, size, classes):
    """Bytes of the hyphens (at most three) or dashes (two) at a position, if a letter follows."""
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
    """Cut at infixes what affixes have left."""
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
    """Cut up one run without white space of ASCII, as it was cut before if it is remembered."""
    while first < stop:
        solid_end, space = _solid_end(data, first, stop, classes, foreign)
        if first < solid_end:
            # Texts say the same things again and again.
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
    """Remember how a run was cut, whose words are the last ones."""
    if count - begun <= 8:
        slot = key & np.uint64(len(room.runs) - 1)
        room.runs[slot] = key
        room.cuts[slot] = _NONE
        for word in range(begun, count):
            size = np.uint64(room.stops[word] - room.starts[word])
            room.cuts[slot] |= size << np.uint64(8 * (word - begun))


@inlined
def _cut(data, start, first, stop, signs, classes, exceptions, foreign, room, count):
    """Cut up one run without white space; bits of `signs` tell where it may be parted, or be an address."""
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
    """Make neighbours that are a string with pieces of its own into these."""
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
    """The most neighbours from a word on that are such a string.

    Returns:
        the word behind them, their pieces; the next word and 0 if there are none.
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
        told = _pieces(data, first, first + size, exceptions.joined)
        if told and not _has_joined(data, start, word, behind, exceptions, room):
            found, pieces = behind, told
        behind += 1
    return found, pieces


@inlined
def _has_joined(data, start, word, behind, exceptions, room):
    """Whether one of some words is of those that are joined from others: spaCy looks for the others."""
    for each in range(word, behind):
        first, stop = start + room.starts[each], start + room.stops[each]
        if room.lengths[each] > 1 and _pieces(data, first, stop, exceptions.joined):
            return True
    return False


@inner
def _solid_end(data, position, stop, classes, foreign):
    """The first white space of Unicode from a position on in a run without that of ASCII, and its bytes."""
    while foreign and position < stop:
        code_point, size = decode(data, position, stop)
        if classes[code_point] & SPACE:
            return position, size
        position += size
    return stop, 0


@inner
def ascii_spaces(data, position):
    """Which of 64 bytes are white space to `str.isspace`, as far as ASCII goes."""
    spaces = equal64(data, position, np.uint8(_SPACE)) | between64(data, position, np.uint8(0x09), np.uint8(0x0D))
    return spaces | between64(data, position, np.uint8(0x1C), np.uint8(0x1F))


@inner
def _run_end(data, position, end):
    """The first white space of ASCII from a position on; whether there is anything but ASCII before it."""
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
    """Which of 64 bytes may part letters or digits: `*+,-./`, `:;<=>`, `^`, `~`."""
    signs = between64(data, position, np.uint8(_ASTERISK), np.uint8(_SLASH))
    signs |= between64(data, position, np.uint8(_COLON), np.uint8(_GREATER))
    return signs | equal64(data, position, np.uint8(_CARET)) | equal64(data, position, np.uint8(_TILDE))


@inner
def _marks(data, position):
    """Which of 64 bytes are `, . : ; ? !`."""
    marks = equal64(data, position, np.uint8(_COMMA)) | equal64(data, position, np.uint8(_DOT))
    marks |= between64(data, position, np.uint8(_COLON), np.uint8(_SEMICOLON))
    return marks | equal64(data, position, np.uint8(_QUESTION)) | equal64(data, position, np.uint8(_EXCLAMATION))


@inlined
def _is_marked(data, first, stop, exceptions):
    """Whether letters and a mark are two words, as neither is of a string with pieces of its own."""
    whole = _pieces(data, first, stop, exceptions.alone)
    return not whole and not _pieces(data, first, stop - 1, exceptions.alone)


@inner
def find_english_words(data, start, end, classes, exceptions, room):
    """Find the words of `data[start:end]`.

    Args:
        classes: of `english_tables.character_classes`.
        exceptions: of `exceptions`.
        room: Scratch for a text twice as long, as each byte may be a word; takes the first byte of each word, the
            one behind it, and its characters.

    Returns:
        how many words there are.
    """
    count = 0
    position = start
    while position < end:
        inside = low_bits(end - position)
        solid = inside & ~ascii_spaces(data, position)
        letters = between64(data, position, _A, _Z) | between64(data, position, _a, _z)
        digits = between64(data, position, _0, _9)
        # A mark behind a small letter, white space behind it: the end of most words that are not letters alone.
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
                    # The run may go on behind this block: it begins the next.
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
