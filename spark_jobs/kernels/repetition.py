"""The share of a document that is repeated, computed from 64-bit hashes of its lines, paragraphs or words.

The definitions are those of `statistics`. The argument `room` is scratch memory (`scratch.Scratch`).
"""

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.hashing import hash_pair
from spark_jobs.kernels.inlined import inlined

FIRST_TOP, FIRST_DUPLICATE, LAST_NGRAM = 2, 5, 10
"""Sizes of n-grams in words: for sizes 2 to 4 the most frequent n-gram counts, for sizes 5 to 10 all repeated ones."""

_ONE = np.uint64(1)


@inlined
def _tally(hashes, count, room):
    """Count equal hashes; afterwards `room.tallies[room.slots[i]]` is the number of occurrences of `hashes[i]`.

    Returns:
        the number of occurrences of the most frequent hash.
    """
    keys, tallies = room.keys, room.tallies
    size = 4
    while size < 4 * count:
        size *= 2
    for slot in range(size):
        tallies[slot] = 0
    mask = np.uint64(size - 1)
    most = 0
    for i in range(count):
        key = hashes[i]
        slot = key & mask
        while tallies[slot] and keys[slot] != key:
            slot = (slot + _ONE) & mask
        keys[slot] = key
        tallies[slot] += 1
        most = max(most, tallies[slot])
        room.slots[i] = slot
    return most


@inlined
def repeated_share(hashes, lengths, count, room):
    """The share of pieces that occur more than once, and the share of characters in them."""
    if count == 1:
        return 0.0, 0.0
    _tally(hashes, count, room)
    repeated_pieces = characters = repeated_characters = 0
    for i in range(count):
        repeated = room.tallies[room.slots[i]] > 1
        repeated_pieces += repeated
        characters += lengths[i]
        repeated_characters += lengths[i] * repeated
    return repeated_pieces / count, repeated_characters / characters


@inlined
def ngram_shares(words, room, ratios, first_column, document):
    """Write the share of characters in repeated n-grams of the document's `words` words, for n from 2 to 10.

    The share for n = 2 is written to the row `first_column` of `ratios`, and those for larger n to the rows after it.

    An n-gram can only be repeated if both (n - 1)-grams in it are. Each round therefore examines only the n-grams that
    the round before left: `room.positions` holds their first words, in order, and `room.grams` their hashes.
    """
    for column in range(first_column, first_column + LAST_NGRAM - FIRST_TOP + 1):
        ratios[column, document] = 0.0
    characters = 0
    for word in range(words):
        characters += room.lengths[word]
    left = words - 1
    for word in range(left):
        room.positions[word] = word
        room.grams[word] = hash_pair(room.hashes[word], room.hashes[word + 1])
    for size in range(FIRST_TOP, LAST_NGRAM + 1):
        left = _drop_most_singles(left, room)
        most = _tally(room.grams, left, room)
        if most < 2:
            return
        if size < FIRST_DUPLICATE:
            covered = most * _longest(left, size, most, room)
        else:
            covered = _repeated_characters(left, size, room)
        ratios[first_column + size - FIRST_TOP, document] = covered / characters
        left = _extend(left, size, room)


@inlined
def _drop_most_singles(left, room):
    """Remove most of the n-grams that occur once; return the number of n-grams that are left.

    Every repeated n-gram is kept, and so are the few single ones that share their mark with another n-gram. A mark is
    one byte that is selected by the hash, so this takes neither probing nor branches. Since most n-grams occur once,
    few are left for the hash table.
    """
    if left < 2:
        return 0
    size = 64
    while size < 8 * left:
        size *= 2
    marks = room.marks
    for mark in range(size):
        marks[mark] = 0
    mask = np.uint64(size - 1)
    for i in range(left):
        mark = room.grams[i] & mask
        marks[mark] = (marks[mark] << 1) | 1
    kept = 0
    for i in range(left):
        gram = room.grams[i]
        room.positions[kept] = room.positions[i]
        room.grams[kept] = gram
        kept += (marks[gram & mask] >> 1) & 1
    return kept


@inlined
def _longest(left, size, most, room):
    """The number of characters of the longest n-gram among the most frequent ones."""
    longest = 0
    for i in range(left):
        if room.tallies[room.slots[i]] == most:
            characters = 0
            for word in range(room.positions[i], room.positions[i] + size):
                characters += room.lengths[word]
            longest = max(longest, characters)
    return longest


@inlined
def _repeated_characters(left, size, room):
    """The number of characters of all words in repeated n-grams; each word counts once."""
    characters = 0
    covered = 0
    for i in range(left):
        if room.tallies[room.slots[i]] > 1:
            stop = room.positions[i] + size
            for word in range(max(covered, room.positions[i]), stop):
                characters += room.lengths[word]
            covered = stop
    return characters


@inlined
def _extend(left, size, room):
    """Replace the n-grams by the (n + 1)-grams that may be repeated; return the number of these."""
    kept = 0
    repeated_next = left > 0 and room.tallies[room.slots[0]] > 1
    for i in range(left - 1):
        position = room.positions[i]
        repeated = repeated_next
        repeated_next = room.tallies[room.slots[i + 1]] > 1
        adjacent = room.positions[i + 1] == position + 1
        room.grams[kept] = hash_pair(room.grams[i], room.hashes[position + size])
        room.positions[kept] = position
        kept += adjacent & repeated & repeated_next
    return kept
