"""Joins neighbouring words that together are a string with a special split, such as `:` and `)` (spacy/tokenizer.pyx).

spaCy's `_apply_special_cases` looks for sequences of words that its affix rules would make of such a string, and
replaces a match by the string's pieces. Of matches that overlap, the longest is replaced, then the leftmost. A match
that is not replaced still keeps shorter ones, and later ones as long, from being replaced. Words on both sides of a
single space match too: such a match changes nothing, but it keeps others from being replaced as well.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import count_characters
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.hashing import KEY_0, KEY_1, hash_bytes, hash_pair
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.peers.spacy_strings import SEED, packed_sizes
from spark_jobs.kernels.text_hash import text_hash

MOST_WORDS = 12
"""Number of words of the longest sequence."""

_KEPT = np.uint32(0xFFFFFFFF)
"""Pieces of a sequence that stays as it is, and only keeps others from being joined."""
_NONE, _ONE = np.uint64(0), np.uint64(1)
_SPACE = 0x20


class SequenceTable(NamedTuple):
    """Sequences of words that are joined, as a hash table."""

    keys: np.ndarray
    """uint64, hash of the words; its slot is given by its lowest bits, or is the next free one."""
    pieces: np.ndarray
    """uint32, length in bytes of each piece that replaces the words, the first in the lowest eight bits; 0 in an empty
    slot."""
    first: np.ndarray
    """uint64, a value per byte: a mask of the sizes in bytes of the sequences that begin with it."""


def sequence_table(sequences: Mapping[str, Sequence[str]], pieces: Mapping[str, tuple[str, ...]]) -> SequenceTable:
    """The table of the sequences of words that are found in a text.

    Args:
        sequences: for each string with a special split, the words that affix rules make of it. A string that stays
            one word is left out.
        pieces: the special split of each of the strings.
    """
    joined = {text: words for text, words in sequences.items() if len(words) > 1}
    changed = {word for text, words in joined.items() if tuple(words) != pieces[text] for word in words}
    # A sequence that stays as it is matters if a word of it can be part of one that does not.
    joined = {text: words for text, words in joined.items() if changed.intersection(words)}
    size = 1 << (2 * len(joined)).bit_length()
    table = SequenceTable(np.zeros(size, "u8"), np.zeros(size, "u4"), np.zeros(256, "u8"))
    for text, words in joined.items():
        key = _sequence_hash(words)
        slot = key & (size - 1)
        while table.pieces[slot]:
            slot = (slot + 1) & (size - 1)
        table.keys[slot] = key
        table.pieces[slot] = _KEPT if pieces[text] == tuple(words) else packed_sizes(pieces[text])
        table.first[text.encode()[0]] |= np.uint64(1 << len(text.encode()))
    for array in table:
        array.flags.writeable = False
    return table


def _sequence_hash(words: Sequence[str]) -> int:
    """The same as repeated `hash_pair` of the words' hashes, with 0 before the first."""
    key = 0
    for word in text_hash(pa.array(list(words)), seed=int(SEED)).to_numpy().view(np.uint64).tolist():
        product = (key ^ int(KEY_0)) * (word ^ int(KEY_1))
        key = (product ^ product >> 64) & (2**64 - 1)
    return key


@inner
def _pieces_of_sequence(key, table):
    """The pieces of the sequence of words with this hash; 0 for any other sequence."""
    mask = np.uint64(len(table.keys) - 1)
    slot = key & mask
    while table.pieces[slot] and table.keys[slot] != key:
        slot = (slot + _ONE) & mask
    return table.pieces[slot]


@inlined
def can_be_joined(data, start, begun, count, table, room):
    """Whether some of the words from `begun` up to, but not including, `count` form a sequence that is joined.

    The words are those of one run of characters without white space.
    """
    for word in range(begun, count - 1):
        if _may_begin(data, start, word, count, table, room) and _longest(data, start, word, count, table, room)[1]:
            return True
    return False


@inlined
def _may_begin(data, start, word, count, table, room):
    """Whether the words from `word` up to, but not including, `count` begin with some that have the size of a sequence.

    This avoids most calls of `_longest`, each of which passes all arrays.
    """
    first = room.starts[word]
    sizes = table.first[data[start + first]]
    each = word + 1
    while each < count and room.starts[each] == room.stops[each - 1]:
        size = np.uint64(room.stops[each] - first)
        if size > 63 or not sizes >> size:
            return False
        if sizes >> size & _ONE:
            return True
        each += 1
    return False


