"""Byte-level BPE: token ids of documents, the same as those of the tokenizers library.

A text is split into words by the regular expression of GPT-2 (openai/gpt-2, src/encoder.py): a contraction; or a run of
letters, of numbers or of other characters with at most one space before it; or white space, whose last character is
left to the next word if one follows. Within a word, the pair of tokens that was merged first in training is merged
first, and the leftmost of equal pairs (Sennrich et al., arXiv 1508.07909), until no pair of the word is a known merge.

The tokens of a word are cached by its 64-bit hash until another word needs their slot.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spark_jobs.kernels.blocks import between64, equal64, first_one, low_bits
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.hashing import KEY_0, KEY_1, fold, hash_bytes
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.unicode_tables import ALNUM, ALPHA, SPACE, properties
from spark_jobs.kernels.words import decode

OTHER, LETTER, NUMBER, WHITE_SPACE = range(4)
"""Character classes of the regular expression: the rest, \\p{L}, \\p{N}, \\s."""

_REMEMBERED = 1 << 16
_TOKENS_REMEMBERED = 7
"""Largest number of tokens of a cached word; a longer word is encoded again each time."""
_SHORT = 24
"""Longest word, in bytes, whose pairs are all scanned at each merge; the pairs of longer words are kept in a heap."""

_SEED = np.uint64(0)
_NONE, _ONE = np.uint64(0), np.uint64(1)
_LOW_32, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_NEVER = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Rank and token of a pair that is not a known merge."""
_BLANK, _APOSTROPHE = np.uint8(ord(" ")), np.uint8(ord("'"))
_A, _Z, _a, _z, _0, _9 = (np.uint8(ord(character)) for character in "AZaz09")
_s, _t, _r, _e, _v, _m, _l, _d = (np.uint8(ord(character)) for character in "strevmld")


class Tables(NamedTuple):
    """A vocabulary in the layout that the kernels read."""

    byte_tokens: np.ndarray
    """uint32, the token of each byte."""
    pairs: np.ndarray
    """uint64, hash table: left token in the upper half, right token in the lower; all ones in an empty slot."""
    merges: np.ndarray
    """uint64, hash table: rank of the merge in the upper half, merged token in the lower."""
    kinds: np.ndarray
    """uint8, OTHER, LETTER, NUMBER or WHITE_SPACE of each code point."""


class Room(NamedTuple):
    """Buffers that a call writes to."""

    keys: np.ndarray
    """uint64, hash of each cached word."""
    tokens: np.ndarray
    """uint32, (words, 1 + _TOKENS_REMEMBERED): the number of its tokens, and the tokens."""
    bounds: np.ndarray
    """int32, the start of each word of a text, then the end of the last one."""
    symbols: np.ndarray
    """uint32, the tokens of one word while they are merged."""
    pairs: np.ndarray
    """uint64, rank and merged token of each token with the next one."""
    before: np.ndarray
    """int32, index of the token before each one, in a long word."""
    behind: np.ndarray
    """int32, index of the token after each one, in a long word."""
    heap: np.ndarray
    """uint64, rank and index of the pairs that may be merged, the least first (a heap)."""


