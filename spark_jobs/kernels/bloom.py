"""A blocked Bloom filter of word n-grams, and the removal of paragraphs whose n-grams it has seen.

A filter is an array of 64-byte blocks. An n-gram picks one block and sets bits in it only (Putze, Sanders and Singler
2007). A lookup therefore touches one cache line, which is prefetched: all n-grams of a text are hashed before the first
is looked up.

Tokens are the segments between Unicode word bounds, with punctuation and without white space. N-grams do not cross the
end of a paragraph. A paragraph begins at the newline before it, and spans are offsets of UTF-8 bytes
(mlfoundations/dclm, dedup/bff). Word bounds are those of `words` (Unicode 6.2); newer versions join some emoji.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import types

from spark_jobs.kernels.compiled import entry, inner, instruction
from spark_jobs.kernels.hashing import KEY_0, KEY_1, KEY_2, fold, hash_bytes
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.scratch import Scratch, scratch
from spark_jobs.kernels.text_buffers import TextArray, TextBuffers, text_buffers
from spark_jobs.kernels.unicode_tables import SPACE, properties
from spark_jobs.kernels.words import _segment as segment
from spark_jobs.kernels.words import decode, find_words

BLOCK_BITS = 512
BLOCK_WORDS = 8
"""Number of uint64 words in a block."""
PARAGRAPHS, OLD_BOTH, DOCUMENTS = range(3)
"""What to remove: paragraphs; paragraphs, and whole documents most of whose n-grams have been seen; documents."""
BITS_SET, NGRAMS_NEW = range(2)
"""Indices in a filter's tally."""

_SEED = np.uint64(0)
_AHEAD = 24
_BASE = np.uint64(0xD1342543DE82EF93)
"""Base of the polynomial that hashes an n-gram: 3 modulo 8, so that its powers also differ in their low bits."""
_STEP = np.uint64(0x9E3779B97F4A7C15)
_ONE, _WORD, _TOP_9 = np.uint64(1), np.uint64(63), np.uint64(55)
_SIX, _HALF = np.uint64(6), np.uint64(32)
_NEWLINE, _SPACE, _TAB, _RETURN, _UNDERSCORE = (np.uint8(ord(character)) for character in "\n \t\r_")


class Removed(NamedTuple):
    """The result for each text of an array."""

    text: pa.Array
    """The text that is left."""
    spans: pa.ListArray
    """(start, stop) of every removed paragraph, in UTF-8 bytes of the original text."""
    contained: np.ndarray
    """int64, number of its n-grams that the filter had seen."""
    total: np.ndarray
    """int64, number of its n-grams."""
    done: int
    """Number of texts processed; smaller than the number of texts if the filter filled up before the last one."""


SPAN = pa.struct([("start", pa.int32()), ("stop", pa.int32())])


def remove_met(
    text: TextArray,
    bits: np.ndarray,
    tally: np.ndarray,
    *,
    probes: int,
    most_bits: int,
    least: int,
    width: int,
    threshold: float,
    remove: int,
    update: bool,
) -> Removed:
    """Remove from each text, in order, what consists mostly of n-grams that the filter has seen; add the others to it.

    Args:
        text: an Arrow array of strings.
        bits: the filter, uint64, `BLOCK_WORDS` a block; changed in place.
        tally: int64, bits set so far and new n-grams added so far; changed in place.
        probes: number of bits for each n-gram.
        most_bits: no further text is processed once more bits are set.
        least: a paragraph with fewer tokens has no n-gram.
        width: number of tokens in an n-gram; a paragraph with fewer tokens has one n-gram, of all its tokens.
        threshold: a paragraph is removed if a greater share of its n-grams has been seen.
        remove: PARAGRAPHS, OLD_BOTH or DOCUMENTS.
        update: add the n-grams of the text that is kept.
    """
    buffers = text_buffers(text)
    rows, size = len(buffers), int(buffers.offsets[-1] - buffers.offsets[0])
    room = _room(buffers)
    newlines = int(np.count_nonzero(buffers.data[buffers.offsets[0] : buffers.offsets[-1]] == _NEWLINE))
    spans = np.zeros((rows + newlines, 2), np.int32)
    span_offsets, left_offsets = np.zeros(rows + 1, np.int32), np.zeros(rows + 1, np.int64)
    left = np.empty(size, np.uint8)
    counts = np.zeros((2, rows), np.int64)
    done = 0
    for data, offsets, first, last in buffers.parts():
        done = _remove_met(
            data, offsets, first, last, buffers.valid, properties(), room, bits, tally, probes, most_bits, least,
            width, _power(width), threshold, remove, update, counts, spans, span_offsets, left, left_offsets,
        )  # fmt: skip
        if done < last:
            break
    found = pa.StructArray.from_arrays(
        [pa.array(spans[: span_offsets[done], side]) for side in (0, 1)], fields=list(SPAN)
    )
    return Removed(
        text=_strings(left, left_offsets[: done + 1], buffers.valid[:done], wide=text.type == pa.large_string()),
        spans=pa.ListArray.from_arrays(pa.array(span_offsets[: done + 1]), found),
        contained=counts[0, :done],
        total=counts[1, :done],
        done=done,
    )