@inner
def _longest(data, start, word, count, table, room):
    """The word after the longest sequence that begins with `word`, has no space in it and is joined; and its pieces.

    Returns:
        `word` and 0 if there is none.
    """
    behind, found = word, np.uint32(0)
    first = room.starts[word]
    sizes = table.first[data[start + first]]
    each = word + 1
    while each < min(count, word + MOST_WORDS) and room.starts[each] == room.stops[each - 1]:
        size = np.uint64(room.stops[each] - first)
        each += 1
        if size > 63 or not sizes >> size:
            break
        if sizes >> size & _ONE:
            pieces = _pieces_of_sequence(_hash_words(data, start, word, each, room), table)
            if pieces and pieces != _KEPT:
                behind, found = each, pieces
    return behind, found


@inner
def _is_sequence(data, start, word, behind, table, room):
    return _pieces_of_sequence(_hash_words(data, start, word, behind, room), table) != 0


@inner
def _hash_words(data, start, word, behind, room):
    key = _NONE
    for each in range(word, behind):
        key = hash_pair(key, hash_bytes(data, start + room.starts[each], start + room.stops[each], SEED))
    return key


@inner
def _is_kept_from(data, start, word, behind, count, table, room):
    """Whether a longer sequence, or one as long that begins before it, holds the first or the last word of a sequence.

    Args:
        word: the first word of the sequence.
        behind: the word after it.
        count: number of words of the text.
    """
    for first in range(max(word - MOST_WORDS + 1, 0), behind):
        sizes = table.first[data[start + room.starts[first]]]
        size = np.uint64(0)
        each = first
        while each < min(count, first + MOST_WORDS):
            gap = room.starts[each] - room.stops[each - 1] if each > first else 0
            if gap > 1 or (gap == 1 and data[start + room.stops[each - 1]] != _SPACE):
                break
            size += np.uint64(room.stops[each] - room.starts[each])
            each += 1
            if size > 63 or not sizes >> size:
                break
            is_before = each - first > behind - word or (each - first == behind - word and first < word)
            holds = first <= word < each or first < behind <= each
            has_size = (sizes >> size & _ONE) != 0
            if has_size and is_before and holds and _is_sequence(data, start, first, each, table, room):
                return True
    return False


@inner
def join(data, start, begun, behind, count, table, room):
    """Join sequences among the words from `begun` up to, but not including, `behind`; return the new number of words.

    Args:
        count: number of words of the text. All are known, because words on both sides decide which are joined.
    """
    # What replaces the sequence that begins with a word is noted first: the words must stay until all are compared.
    more = 0
    for word in range(begun, behind):
        room.slots[word] = 0
        if _may_begin(data, start, word, count, table, room):
            after, pieces = _longest(data, start, word, count, table, room)
            if pieces and not _is_kept_from(data, start, word, after, count, table, room):
                room.slots[word], room.positions[word] = pieces, after
                more += max(_count_pieces(pieces) - (after - word), 0)
    if more:
        # Some sequence becomes longer, so all words move up, that none is overwritten before it is read.
        for word in range(count - 1, begun - 1, -1):
            _move(word, word + more, room)
    kept = word = begun
    while word < count:
        pieces = np.uint32(room.slots[word]) if word < behind else np.uint32(0)
        if pieces:
            first = room.starts[word + more]
            stop = room.stops[room.positions[word] - 1 + more]
            word = room.positions[word]
            while first < stop:
                size = np.int64(pieces & np.uint32(0xFF))
                room.starts[kept], room.stops[kept] = first, first + size
                room.lengths[kept] = count_characters(data, start + first, start + first + size)
                pieces >>= np.uint32(8)
                first += size
                kept += 1
        else:
            _move(word + more, kept, room)
            kept += 1
            word += 1
    return kept


@inlined
def _count_pieces(pieces):
    count = 0
    while pieces:
        pieces >>= np.uint32(8)
        count += 1
    return count


@inlined
def _move(word, place, room):
    room.starts[place] = room.starts[word]
    room.stops[place] = room.stops[word]
    room.lengths[place] = room.lengths[word]
