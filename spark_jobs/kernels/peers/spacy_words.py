"""English words as found by spaCy's tokenizer (explosion/spaCy 3.8.18, spacy/tokenizer.pyx), which datatrove uses.

Each run of characters that are not white space is split in these steps:

- Prefixes and suffixes are split off (`spacy_affixes`).
- If the rest is a string with a special split (`spacy_strings`), it is split into the given pieces. If it is an address
  (`spacy_addresses`), it is one word. Otherwise it is split at infixes.
- Neighbouring words that together form a string with a special split are replaced by its pieces (`spacy_joins`).

White space is not a word.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark_jobs.kernels.blocks import between64, count_characters, equal64, first_one, low_bits
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.english_tables import CASED_ALPHA, ICON, SPACE, character_classes, exception_pieces
from spark_jobs.kernels.hashing import hash_bytes
from spark_jobs.kernels.inlined import inlined
from spark_jobs.kernels.line_breaks import decode_before
from spark_jobs.kernels.peers.spacy_addresses import is_address
from spark_jobs.kernels.peers.spacy_affixes import infix_size, prefix_size, suffix_size
from spark_jobs.kernels.peers.spacy_joins import MOST_WORDS, SequenceTable, can_be_joined, join, sequence_table
from spark_jobs.kernels.peers.spacy_strings import SEED, StringTable, no_strings, pieces_of, special_strings
from spark_jobs.kernels.scratch import scratch
from spark_jobs.kernels.text_buffers import TextArray, TextBuffers, text_buffers
from spark_jobs.kernels.words import decode

_REMEMBERED = 64
"""Size in bytes of the longest run whose words are cached."""
_NONE, _ONE, _BYTE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFF), np.uint64(0xFFFFFFFFFFFFFFFF)
_A, _Z, _a, _z, _0, _9 = (np.uint8(ord(character)) for character in "AZaz09")
_SPACE, _DOT, _COMMA, _COLON, _SEMICOLON, _QUESTION, _EXCLAMATION = (ord(character) for character in " .,:;?!")
_ASTERISK, _SLASH, _GREATER, _CARET, _TILDE = (ord(character) for character in "*/>^~")


class Exceptions(NamedTuple):
    """Strings with special splits."""

    alone: StringTable
    """Strings that match a whole run once its affixes are split off."""
    joined: SequenceTable
    """Sequences of words that form such a string."""


@functools.cache
def exceptions() -> Exceptions:
    """The strings with special splits, as tables for kernels."""
    pieces = exception_pieces()
    words = split_without_special_strings(list(pieces))
    return Exceptions(special_strings(), sequence_table(dict(zip(pieces, words, strict=True)), pieces))


class Words(NamedTuple):
    """The positions of the words of documents, which are found once and shared by all statistics."""

    ends: np.ndarray
    """int64, the number of words before each document, and the number of all words."""
    starts: np.ndarray
    """int32, first byte of each word, relative to the first byte of its document."""
    stops: np.ndarray
    """int32, the byte after each word."""
    lengths: np.ndarray
    """int32, number of characters of each word."""


def cut_words(text: TextArray) -> Words:
    """Find the words of each text. A null text has no words."""
    return _cut(text_buffers(text), exceptions())


def english_words(text: TextArray) -> list[list[str]]:
    """The words of each text as strings, for tests and inspection; kernels use `cut_words`. A null text has none."""
    return _strings(text, exceptions())


def split_without_special_strings(texts: list[str]) -> list[list[str]]:
    """The words that the rules for affixes and addresses alone make of each text."""
    return _strings(pa.array(texts), Exceptions(no_strings(), sequence_table({}, {})))


def _cut(buffers: TextBuffers, exceptions: Exceptions) -> Words:
    # Every byte may be a word. Pages that are never touched cost no memory.
    size = int(buffers.offsets[-1] - buffers.offsets[0])
    found = Words(np.zeros(len(buffers) + 1, np.int64), *(np.empty(size, np.int32) for _ in range(3)))
    room = scratch(2 * buffers.longest)
    for data, offsets, first, last in buffers.parts():
        _cut_words(data, offsets, first, last, buffers.valid, character_classes(), exceptions, room, found)
    return found


def _strings(text: TextArray, exceptions: Exceptions) -> list[list[str]]:
    buffers = text_buffers(text)
    words = _cut(buffers, exceptions)
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
    """Copy the words of a document to `room`; return their number."""
    first = words.ends[document]
    count = words.ends[document + 1] - first
    for word in range(count):
        room.starts[word] = words.starts[first + word]
        room.stops[word] = words.stops[first + word]
        room.lengths[word] = words.lengths[first + word]
    return count


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
def _cut_inside(data, start, first, stop, classes, foreign, room, count):
    """Split a string without prefixes and suffixes at its infixes; return the new number of words."""
    position = word = first
    before = np.uint16(0)
    while position < stop:
        code_point, size = decode(data, position, stop)
        kind = classes[code_point]
        infix = 0
        if not kind & CASED_ALPHA or kind & ICON:
            infix = infix_size(data, first, position, stop, before, code_point, size, classes)
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
    """Split a run without ASCII white space, using the cached split if there is one.

    Returns:
        the new number of words, and whether some of them can be joined.
    """
    joins = False
    while first < stop:
        solid_end, space = _solid_end(data, first, stop, classes, foreign)
        if first < solid_end:
            # The same runs occur many times in a text, so their splits are cached.
            key = hash_bytes(data, first, solid_end, SEED)
            slot = key & np.uint64(len(room.runs) - 1)
            known = room.runs[slot]
            pieces = room.cuts[slot] if known in (key, ~key) else _NONE
            if pieces:
                joins |= known != key
                count = _push_pieces(data, start, first, pieces, foreign, room, count)
            else:
                begun = count
                count = _cut_solid(data, start, first, solid_end, signs, classes, exceptions, foreign, room, count)
                can_join = count - begun > 1 and can_be_joined(data, start, begun, count, exceptions.joined, room)
                joins |= can_join
                if solid_end - first <= _REMEMBERED:
                    _remember(~key if can_join else key, slot, begun, count, room)
        first = solid_end + space
    return count, joins


@inlined
def _remember(key, slot, begun, count, room):
    """Cache the split of a run; its words are those from `begun` up to, but not including, `count`.

    Args:
        key: hash of the run, all bits inverted if some of the words can be joined.
    """
    if count - begun <= 8:
        room.runs[slot] = key
        room.cuts[slot] = _NONE
        for word in range(begun, count):
            size = np.uint64(room.stops[word] - room.starts[word])
            room.cuts[slot] |= size << np.uint64(8 * (word - begun))


@inlined
def _cut_solid(data, start, first, stop, signs, classes, exceptions, foreign, room, count):
    """Split a run without white space; return the new number of words.

    Args:
        signs: a mask of the bytes that may be an infix or part of an address. What the affixes leave is one word if it
            contains none of them.
    """
    origin = first
    suffixes = 0
    pieces = np.uint32(0)
    last_size = -1
    while first < stop and stop - first != last_size:
        pieces = pieces_of(data, first, stop, exceptions.alone)
        if pieces:
            break
        last_size = stop - first
        prefix = prefix_size(data, first, stop, classes)
        if prefix and first + prefix < stop and pieces_of(data, first + prefix, stop, exceptions.alone):
            count = _push(data, start, first, first + prefix, foreign, room, count)
            first += prefix
            break
        suffix = suffix_size(data, first + prefix, stop, classes)
        if suffix and first < stop - suffix and pieces_of(data, first, stop - suffix, exceptions.alone):
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
        pieces = pieces_of(data, first, stop, exceptions.alone)
        inside = (signs >> np.uint64(min(first - origin, 63))) & low_bits(stop - first)
        if pieces:
            count = _push_pieces(data, start, first, pieces, foreign, room, count)
        elif not inside or is_address(data, first, stop, classes):
            count = _push(data, start, first, stop, foreign, room, count)
        else:
            count = _cut_inside(data, start, first, stop, classes, foreign, room, count)
    while suffixes:
        suffixes -= 1
        count = _push(data, start, stop, room.positions[suffixes], foreign, room, count)
        stop = room.positions[suffixes]
    return count


@inner
def _solid_end(data, position, stop, classes, foreign):
    """The position of the first Unicode white space in a run without ASCII white space, and its size in bytes."""
    while foreign and position < stop:
        code_point, size = decode(data, position, stop)
        if classes[code_point] & SPACE:
            return position, size
        position += size
    return stop, 0


@inner
def ascii_spaces(data, position):
    """A mask of the bytes, among 64, that are ASCII white space by `str.isspace`."""
    spaces = equal64(data, position, np.uint8(_SPACE)) | between64(data, position, np.uint8(0x09), np.uint8(0x0D))
    return spaces | between64(data, position, np.uint8(0x1C), np.uint8(0x1F))


@inner
def _run_end(data, position, end):
    """The position of the next ASCII white space, and whether characters that are not ASCII come before it."""
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
    """A mask of the bytes, among 64, that may separate letters or digits: `*+,-./`, `:;<=>`, `^`, `~`."""
    signs = between64(data, position, np.uint8(_ASTERISK), np.uint8(_SLASH))
    signs |= between64(data, position, np.uint8(_COLON), np.uint8(_GREATER))
    return signs | equal64(data, position, np.uint8(_CARET)) | equal64(data, position, np.uint8(_TILDE))


@inner
def _marks(data, position):
    """A mask of the bytes, among 64, that are one of `, . : ; ? !`."""
    marks = equal64(data, position, np.uint8(_COMMA)) | equal64(data, position, np.uint8(_DOT))
    marks |= between64(data, position, np.uint8(_COLON), np.uint8(_SEMICOLON))
    return marks | equal64(data, position, np.uint8(_QUESTION)) | equal64(data, position, np.uint8(_EXCLAMATION))


@inlined
def _is_marked(data, first, stop, exceptions):
    """Whether letters and the mark after them are two words: neither the whole nor the letters have a special split."""
    whole = pieces_of(data, first, stop, exceptions.alone)
    return not whole and not pieces_of(data, first, stop - 1, exceptions.alone)


@inner
def find_english_words(data, start, end, classes, exceptions, room):
    """Find the words of `data[start:end]`.

    Args:
        classes: the result of `english_tables.character_classes`.
        exceptions: the result of `exceptions`.
        room: Scratch for a text twice as long, because every byte may be a word. Its `starts`, `stops` and `lengths`
            receive the first byte of each word, the byte after it, and its number of characters.

    Returns:
        the number of words.
    """
    count = 0
    first_join = behind_joins = -1
    position = start
    while position < end:
        inside = low_bits(end - position)
        solid = inside & ~ascii_spaces(data, position)
        letters = between64(data, position, _A, _Z) | between64(data, position, _a, _z)
        digits = between64(data, position, _0, _9)
        # Marks between a lower-case letter and white space, as at the end of most words that are not only letters.
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
                    # The run may continue after this block, so the next block begins with it.
                    following = first
                    break
                stop, foreign = _run_end(data, first, end)
                following = stop
                run = _NONE
            if run and (size == 1 or not run & ~letters or not run & ~digits):
                pieces = pieces_of(data, first, stop, exceptions.alone)
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
                if 0 <= behind_joins <= count - MOST_WORDS:
                    # The words that follow cannot keep any of these from being joined.
                    count = join(data, start, first_join, behind_joins, count, exceptions.joined, room)
                    first_join = behind_joins = -1
                begun = count
                count, joins = _cut_run(data, start, first, stop, signs, classes, exceptions, foreign, room, count)
                if joins:
                    first_join = begun if first_join < 0 else first_join
                    behind_joins = count
            left &= left - _ONE
        position = following
    if behind_joins >= 0:
        count = join(data, start, first_join, behind_joins, count, exceptions.joined, room)
    return count
