"""fastText's words: their hashes, their pieces, and their rows of the input matrix.

Words of the dictionary are in a hash table, by a 64-bit hash of our own. Other words are cached by the same hash until
another word needs their slot.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from spark_jobs.kernels.blocks import low_bits, ones
from spark_jobs.kernels.compiled import entry, inner, instruction
from spark_jobs.kernels.hashing import hash_bytes
from spark_jobs.kernels.inlined import inlined

WORD = np.dtype(
    [("key", "u8"), ("hash", "u4"), ("rows", "i4"), ("place", "i4"), ("kind", "i4"), ("sum", "f4"), ("", "i4")]
)
"""Fields of a word: our hash, fastText's hash, the number of its rows, the index of their sum, its kind, and the sum
itself if rows have one number. A record takes half a cache line."""

COUNTED, PASSED_OVER, LAST = range(3)
"""Kinds of words: one that counts, a label, or the end of the line."""
LINE_END = np.frombuffer(b"</s>", np.uint8)
"""The word that ends a line, even if it occurs in the text itself."""
LINE_END_HASH = np.uint64(0xFFFFFFFFD79C9359)
"""fastText's hash of that word, signed like all of its hashes."""
LANES = 8
"""Number of values that are added at once. The width of a row is 1 or a multiple of it."""

_LABEL = np.frombuffer(b"__label__", np.uint8)
_FNV_START, _FNV_FACTOR = np.uint32(2166136261), np.uint32(16777619)
_SEED = np.uint64(0)
_NONE, _ONE = np.uint64(0), np.uint64(1)
_BEGIN, _END = np.uint8(ord("<")), np.uint8(ord(">"))
_REMEMBERED_BYTES = 1 << 22
"""Size in bytes of the cache of words that the dictionary lacks."""


class Tables(NamedTuple):
    """A model in the layout that the kernels read. Rows have `width` float32 each, one after another."""

    words: np.ndarray
    """WORD, hash table of the dictionary, with key 0 in an empty slot."""
    sums: np.ndarray
    """float32, the sum of each word's row and the rows of its pieces."""
    rows: np.ndarray
    """float32, the rows of hashed n-grams, and one row of zeros."""
    kept: np.ndarray
    """uint64, a bit for each bucket: whether it has a row, if some were pruned."""
    kept_before: np.ndarray
    """int32, number of kept buckets before each group of 64."""
    pruned: bool
    width: int
    """1 if rows are folded, else the model's dim, rounded up."""
    line_end: int
    """Index of the word that ends a line; -1 if the dictionary lacks it."""
    buckets: np.uint64
    inverse: np.uint64
    """(2^64 - 1) // buckets."""
    shortest: int
    longest: int
    word_ngrams: int


class Room(NamedTuple):
    """Buffers that a call writes to: the cache of words that the dictionary lacks, and the contents of one text."""

    met: np.ndarray
    """WORD, a slot for each hash."""
    sums: np.ndarray
    """float32, a row for each slot."""
    starts: np.ndarray
    """int32, first byte of each token of a text, relative to the text's first."""
    stops: np.ndarray
    """int32, the byte after each token."""
    keys: np.ndarray
    """uint64, our hash of each token."""
    hashes: np.ndarray
    """uint64, fastText's hash of each word."""
    runs: np.ndarray
    """uint64, hash of the run that begins at each word."""
    marked: np.ndarray
    """uint8, one word between its boundary marks."""
    pieces: np.ndarray
    """uint64, hashes of the pieces of one word."""
    places: np.ndarray
    """int64, rows of hashed n-grams."""
    exact: np.ndarray
    """float64, the sum of their rows; a word may have 100,000 rows."""


