"""Occurrences of the word n-grams of one set of texts in another, by 64-bit hashes of the words in lower case.

Words are the segments between Unicode word boundaries that begin with a letter or digit (`words`). Case, punctuation
and white space therefore do not count.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.hashing import KEY_0, KEY_2, fold
from spark_jobs.kernels.minhash import hash_lower
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.unicode_tables import lower_case, properties
from spark_jobs.kernels.words import find_words

_BASE = np.uint64(0xD1342543DE82EF93)
"""Base of the polynomial that hashes an n-gram: 3 modulo 8, so that its powers also differ in their low bits."""
_ONE, _SIX, _LOW_6 = np.uint64(1), np.uint64(6), np.uint64(63)
_MATCHES = 1 << 16


class NgramTable(NamedTuple):
    """The n-grams to search for."""

    sieve: npt.NDArray[np.uint64]
    """One bit for each value of a hash's low bits; it is unset for most n-grams that are not in the table."""
    keys: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.int32]
    """Index of the n-gram in the array from which the table was built; -1 in an empty slot."""


class Matches(NamedTuple):
    """Occurrences of n-grams, ordered by document and by position."""

    document: npt.NDArray[np.int32]
    number: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    """First byte of the n-gram, in UTF-8 bytes from the start of the document."""
    stop: npt.NDArray[np.int32]


def word_ngrams(text: TextArray, width: int) -> pa.LargeListArray:
    """The uint64 hashes of each text's n-grams of `width` words, in order, repeats included; null for a null text."""
    buffers = text_buffers(text)
    room = scratch(buffers.longest)
    hashes = np.empty(int(buffers.offsets[-1] - buffers.offsets[0]) // 2 + 2 * len(buffers) + 1, np.uint64)
    ends = np.zeros(len(buffers) + 1, np.int64)
    for data, offsets, first, last in buffers.parts():
        _word_ngrams(
            data, offsets, first, last, buffers.valid, properties(), lower_case(), width, _power(width), room, hashes,
            ends,
        )  # fmt: skip
    mask = pa.array(~buffers.valid) if not buffers.valid.all() else None
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(hashes[: ends[-1]]), mask=mask)


def ngram_table(hashes: npt.NDArray[np.uint64]) -> NgramTable:
    """Build a table of distinct hashes."""
    size = 1 << max(6, (2 * len(hashes)).bit_length())
    table = NgramTable(np.zeros(size * 8 // 64, np.uint64), np.zeros(size, np.uint64), np.full(size, -1, np.int32))
    _fill(np.ascontiguousarray(hashes, np.uint64), *table)
    return table


def find_ngrams(text: TextArray, table: NgramTable, width: int) -> Matches:
    """The occurrences of n-grams of `width` words that are in the table."""
    buffers = text_buffers(text)
    room = scratch(buffers.longest)
    # A text has at most as many words as the scratch arrays can hold.
    found = np.empty((max(_MATCHES, len(room.hashes)), 4), np.int32)
    rows = []
    for data, offsets, first, last in buffers.parts():
        following = first
        while following < last:
            following, count = _find_ngrams(
                data, offsets, following, last, buffers.valid, properties(), lower_case(), width, _power(width), room,
                *table, found,
            )  # fmt: skip
            rows.append(found[:count].copy())
    return Matches(*np.concatenate([np.empty((0, 4), np.int32), *rows]).T)


def _power(width: int) -> np.uint64:
    return np.uint64(pow(int(_BASE), width, 1 << 64))


@inner
def _hash_ngrams(data, start, end, properties, lower, width, power, room):
    """Write the hashes of the n-grams of `data[start:end]` to `room.grams`; return their number."""
    words = find_words(data, start, end, properties, False, room)
    total = np.uint64(0)
    for word in range(words):
        room.hashes[word] = hash_lower(data, start + room.starts[word], start + room.stops[word], lower, room.marks)
        total = total * _BASE + room.hashes[word]
        if word >= width:
            total -= room.hashes[word - width] * power
        if word >= width - 1:
            room.grams[word - width + 1] = fold(total ^ KEY_0, KEY_2)
    return max(words - width + 1, 0)


@inner
def _place(keys, numbers, gram):
    """The slot of an n-gram in the table, or the empty slot where it belongs."""
    mask = np.uint64(len(keys) - 1)
    place = gram & mask
    while numbers[place] >= 0 and keys[place] != gram:
        place = (place + _ONE) & mask
    return place


@entry
def _word_ngrams(data, offsets, first, last, valid, properties, lower, width, power, room, hashes, ends):
    for document in range(first, last):
        count = 0
        if valid[document]:
            count = _hash_ngrams(data, offsets[document], offsets[document + 1], properties, lower, width, power, room)
            for i in range(count):
                hashes[ends[document] + i] = room.grams[i]
        ends[document + 1] = ends[document] + count


@entry
def _fill(hashes, sieve, keys, numbers):
    bits = np.uint64(len(sieve) * 64 - 1)
    for i in range(len(hashes)):
        bit = hashes[i] & bits
        sieve[bit >> _SIX] |= _ONE << (bit & _LOW_6)
        place = _place(keys, numbers, hashes[i])
        keys[place] = hashes[i]
        numbers[place] = i


@entry
def _find_ngrams(
    data, offsets, first, last, valid, properties, lower, width, power, room, sieve, keys, numbers, found
):  # fmt: skip
    bits = np.uint64(len(sieve) * 64 - 1)
    count = 0
    for document in range(first, last):
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        grams = _hash_ngrams(data, start, end, properties, lower, width, power, room)
        if count + grams > len(found):
            return document, count
        for i in range(grams):
            bit = room.grams[i] & bits
            if (sieve[bit >> _SIX] >> (bit & _LOW_6)) & _ONE:
                number = numbers[_place(keys, numbers, room.grams[i])]
                found[count, 0], found[count, 1] = document, number
                found[count, 2], found[count, 3] = room.starts[i], room.stops[i + width - 1]
                count += number >= 0
    return last, count
