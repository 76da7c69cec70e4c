"""Occurrences of the word n-grams of one set of texts in another, by 64-bit hashes of the words in lower case.

Words are the segments between Unicode word boundaries that begin with a letter or digit (`words`). Case, punctuation
and white space therefore do not count. With `folding`, neither do the forms that `folding` folds, in texts that
`folding.folded` returned.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.folding import folded_case, folded_properties
from spark_jobs.kernels.hashing import KEY_0, KEY_2, fold
from spark_jobs.kernels.minhash import hash_lower
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, text_buffers
from spark_jobs.kernels.unicode_tables import CLASS, WORD_BREAK_CLASSES, lower_case, properties
from spark_jobs.kernels.words import decode, find_words

_BASE = np.uint64(0xD1342543DE82EF93)
"""Base of the polynomial that hashes an n-gram: 3 modulo 8, so that its powers also differ in their low bits."""
_ONE, _SIX, _LOW_6 = np.uint64(1), np.uint64(6), np.uint64(63)
_MATCHES = 1 << 16
_LETTERS = sum(1 << WORD_BREAK_CLASSES.index(name) for name in ("ALetter", "Katakana", "Other"))
_IGNORED = sum(1 << WORD_BREAK_CLASSES.index(name) for name in ("Extend", "Format"))


class NgramTable(NamedTuple):
    """The n-grams to search for, of one width or several."""

    widths: npt.NDArray[np.int64]
    """The numbers of words of the n-grams, ascending."""
    powers: npt.NDArray[np.uint64]
    """The base of the hash to the power of each width."""
    sieve: npt.NDArray[np.uint64]
    """A sieve for each width, one after the other: one bit for each value of a hash's low bits, which is unset for most
    n-grams that are not in the table. The sieve of few n-grams is small, so that it stays in the processor's cache."""
    sieve_starts: npt.NDArray[np.int64]
    """The sieve of width i is `sieve[sieve_starts[i] : sieve_starts[i + 1]]`, a power of two."""
    keys: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.int32]
    """Index of the n-gram in the array from which the table was built; -1 in an empty slot."""


class Matches(NamedTuple):
    """Occurrences of n-grams, ordered by document, by width and by position."""

    document: npt.NDArray[np.int32]
    number: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    """First byte of the n-gram, in UTF-8 bytes from the start of the document."""
    stop: npt.NDArray[np.int32]


class Words(NamedTuple):
    """The words of texts, in order."""

    ends: npt.NDArray[np.int64]
    """The words of text i are those from `ends[i]` to `ends[i + 1]`."""
    hashes: npt.NDArray[np.uint64]
    bare: npt.NDArray[np.bool_]
    """Whether a word is a number or a single letter of an alphabet below U+0250."""


def words_of(text: TextArray, *, folding: bool = False) -> Words:
    """The words of each text; a null text has none."""
    buffers = text_buffers(text)
    room = scratch(buffers.longest)
    most = int(buffers.offsets[-1] - buffers.offsets[0]) // 2 + 2 * len(buffers) + 1
    hashes, bare = np.empty(most, np.uint64), np.empty(most, np.bool_)
    ends = np.zeros(len(buffers) + 1, np.int64)
    for data, offsets, first, last in buffers.parts():
        _words_of(data, offsets, first, last, buffers.valid, *_characters(folding), room, hashes, bare, ends)
    return Words(ends, hashes[: ends[-1]].copy(), bare[: ends[-1]].copy())


def ngrams_of(words: Words, width: int, *, whole: bool = False) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The n-grams of each text's words, in order, repeats included.

    Args:
        words: the words.
        width: words of an n-gram.
        whole: a text of fewer words, but at least one, has one n-gram of all its words.

    Returns:
        ends and hashes: the n-grams of text i are those from `ends[i]` to `ends[i + 1]`.
    """
    sizes = np.diff(words.ends)
    counts = np.maximum(sizes - width + 1, np.minimum(sizes, 1) if whole else 0)
    ends = np.concatenate([[0], np.cumsum(counts)])
    hashes = np.empty(int(ends[-1]), np.uint64)
    _ngrams_of(words.hashes, words.ends, width, _power(width), ends, hashes)
    return ends, hashes


def word_ngrams(text: TextArray, width: int, *, folding: bool = False) -> pa.LargeListArray:
    """The uint64 hashes of each text's n-grams of `width` words, in order, repeats included; null for a null text."""
    ends, hashes = ngrams_of(words_of(text, folding=folding), width)
    mask = text.is_null() if text.null_count else None
    mask = mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(hashes), mask=mask)


def ngram_table(hashes: npt.NDArray[np.uint64], widths: npt.ArrayLike) -> NgramTable:
    """Build a table of distinct hashes.

    Args:
        hashes: the n-grams.
        widths: the number of words of all n-grams, or of each.
    """
    of_each = np.broadcast_to(np.asarray(widths, np.int64), hashes.shape)
    sizes, kind, counts = np.unique(of_each, return_inverse=True, return_counts=True)
    size = _slots(len(hashes))
    blocks = [_sieve_blocks(count) for count in counts.tolist()]
    table = NgramTable(
        widths=sizes,
        powers=np.array([_power(width) for width in sizes.tolist()], np.uint64),
        sieve=np.zeros(sum(blocks), np.uint64),
        sieve_starts=np.concatenate([[0], np.cumsum(blocks)]).astype(np.int64),
        keys=np.zeros(size, np.uint64),
        numbers=np.full(size, -1, np.int32),
    )
    _fill(
        np.ascontiguousarray(hashes, np.uint64), kind.astype(np.int64), table.sieve, table.sieve_starts, table.keys,
        table.numbers,
    )  # fmt: skip
    return table


