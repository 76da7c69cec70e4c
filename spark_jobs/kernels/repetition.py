"""How much of a document repeats itself, by the 64-bit hashes of its lines, paragraphs or words.

Definitions as in `statistics`; scratch space is handed over as `room` (`scratch.Scratch`).
"""

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.hashing import hash_pair
from spark_jobs.kernels.inlined import inlined

FIRST_TOP, FIRST_DUPLICATE, LAST_NGRAM = 2, 5, 10
"""Words in the n-grams: of 2 to 4 the most frequent counts, of 5 to 10 all that are repeated."""

_ONE = np.uint64(1)


@inlined
def _tally(hashes, count, room):
    """Count equal hashes: afterwards `room.tallies[room.slots[i]]` is how often `hashes[i]` occurs.

    Returns:
        how often the most frequent one occurs.
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
    """The share of pieces that occur more than once, by number and by characters."""
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
    """Shares of characters in repeated n-grams of so many `words`: a column each from 2 words to 10.

    An n-gram can only be repeated if both (n - 1)-grams in it are, so each round looks at what the
    round before left: `room.positions` holds the first words, in order, and `room.grams` the hashes.
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
    """Leave out n-grams that are not repeated, but for the few that share their mark with another.

    Most n-grams occur once. One byte each, without probing and without a branch, tells most of these
    from the others, so that the hash table is for the few that are left.
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
    """Characters of the longest of the most frequent n-grams."""
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
    """Characters of all words in repeated n-grams, each word counted once."""
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
    """Replace the n-grams by those (n + 1)-grams that may be repeated; how many they are."""
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