def count_ngrams(text: TextArray, *, least: int, width: int, whole: bool = False) -> np.ndarray:
    """The number of n-grams of each text (int64), repeats included; `whole` texts are not split into paragraphs."""
    buffers = text_buffers(text)
    room = _room(buffers)
    counts = np.zeros(len(buffers), np.int64)
    for data, offsets, first, last in buffers.parts():
        _count_ngrams(
            data, offsets, first, last, buffers.valid, properties(), room, least, width, _power(width), whole, counts
        )
    return counts


def insert(bits: np.ndarray, tally: np.ndarray, probes: int, hashes: np.ndarray) -> None:
    """Add 64-bit hashes to a filter."""
    _insert_all(bits, tally, probes, np.ascontiguousarray(hashes, np.uint64))


def contains(bits: np.ndarray, probes: int, hashes: np.ndarray) -> np.ndarray:
    """Whether a filter may have seen each 64-bit hash (bool)."""
    found = np.zeros(len(hashes), np.bool_)
    _contains_all(bits, probes, np.ascontiguousarray(hashes, np.uint64), found)
    return found


def _room(buffers: TextBuffers) -> Scratch:
    # A token takes one byte, where a word takes two.
    return scratch(2 * buffers.longest)


def _power(width: int) -> np.uint64:
    return np.uint64(pow(int(_BASE), width - 1, 1 << 64))


def _strings(data: np.ndarray, offsets: np.ndarray, valid: np.ndarray, *, wide: bool) -> pa.Array:
    validity = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    ends = np.ascontiguousarray(offsets, np.int64 if wide else np.int32)
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(data[: offsets[-1]])]
    return pa.Array.from_buffers(pa.large_string() if wide else pa.string(), len(valid), buffers)


@instruction
def _fetch(typing: Any, array: Any, index: Any) -> Any:
    """Prefetch the cache line that holds `array[index]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte.type], kind)
        # Arguments of llvm.prefetch: for writing, into all caches, data.
        builder.call(prefetch, [byte, ir.Constant(number, 1), ir.Constant(number, 3), ir.Constant(number, 1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@inner
def _block(gram, blocks):
    """The first word of an n-gram's block: the upper half of its hash, scaled to the number of blocks."""
    return np.int64((gram >> _HALF) * blocks >> _HALF) * BLOCK_WORDS


@inner
def _contains(bits, block, gram, probes):
    """Return 1 if all bits of an n-gram are set, else 0."""
    state = fold(gram ^ KEY_1, KEY_0)
    found = _ONE
    for _ in range(probes):
        bit = state >> _TOP_9
        found &= bits[block + np.int64(bit >> _SIX)] >> (bit & _WORD)
        state = state * _STEP + KEY_2
    return np.int64(found)


@inner
def _insert(bits, block, gram, probes):
    """Set the bits of an n-gram; return how many were not set before."""
    state = fold(gram ^ KEY_1, KEY_0)
    fresh = 0
    for _ in range(probes):
        bit = state >> _TOP_9
        place = block + np.int64(bit >> _SIX)
        before = bits[place]
        after = before | _ONE << (bit & _WORD)
        bits[place] = after
        fresh += before != after
        state = state * _STEP + KEY_2
    return fresh


@inlined
def _add_ngrams(tokens, grams, least, width, power, room):
    """Append the hashes of a paragraph's n-grams to the `grams` present; return the new count."""
    if tokens < width:
        if tokens < least:
            return grams
        total = np.uint64(0)
        for token in range(tokens):
            total = total * _BASE + room.hashes[token]
        room.grams[grams] = fold(total ^ KEY_0, KEY_2 ^ np.uint64(tokens))
        return grams + 1
    total = np.uint64(0)
    for token in range(width - 1):
        total = total * _BASE + room.hashes[token]
    for first in range(tokens - width + 1):
        total = total * _BASE + room.hashes[first + width - 1]
        room.grams[grams + first] = fold(total ^ KEY_0, KEY_2 ^ np.uint64(width))
        total -= room.hashes[first] * power
    return grams + tokens - width + 1


@inner
def _is_white_space(data, position, behind, end, properties):
    """Whether the segment up to `behind` is a single character with Unicode's White_Space property."""
    code_point, size = decode(data, position, end)
    # Python counts four ASCII separators as white space; Unicode does not.
    return (properties[code_point] & SPACE) != 0 and not 0x1C <= code_point <= 0x1F and position + size == behind