def find_ngrams(text: TextArray, table: NgramTable, *, folding: bool = False) -> Matches:
    """The occurrences of n-grams that are in the table.

    Args:
        text: the documents.
        table: the n-grams.
        folding: compare folded forms.
    """
    buffers = text_buffers(text)
    room = scratch(buffers.longest)
    # A text has at most as many words as the scratch arrays can hold. Rows that are never written take no memory.
    found = np.empty((max(_MATCHES, len(room.hashes)), 4), np.int32)
    rows = []
    for data, offsets, first, last in buffers.parts():
        following, size = first, 0
        while following < last:
            following, size, count = _find_ngrams(
                data, offsets, following, size, last, buffers.valid, *_characters(folding), room, *table, found
            )
            rows.append(found[:count].copy())
    return Matches(*np.concatenate([np.empty((0, 4), np.int32), *rows]).T)


def _characters(folding: bool) -> tuple[np.ndarray, np.ndarray]:
    return (folded_properties(), folded_case()) if folding else (properties(), lower_case())


def _slots(ngrams: int) -> int:
    """Slots of a table that is at most half full."""
    return 1 << max(6, (2 * ngrams).bit_length())


def _sieve_blocks(ngrams: int) -> int:
    """Blocks of 64 bits of a sieve: 16 bits for each n-gram, and more for few, whose sieve stays in the cache."""
    slots = _slots(ngrams)
    return slots if slots <= 1 << 16 else slots // 8


def _power(width: int) -> np.uint64:
    return np.uint64(pow(int(_BASE), width, 1 << 64))


@inner
def _hash_words(data, start, end, properties, lower, room):
    """Write the hashes of the words of `data[start:end]` to `room.hashes`; return their number."""
    words = find_words(data, start, end, properties, False, room)
    for word in range(words):
        room.hashes[word] = hash_lower(data, start + room.starts[word], start + room.stops[word], lower, room.marks)
    return words


@inner
def _hash_ngrams(words, width, power, room):
    """Write the hashes of the n-grams of the words in `room.hashes` to `room.grams`; return their number."""
    total = np.uint64(0)
    for word in range(words):
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


@inner
def _is_bare(data, start, stop, properties):
    """Whether a word is a number or a single letter."""
    letters, characters = 0, 0
    position = start
    while position < stop:
        code_point, size = decode(data, position, stop)
        kind = properties[code_point] & CLASS
        letters += (_LETTERS >> kind) & 1
        if code_point >= 0x250 and (_LETTERS >> kind) & 1:
            return False
        characters += 1 - ((_IGNORED >> kind) & 1)
        position += size
    return letters == 0 or characters == 1


@entry
def _words_of(data, offsets, first, last, valid, properties, lower, room, hashes, bare, ends):
    for document in range(first, last):
        count = 0
        if valid[document]:
            start = offsets[document]
            count = _hash_words(data, start, offsets[document + 1], properties, lower, room)
            for i in range(count):
                hashes[ends[document] + i] = room.hashes[i]
                bare[ends[document] + i] = _is_bare(data, start + room.starts[i], start + room.stops[i], properties)
        ends[document + 1] = ends[document] + count


@entry
def _ngrams_of(words, word_ends, width, power, ends, hashes):
    for text in range(len(ends) - 1):
        first, last = word_ends[text], word_ends[text + 1]
        count = ends[text + 1] - ends[text]
        if count == 0:
            continue
        wide = min(width, last - first)
        total = np.uint64(0)
        for i in range(last - first):
            total = total * _BASE + words[first + i]
            if i >= wide:
                total -= words[first + i - wide] * power
            if i >= wide - 1:
                hashes[ends[text] + i - wide + 1] = fold(total ^ KEY_0, KEY_2)


@entry
def _fill(hashes, kinds, sieve, sieve_starts, keys, numbers):
    for i in range(len(hashes)):
        first = sieve_starts[kinds[i]]
        bit = hashes[i] & np.uint64((sieve_starts[kinds[i] + 1] - first) * 64 - 1)
        sieve[first + np.int64(bit >> _SIX)] |= _ONE << (bit & _LOW_6)
        place = _place(keys, numbers, hashes[i])
        keys[place] = hashes[i]
        numbers[place] = i


@entry
def _find_ngrams(
    data, offsets, first, first_size, last, valid, properties, lower, room,
    widths, powers, sieve, sieve_starts, keys, numbers, found,
):  # fmt: skip
    count = 0
    for document in range(first, last):
        if not valid[document]:
            continue
        words = _hash_words(data, offsets[document], offsets[document + 1], properties, lower, room)
        for size in range(first_size if document == first else 0, len(widths)):
            if count + words > len(found):
                # The next call goes on with this width.
                return document, size, count
            width = widths[size]
            first_block = sieve_starts[size]
            bits = np.uint64((sieve_starts[size + 1] - first_block) * 64 - 1)
            grams = _hash_ngrams(words, width, powers[size], room)
            for i in range(grams):
                bit = room.grams[i] & bits
                if (sieve[first_block + np.int64(bit >> _SIX)] >> (bit & _LOW_6)) & _ONE:
                    number = numbers[_place(keys, numbers, room.grams[i])]
                    found[count, 0], found[count, 1] = document, number
                    found[count, 2], found[count, 3] = room.starts[i], room.stops[i + width - 1]
                    count += number >= 0
    return last, 0, count
