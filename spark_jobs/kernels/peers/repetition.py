"""The share of a document that is in repeated n-grams, as datatrove and dolma define it.

For n from 2 to 4, both count the most frequent n-gram, even if it occurs only once. Among equally frequent n-grams,
they count the one that occurs first.

For n from 5 to 10, dolma counts every repeated n-gram, so a word counts once for each repeated n-gram that contains it.
datatrove scans the text from the left, counts each n-gram that it has seen before, and then continues after it.
datatrove joins the words of an n-gram without a separator before it compares n-grams, so `1 10` equals `11 0`.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.copying import copy_few, store64
from spark_jobs.kernels.hashing import KEY_0, KEY_1, fold, hash_bytes, hash_pair, load64
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.repetition import (
    FIRST_DUPLICATE,
    FIRST_TOP,
    LAST_NGRAM,
    _drop_most_singles,
    _extend,
    _tally,
)

_ONE = np.uint64(1)
_SEED = np.uint64(0)
_GLUED, _DEEPEST, _STEP = 16, 64, 8
"""Sizes in bytes of the prefixes, from the first word of an n-gram on, that identify n-grams that may be repeated: the
smallest, the largest, and the step."""


@inlined
def top_shares(words, characters, between, room, ratios, first_column, document):
    """Write the share of `characters` in the most frequent n-gram, one row for each n from 2 to 4.

    Args:
        between: number of characters that count between two words of an n-gram.

    Returns:
        the number of 5-grams that may be repeated; `room.positions` and `room.grams` hold their first words and hashes.
    """
    left = max(words - 1, 0)
    for word in range(left):
        room.positions[word] = word
        room.grams[word] = hash_pair(room.hashes[word], room.hashes[word + 1])
    for size in range(FIRST_TOP, FIRST_DUPLICATE):
        left = _drop_most_singles(left, room)
        most = max(_tally(room.grams, left, room), 1)
        position = 0
        for i in range(left if most > 1 else 0):
            if room.tallies[room.slots[i]] == most:
                position = room.positions[i]
                break
        share = 0.0
        if words >= size:
            share = most * (_characters(position, size, room) + (size - 1) * between) / characters
        ratios[first_column + size - FIRST_TOP, document] = share
        left = _extend(left, size, room)
    return left


@inlined
def _characters(position, size, room):
    characters = 0
    for word in range(position, position + size):
        characters += room.lengths[word]
    return characters


@inlined
def overlapping_shares(words, left, room, ratios, first_column, document):
    """Write the characters of repeated n-grams as a share of those of all n-grams, one row for each n from 5 to 10.

    This is dolma's definition.

    Args:
        left: the result of `top_shares`, together with `room.positions` and `room.grams`.
    """
    whole = _characters(0, words, room)
    # The number of characters of all n-grams of one size, computed from that of the size before.
    all_grams = whole
    head = 0
    for size in range(2, LAST_NGRAM + 1):
        if words < size:
            all_grams = 0
        else:
            head += room.lengths[size - 2]
            all_grams += whole - head - _characters(words - size + 1, size - 1, room)
        if size < FIRST_DUPLICATE:
            continue
        left = _drop_most_singles(left, room)
        _tally(room.grams, left, room)
        repeated = 0
        for i in range(left):
            if room.tallies[room.slots[i]] > 1:
                repeated += _characters(room.positions[i], size, room)
        ratios[first_column + size - FIRST_DUPLICATE, document] = repeated / max(all_grams, 1)
        left = _extend(left, size, room)


@inlined
def skipping_shares(data, start, words, characters, room, glue, ratios, first_column, document):
    """Write the share of `characters` in n-grams seen before, one row for each n from 5 to 10.

    This is datatrove's definition.

    Args:
        glue: uint8, scratch memory for the bytes of the joined words: the size of the document and 128 bytes more.
    """
    behind = 0
    for word in range(words):
        behind = copy_few(data, start + room.starts[word], start + room.stops[word], glue, behind)
        room.stops[word] = behind
    store64(glue, behind, np.uint64(0))
    store64(glue, behind + 8, np.uint64(0))
    candidates = _candidates(words, room, glue)
    for size in range(FIRST_DUPLICATE, LAST_NGRAM + 1):
        left = 0
        for i in range(candidates):
            word = room.slots[i]
            if word + size > words:
                break
            begin, stop = _begin(word, room), np.int64(room.stops[word + size - 1])
            told_by = min((stop - begin) & ~(_STEP - 1), _DEEPEST)
            if told_by < _GLUED or told_by <= room.starts[word]:
                room.slots[left] = room.positions[left] = word
                room.grams[left] = hash_bytes(glue, begin, stop, _SEED)
                left += 1
        # A longer n-gram has a longer prefix, so a word that is not a candidate now does not become one later.
        candidates = left
        repeated = _skip_through(left, size, room)
        ratios[first_column + size - FIRST_DUPLICATE, document] = repeated / characters


@inlined
def _begin(word, room):
    return np.int64(room.stops[word - 1]) if word else np.int64(0)


@inlined
def _candidates(words, room, glue):
    """Find the words at which a repeated n-gram may begin; return their number.

    Equal n-grams begin with the same bytes, wherever the boundaries of their words are. A word is therefore a candidate
    only if its prefix (the bytes from this word on) may occur twice, or if its shortest n-gram has fewer than _GLUED
    bytes. The candidates are written to `room.slots`. The size of the longest prefix that may occur twice, at most
    _DEEPEST, is written to `room.starts`; it is 0 if this is less than _GLUED.
    """
    count = max(words - FIRST_DUPLICATE + 1, 0)
    for word in range(count):
        begin = _begin(word, room)
        room.starts[word] = 0
        room.positions[word] = word
        room.grams[word] = fold(load64(glue, begin) ^ KEY_0, load64(glue, begin + 8) ^ KEY_1)
    left = _drop_most_singles(count, room)
    depth = _GLUED
    while left and depth <= _DEEPEST:
        for i in range(left):
            room.starts[room.positions[i]] = depth
        depth += _STEP
        longer = 0
        for i in range(left):
            word = room.positions[i]
            begin = _begin(word, room)
            room.positions[longer] = word
            room.grams[longer] = fold(room.grams[i] ^ load64(glue, begin + depth - _STEP), KEY_1)
            longer += room.stops[min(word + LAST_NGRAM, words) - 1] - begin >= depth
        left = _drop_most_singles(longer, room)
    kept = 0
    for word in range(count):
        room.slots[kept] = word
        kept += room.starts[word] > 0 or room.stops[word + FIRST_DUPLICATE - 1] - _begin(word, room) < _GLUED
    return kept


@inlined
def _skip_through(left, size, room):
    """The number of characters in n-grams seen before; n-grams that begin within a counted one are skipped."""
    keys, tallies = room.keys, room.tallies
    slots = 4
    while slots < 4 * left:
        slots *= 2
    for slot in range(slots):
        tallies[slot] = 0
    mask = np.uint64(slots - 1)
    repeated = 0
    following = 0
    for i in range(left):
        position = room.positions[i]
        if position < following:
            continue
        key = room.grams[i]
        slot = key & mask
        while tallies[slot] and keys[slot] != key:
            slot = (slot + _ONE) & mask
        if tallies[slot]:
            repeated += _characters(position, size, room)
            following = position + size
        keys[slot] = key
        tallies[slot] = 1
    return repeated


@inlined
def extra_copies(hashes, lengths, count, room):
    """The numbers of pieces seen before and of their characters (datatrove); of three copies, two count."""
    keys, tallies = room.keys, room.tallies
    slots = 4
    while slots < 4 * count:
        slots *= 2
    for slot in range(slots):
        tallies[slot] = 0
    mask = np.uint64(slots - 1)
    pieces = characters = 0
    for i in range(count):
        key = hashes[i]
        slot = key & mask
        while tallies[slot] and keys[slot] != key:
            slot = (slot + _ONE) & mask
        if tallies[slot]:
            pieces += 1
            characters += lengths[i]
        keys[slot] = key
        tallies[slot] = 1
    return pieces, characters


@inlined
def repeated_pieces(hashes, lengths, count, room):
    """The numbers of pieces that occur more than once and of their characters; all copies count (dolma)."""
    _tally(hashes, count, room)
    pieces = characters = 0
    for i in range(count):
        repeated = room.tallies[room.slots[i]] > 1
        pieces += repeated
        characters += lengths[i] * repeated
    return pieces, characters