@inlined
def _find_ngrams(data, start, end, properties, whole, least, width, power, room):
    """Hash the n-grams of `data[start:end]` to `room.grams`.

    Returns:
        the number of paragraphs. `room.positions` holds the first byte of each and `room.slots` its first n-gram;
        both have one more entry, for the end of the last paragraph.
    """
    words = find_words(data, start, end, properties, False, room)
    tokens = grams = paragraphs = 0
    room.positions[0] = room.slots[0] = 0
    position = start
    for word in range(words + 1):
        stop = start + room.starts[word] if word < words else end
        while position < stop:
            byte = data[position]
            behind = position + 1
            if byte == _NEWLINE and not whole:
                grams = _add_ngrams(tokens, grams, least, width, power, room)
                tokens = 0
                paragraphs += 1
                room.positions[paragraphs] = position - start
                room.slots[paragraphs] = grams
            if byte < 0x80 and byte != _UNDERSCORE and (behind >= end or data[behind] < 0x80):
                white = byte == _SPACE or _TAB <= byte <= _RETURN
            else:
                behind, _ = segment(data, position, end, properties)
                white = _is_white_space(data, position, behind, end, properties)
            if not white:
                room.hashes[tokens] = hash_bytes(data, position, behind, _SEED)
                tokens += 1
            position = behind
        if word < words:
            position = start + room.stops[word]
            room.hashes[tokens] = hash_bytes(data, stop, position, _SEED)
            tokens += 1
    grams = _add_ngrams(tokens, grams, least, width, power, room)
    paragraphs += 1
    room.positions[paragraphs] = end - start
    room.slots[paragraphs] = grams
    return paragraphs


@inlined
def _count_met(first, last, grams, bits, blocks, probes, room):
    """How many of the n-grams from `first` up to `last` the filter has seen; prefetches those up to `grams`."""
    met = 0
    for i in range(first, last):
        if i + _AHEAD < grams:
            _fetch(bits, _block(room.grams[i + _AHEAD], blocks))
        met += _contains(bits, _block(room.grams[i], blocks), room.grams[i], probes)
    return met


@inner
def _copy(data, start, stop, left, size):
    """Append `data[start:stop]` to the `size` bytes of `left`; return the new size."""
    for i in range(stop - start):
        left[size + i] = data[start + i]
    return size + max(stop - start, 0)


@entry
def _remove_met(
    data, offsets, first, last, valid, properties, room, bits, tally, probes, most_bits, least,
    width, power, threshold, remove, update, counts, spans, span_offsets, left, left_offsets,
):  # fmt: skip
    blocks = np.uint64(len(bits) // BLOCK_WORDS)
    for document in range(first, last):
        if tally[BITS_SET] > most_bits:
            return document
        found, size = span_offsets[document], left_offsets[document]
        span_offsets[document + 1], left_offsets[document + 1] = found, size
        if not valid[document]:
            continue
        start, end = offsets[document], offsets[document + 1]
        paragraphs = _find_ngrams(data, start, end, properties, remove == DOCUMENTS, least, width, power, room)
        grams = room.slots[paragraphs]
        for i in range(min(_AHEAD, grams)):
            _fetch(bits, _block(room.grams[i], blocks))
        contained = 0
        copied = start
        for paragraph in range(paragraphs):
            low, high = room.slots[paragraph], room.slots[paragraph + 1]
            met = _count_met(low, high, grams, bits, blocks, probes, room)
            contained += met
            # Without n-grams the share is 0 / 0, NaN, which exceeds no threshold.
            if high > low and met / (high - low) > threshold:
                spans[found, 0], spans[found, 1] = room.positions[paragraph], room.positions[paragraph + 1]
                size = _copy(data, copied, start + spans[found, 0], left, size)
                copied = start + spans[found, 1]
                found += 1
            elif update:
                tally[NGRAMS_NEW] += high - low - met
                for i in range(low, high):
                    tally[BITS_SET] += _insert(bits, _block(room.grams[i], blocks), room.grams[i], probes)
        size = _copy(data, copied, end, left, size)
        if remove == OLD_BOTH and grams and contained / grams > threshold:
            size = left_offsets[document]
        counts[0, document], counts[1, document] = contained, grams
        span_offsets[document + 1], left_offsets[document + 1] = found, size
    return last


@entry
def _count_ngrams(data, offsets, first, last, valid, properties, room, least, width, power, whole, counts):
    for document in range(first, last):
        if valid[document]:
            start, end = offsets[document], offsets[document + 1]
            paragraphs = _find_ngrams(data, start, end, properties, whole, least, width, power, room)
            counts[document] = room.slots[paragraphs]


@entry
def _insert_all(bits, tally, probes, hashes):
    blocks = np.uint64(len(bits) // BLOCK_WORDS)
    for i in range(len(hashes)):
        fresh = _insert(bits, _block(hashes[i], blocks), hashes[i], probes)
        tally[BITS_SET] += fresh
        tally[NGRAMS_NEW] += fresh > 0


@entry
def _contains_all(bits, probes, hashes, found):
    blocks = np.uint64(len(bits) // BLOCK_WORDS)
    for i in range(len(hashes)):
        found[i] = _contains(bits, _block(hashes[i], blocks), hashes[i], probes) != 0