def room_for(width: int, longest_piece: int, longest: int) -> Room:
    """Buffers for a text of `longest` bytes. Pages that are never touched cost no memory."""
    met = 1 << (_REMEMBERED_BYTES // (WORD.itemsize + 4 * width)).bit_length() - 1
    tokens = longest // 2 + 2
    return Room(
        met=np.zeros(met, WORD),
        sums=np.zeros(met * width, np.float32),
        starts=np.empty(tokens, np.int32),
        stops=np.empty(tokens, np.int32),
        keys=np.empty(tokens, np.uint64),
        hashes=np.empty(tokens, np.uint64),
        runs=np.empty(tokens, np.uint64),
        marked=np.empty(longest + 2, np.uint8),
        pieces=np.empty((longest + 2) * longest_piece, np.uint64),
        places=np.empty((longest + 2) * max(longest_piece, 1), np.int64),
        exact=np.zeros(width),
    )


@instruction
def _high(typing: Any, left: Any, right: Any) -> Any:
    """The high 64 bits of a product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        double = ir.IntType(128)
        wide = builder.mul(*(builder.zext(argument, double) for argument in arguments))
        return builder.trunc(builder.lshr(wide, ir.Constant(double, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@inner
def _remainder(value, divisor, inverse):
    """`value` modulo `divisor`; `inverse` is (2^64 - 1) // divisor."""
    rest = value - _high(value, inverse) * divisor
    # The quotient may be too small by one.
    return np.int64(rest - divisor if rest >= divisor else rest)


@inner
def _step(hashed, byte):
    # Bytes are signed in fastText's FNV-1a, so bytes from 0x80 on flip the upper bits too.
    return np.uint32((hashed ^ np.uint32(np.int32(np.int8(byte)))) * _FNV_FACTOR)


@inner
def _fnv(data, start, stop):
    hashed = _FNV_START
    for position in range(start, stop):
        hashed = _step(hashed, data[position])
    return hashed


@inner
def _begins_with(data, start, stop, word):
    """Whether a token begins with a word."""
    if stop - start < len(word):
        return False
    place = 0
    while place < len(word) and data[start + place] == word[place]:
        place += 1
    return place == len(word)


@inner
def key_of(data, start, stop):
    """Our hash of a token; never 0."""
    return hash_bytes(data, start, stop, _SEED) | _ONE


@inner
def find_word(key, words):
    """The slot of a word in the hash table of the dictionary, or the empty slot where it belongs."""
    mask = len(words) - 1
    place = np.int64(key >> _ONE) & mask
    while words[place].key not in (key, _NONE):
        place = (place + 1) & mask
    return place


@inner
def note(data, start, stop, word):
    """Record what the bytes of a token determine: fastText's hash and the kind."""
    word.hash = _fnv(data, start, stop)
    word.kind = COUNTED
    if stop - start == len(LINE_END) and _begins_with(data, start, stop, LINE_END):
        word.kind = LAST
    elif _begins_with(data, start, stop, _LABEL):
        word.kind = PASSED_OVER


@instruction
def _add_lanes(typing: Any, into: Any, place: Any, row: Any, first: Any) -> Any:
    """Add `row[first : first + LANES]`, float32, to as many float64 from `into[place]` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def start(which: int, lane: Any) -> Any:
            array = context.make_array(signature.args[which])(context, builder, arguments[which])
            pointer = builder.gep(array.data, [arguments[which + 1]])
            return builder.bitcast(pointer, ir.VectorType(lane, LANES).as_pointer())

        sums = start(0, ir.DoubleType())
        wide = builder.fpext(builder.load(start(2, ir.FloatType()), align=4), ir.VectorType(ir.DoubleType(), LANES))
        builder.store(builder.fadd(builder.load(sums, align=8), wide), sums, align=8)
        return context.get_dummy_value()

    return types.none(into, types.int64, row, types.int64), generate


@inner
def add_row(into, line, rows, place, width):
    if width == 1:
        into[line] += rows[place]
    else:
        for i in range(0, width, LANES):
            _add_lanes(into, line * width + i, rows, place * width + i)


@inlined
def add_rows(hashes, count, tables, places, sums, line):
    """Add the rows of hashed n-grams to a line of `sums`; return their number without the pruned ones.

    Args:
        places: int64, scratch with room for `count` values.
    """
    kept, rows, width = tables.kept, tables.rows, tables.width
    found = 0
    for i in range(count):
        place = _remainder(hashes[i], tables.buckets, tables.inverse)
        places[found] = place
        # Without a branch: nine of ten are pruned, and the processor cannot predict which.
        found += not tables.pruned or (kept[place >> 6] >> np.uint64(place & 63)) & _ONE != 0
    only = 0.0
    for i in range(found):
        place = places[i]
        if tables.pruned:
            place = np.int64(tables.kept_before[place >> 6]) + ones(kept[place >> 6] & low_bits(place & 63))
        if width == 1:
            only += rows[place]
        else:
            add_row(sums, line, rows, place, width)
    if width == 1:
        sums[line] += only
    return found


@inlined
def _find_pieces(data, start, stop, tables, marked, pieces):
    """Hash the pieces of a word, boundary marks included (`computeSubwords`); return their number."""
    size = stop - start + 2
    marked[0], marked[size - 1] = _BEGIN, _END
    for i in range(stop - start):
        marked[1 + i] = data[start + i]
    count = 0
    for first in range(size):
        if (marked[first] & 0xC0) == 0x80:
            continue
        hashed = _FNV_START
        position, characters = first, 1
        while position < size and characters <= tables.longest:
            hashed = _step(hashed, marked[position])
            position += 1
            while position < size and (marked[position] & 0xC0) == 0x80:
                hashed = _step(hashed, marked[position])
                position += 1
            alone = characters == 1 and (first == 0 or position == size)
            if characters >= tables.shortest and not alone:
                pieces[count] = hashed
                count += 1
            characters += 1
    return count


@inlined
def _sum_pieces(data, start, stop, tables, room):
    """Add the rows of the pieces of a word to `room.exact`; return their number."""
    if tables.longest <= 0:
        return 0
    count = _find_pieces(data, start, stop, tables, room.marked, room.pieces)
    return add_rows(room.pieces, count, tables, room.places, room.exact, 0)


@entry
def index_words(text, starts, stops, tables, room):
    """Fill the hash table of the dictionary: words with their sums first, then labels."""
    for number in range(len(starts)):
        start, stop = starts[number], stops[number]
        key = key_of(text, start, stop)
        word = tables.words[find_word(key, tables.words)]
        if word.key == key:
            continue
        word.key, word.place = key, number
        note(text, start, stop, word)
        if number * tables.width >= len(tables.sums):
            word.kind = PASSED_OVER
            continue
        word.rows = 1
        if word.kind != LAST:
            word.kind = COUNTED
            room.exact[:] = 0.0
            word.rows += _sum_pieces(text, start, stop, tables, room)
            for i in range(tables.width):
                tables.sums[number * tables.width + i] += room.exact[i]
        word.sum = tables.sums[number * tables.width]


@inlined
def learn(data, start, stop, key, place, tables, room):
    """Cache a word that the dictionary lacks, in place of the word that was in its slot."""
    word = room.met[place]
    word.key, word.place, word.rows = key, place, 0
    note(data, start, stop, word)
    room.exact[:] = 0.0
    if word.kind == COUNTED:
        word.rows = _sum_pieces(data, start, stop, tables, room)
    for i in range(tables.width):
        room.sums[place * tables.width + i] = room.exact[i]
    word.sum = room.exact[0]