class BytePairs:
    """A vocabulary that encodes text. It is read-only, so threads may share it."""

    def __init__(
        self,
        byte_tokens: npt.NDArray[np.uint32],
        merges: npt.NDArray[np.uint32],
        kinds: npt.NDArray[np.uint8],
    ) -> None:
        """Build the tables of a vocabulary.

        Args:
            byte_tokens: the token of each byte, (256,).
            merges: left token, right token and merged token, in the order of training, (merges, 3).
            kinds: see `character_kinds`.
        """
        places = 1 << (2 * len(merges) + 1).bit_length()
        self._tables = Tables(
            byte_tokens=np.require(byte_tokens, np.uint32, "C"),
            pairs=np.full(places, _NEVER, np.uint64),
            merges=np.full(places, _NEVER, np.uint64),
            kinds=kinds,
        )
        _index_merges(np.require(merges, np.uint32, "CW"), self._tables)

    def encode(self, text: TextArray) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Token ids of all texts, one after another, and the offsets at which each text's ids begin and the last ends.

        A null text has no ids.
        """
        buffers = text_buffers(text)
        ends = np.zeros(len(buffers) + 1, np.int64)
        # Pages that are never touched cost no memory. A token has at least one byte.
        tokens = np.empty(int(buffers.offsets[-1] - buffers.offsets[0]), np.uint32)
        room = _room(buffers.longest)
        for data, offsets, first, last in buffers.parts():
            _encode(data, offsets, first, last, buffers.valid, self._tables, room, tokens, ends)
        return tokens[: ends[-1]], ends


def character_kinds() -> npt.NDArray[np.uint8]:
    """The class of each code point in the regular expression, by the Unicode version of the running Python."""
    table = properties()
    kinds = np.full(len(table), OTHER, np.uint8)
    kinds[(table & ALNUM) != 0] = NUMBER
    kinds[(table & ALPHA) != 0] = LETTER
    kinds[(table & SPACE) != 0] = WHITE_SPACE
    # The ASCII separators (file to unit), which only Python counts as white space.
    kinds[0x1C:0x20] = OTHER
    return kinds


def _room(longest: int) -> Room:
    symbols = longest + 1
    return Room(
        keys=np.zeros(_REMEMBERED, np.uint64),
        tokens=np.zeros((_REMEMBERED, 1 + _TOKENS_REMEMBERED), np.uint32),
        bounds=np.empty(symbols, np.int32),
        symbols=np.empty(symbols, np.uint32),
        pairs=np.empty(symbols, np.uint64),
        before=np.empty(symbols, np.int32),
        behind=np.empty(symbols, np.int32),
        # Each merge removes one pair and adds at most two.
        heap=np.empty(3 * symbols, np.uint64),
    )


@inner
def _place_of(pair, tables):
    """The slot of a pair in the hash table, or the empty slot where it belongs."""
    mask = len(tables.pairs) - 1
    place = np.int64(fold(pair ^ KEY_0, KEY_1) >> _ONE) & mask
    while tables.pairs[place] not in (pair, _NEVER):
        place = (place + 1) & mask
    return place


@inner
def _merge_of(left, right, tables):
    """Rank and merged token of a pair; _NEVER if the pair is not a known merge."""
    return tables.merges[_place_of(np.uint64(left) << _HALF | np.uint64(right), tables)]


@entry
def _index_merges(merges, tables):
    for rank in range(len(merges)):
        pair = np.uint64(merges[rank, 0]) << _HALF | np.uint64(merges[rank, 1])
        place = _place_of(pair, tables)
        tables.pairs[place] = pair
        tables.merges[place] = np.uint64(rank) << _HALF | np.uint64(merges[rank, 2])


@inner
def _merge_few(size, tables, room):
    """Merge the first `size` symbols of a short word; return how many are left."""
    symbols, pairs = room.symbols, room.pairs
    for i in range(size - 1):
        pairs[i] = _merge_of(symbols[i], symbols[i + 1], tables)
    while size > 1:
        best = 0
        for i in range(1, size - 1):
            if pairs[i] < pairs[best]:
                best = i
        if pairs[best] == _NEVER:
            break
        symbols[best] = np.uint32(pairs[best] & _LOW_32)
        size -= 1
        for i in range(best + 1, size):
            symbols[i] = symbols[i + 1]
            pairs[i - 1] = pairs[i]
        if best > 0:
            pairs[best - 1] = _merge_of(symbols[best - 1], symbols[best], tables)
        if best < size - 1:
            pairs[best] = _merge_of(symbols[best], symbols[best + 1], tables)
    return size


@inner
def _push(heap, count, value):
    place = count
    while place > 0 and heap[(place - 1) >> 1] > value:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = value
    return count + 1


@inner
def _drop_least(heap, count):
    """Remove the least value from a heap of `count` values."""
    count -= 1
    value = heap[count]
    place = 0
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = value
    return count


@inner
def _look_at(place, size, waiting, tables, room):
    """Record what a symbol and the next one merge into; return the number of pairs in the heap."""
    behind = room.behind[place]
    room.pairs[place] = _NEVER
    if behind < size:
        room.pairs[place] = _merge_of(room.symbols[place], room.symbols[behind], tables)
        if room.pairs[place] != _NEVER:
            return _push(room.heap, waiting, (room.pairs[place] >> _HALF) << _HALF | np.uint64(place))
    return waiting


@inner
def _merge_many(size, tables, room):
    """Merge the first `size` symbols of a word of any length; return how many are left."""
    symbols, before, behind = room.symbols, room.before, room.behind
    waiting = 0
    for i in range(size):
        before[i], behind[i] = i - 1, i + 1
    for i in range(size):
        waiting = _look_at(i, size, waiting, tables, room)
    while waiting > 0:
        least = room.heap[0]
        waiting = _drop_least(room.heap, waiting)
        place = np.int64(least & _LOW_32)
        # The pair may have changed since it was recorded.
        if room.pairs[place] >> _HALF != least >> _HALF or room.pairs[place] == _NEVER:
            continue
        gone = behind[place]
        symbols[place] = np.uint32(room.pairs[place] & _LOW_32)
        room.pairs[gone] = _NEVER
        behind[place] = behind[gone]
        if behind[gone] < size:
            before[behind[gone]] = place
        waiting = _look_at(place, size, waiting, tables, room)
        if before[place] >= 0:
            waiting = _look_at(np.int64(before[place]), size, waiting, tables, room)
    left, place = 0, 0
    while place < size:
        symbols[left] = symbols[place]
        left += 1
        place = behind[place]
    return left


@inner
def _merge_word(data, start, stop, tables, room):
    """Write the tokens of a word to `room.symbols`; return their number."""
    size = stop - start
    for i in range(size):
        room.symbols[i] = tables.byte_tokens[data[start + i]]
    return _merge_few(size, tables, room) if size <= _SHORT else _merge_many(size, tables, room)


@inner
def _kinds_of_bytes(data, position, end, inside, kinds):
    """Masks of the letters, numbers and white space among 64 bytes; every byte of a character has its class."""
    letters = between64(data, position, _A, _Z) | between64(data, position, _a, _z)
    numbers = between64(data, position, _0, _9)
    spaces = between64(data, position, np.uint8(0x09), np.uint8(0x0D)) | equal64(data, position, _BLANK)
    foreign = between64(data, position, np.uint8(0xC2), np.uint8(0xF4)) & inside
    while foreign:
        bit = first_one(foreign)
        code_point, size = decode(data, position + bit, end)
        bits = low_bits(size) << np.uint64(bit)
        kind = kinds[code_point]
        letters |= bits if kind == LETTER else _NONE
        numbers |= bits if kind == NUMBER else _NONE
        spaces |= bits if kind == WHITE_SPACE else _NONE
        foreign &= foreign - _ONE
    return letters & inside, numbers & inside, spaces & inside


@inner
def _contraction(data, position, end):
    """The length in bytes of the contraction that an apostrophe begins; 0 if it begins none."""
    if position + 1 >= end:
        return 0
    first = data[position + 1]
    if first in (_s, _t, _m, _d):
        return 2
    if position + 2 >= end:
        return 0
    second = data[position + 2]
    long = (first in (_r, _v) and second == _e) or (first == _l and second == _l)
    return 3 if long else 0


@inner
def _whole_characters(data, position, end):
    """The bytes of a block up to its last whole character, and those whose next character is also in the block."""
    size = min(end - position, 64)
    while position + size < end and (data[position + size] & 0xC0) == 0x80:
        size -= 1
    known = size
    if position + size < end:
        known -= 1
        while (data[position + known] & 0xC0) == 0x80:
            known -= 1
    return size, known


@inner
def _firsts_of_characters(data, position, lasts):
    """The first bytes of the characters whose last bytes are given."""
    longer = lasts & between64(data, position, np.uint8(0x80), np.uint8(0xBF))
    firsts = lasts & ~longer
    while longer:
        bit = first_one(longer)
        longer &= longer - _ONE
        while (data[position + bit] & 0xC0) == 0x80:
            bit -= 1
        firsts |= _ONE << np.uint64(bit)
    return firsts


@inner
def _find_words(data, start, end, kinds, bounds):
    """Write where each word of a text begins, then the end of the last; return the number of words."""
    count = 0
    position = start
    # Whether the byte before belongs to a letter, to a number or to white space, or is a space.
    letter = number = space = blank = _NONE
    # A word always begins at the start of the text and after a contraction.
    fresh = start
    while position < end:
        size, known = _whole_characters(data, position, end)
        inside = low_bits(size)
        letters, numbers, spaces = _kinds_of_bytes(data, position, end, inside, kinds)
        blanks = equal64(data, position, _BLANK) & inside
        solid = inside & ~spaces
        begins = (letters ^ (letters << _ONE | letter)) | (numbers ^ (numbers << _ONE | number))
        begins |= spaces ^ (spaces << _ONE | space)
        begins |= _firsts_of_characters(data, position, spaces & (solid >> _ONE))
        begins &= ~(solid & (blanks << _ONE | blank)) & low_bits(known)
        if position <= fresh:
            begins &= ~low_bits(fresh - position)
            begins |= _ONE << np.uint64(fresh - position)
        apostrophes = begins & equal64(data, position, _APOSTROPHE)
        while apostrophes:
            bit = first_one(apostrophes)
            apostrophes &= apostrophes - _ONE
            length = _contraction(data, position + bit, end)
            if length:
                fresh = position + bit + length
                begins &= ~(low_bits(length - 1) << np.uint64(bit + 1))
                if bit + length < 64:
                    begins |= _ONE << np.uint64(bit + length)
        begins &= low_bits(known)
        while begins:
            bounds[count] = position + first_one(begins) - start
            count += 1
            begins &= begins - _ONE
        top = np.uint64(known - 1)
        letter, number = (letters >> top) & _ONE, (numbers >> top) & _ONE
        space, blank = (spaces >> top) & _ONE, (blanks >> top) & _ONE
        position += known
    bounds[count] = end - start
    return count


@inner
def _encode_text(data, start, end, tables, room, tokens, count):
    """Append the tokens of a text; return the new number of tokens."""
    bounds, keys, remembered = room.bounds, room.keys, room.tokens
    for word in range(_find_words(data, start, end, tables.kinds, bounds)):
        first, behind = start + bounds[word], start + bounds[word + 1]
        key = hash_bytes(data, first, behind, _SEED) | _ONE
        slot = np.int64(key >> _ONE) & (_REMEMBERED - 1)
        if keys[slot] == key:
            size = np.int64(remembered[slot, 0])
            for i in range(size):
                tokens[count + i] = remembered[slot, 1 + i]
        else:
            size = _merge_word(data, first, behind, tables, room)
            for i in range(size):
                tokens[count + i] = room.symbols[i]
            if size <= _TOKENS_REMEMBERED:
                keys[slot] = key
                remembered[slot, 0] = size
                for i in range(size):
                    remembered[slot, 1 + i] = room.symbols[i]
        count += size
    return count


@entry
def _encode(data, offsets, first, last, valid, tables, room, tokens, ends):
    for document in range(first, last):
        count = ends[document]
        if valid[document]:
            count = _encode_text(data, offsets[document], offsets[document + 1], tables, room, tokens, count)
        ends[document + 1] = count
